"""Averages of weights whose width is chosen after the training, against averages that were kept from the start."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_train import SCHEDULE, Game, batch
from torch import nn

from longtake.errors import InputError
from longtake.train import Schedule, Widths, adversarial, fit, reconstructed
from longtake.train.averages import PowerAverages, combination, power, snapshots


def run(folder: Path, schedule: Schedule, batches=batch) -> Game:
    game = Game()
    list(fit(game, game.losses, batches, schedule, folder, game.parts, adversarial))
    return game


@pytest.mark.parametrize("width", [0.03, 0.05, 0.1, 0.2, 0.28])
def test_an_average_has_the_width_it_is_called_by(width: float) -> None:
    """What every step weighs, read off a module whose weights at step s are the unit vector s."""
    steps = 400
    module = nn.Linear(steps, 1, bias=False).double()
    average = PowerAverages(module, Widths((width, 0.123)))
    for step in range(steps):
        module.weight.data = torch.eye(steps)[step : step + 1].double()
        average.follow(module, step)
    shares = average.weights["weight"][0].numpy()
    gamma, s = power(width), np.arange(1, steps + 1)
    np.testing.assert_allclose(
        shares, (s ** (gamma + 1) - (s - 1) ** (gamma + 1)) / steps ** (gamma + 1), atol=1e-9
    )
    assert shares.sum() == pytest.approx(1)
    middle = (s - 0.5) @ shares
    spread = np.sqrt((s - 0.5 - middle) ** 2 @ shares) / steps
    assert spread == pytest.approx(width, rel=0.01)


def test_powers_of_the_paper() -> None:
    """The two widths it keeps, and their exponents."""
    assert power(0.05) == pytest.approx(16.97, abs=0.01)
    assert power(0.10) == pytest.approx(6.94, abs=0.01)
    for width in (-0.1, 0.0, 0.29):
        with pytest.raises(InputError, match=r"below 0\.28"):
            power(width)
    with pytest.raises(InputError, match="two that differ"):
        Widths((0.1, 0.1))


def test_any_width_is_made_afterwards(tmp_path: Path) -> None:
    """Against trainings, equal to the bit, that kept that width from the start."""
    schedule = dataclasses.replace(SCHEDULE, steps=96, save_every=4)
    kept = dataclasses.replace(schedule, ema=Widths())
    game = run(tmp_path / "kept", kept)
    one = load_file(tmp_path / "kept" / "average.safetensors")
    for name, value in reconstructed(tmp_path / "kept", 0.05).items():
        torch.testing.assert_close(value, one[name], atol=1e-6, rtol=1e-5)
        assert torch.equal(game.state_dict()[name], one[name])
    begin = {name: p.detach() for name, p in Game().named_parameters()}
    for width in (0.04, 0.07, 0.15):
        other = dataclasses.replace(schedule, ema=Widths((width, 0.2)))
        run(tmp_path / f"{width}", other)
        direct = load_file(tmp_path / f"{width}" / "average.safetensors")
        made = reconstructed(tmp_path / "kept", width)
        assert made.keys() == direct.keys()
        far = lambda other, direct=direct: sum(  # noqa: E731
            float((other[name] - direct[name]).norm()) for name in begin
        )
        assert far(made) < 0.01 * far(begin)
        assert far(made) < 0.2 * far(one), "the one that is kept is another"
    early = reconstructed(tmp_path / "kept", 0.05, step=48)
    half = load_file(snapshots(tmp_path / "kept")[48])
    for name in begin:
        torch.testing.assert_close(early[name], half[f"0/{name}"], atol=1e-6, rtol=1e-5)


def test_more_snapshots_come_nearer() -> None:
    misfits = []
    for count in (2, 4, 8, 16, 32):
        steps = [1024 * (n + 1) // count for n in range(count)]
        profiles = [(step, power(width)) for step in steps for width in (0.05, 0.1)]
        misfits.append(combination(profiles, (1024, power(0.15)))[1])
    assert misfits == sorted(misfits, reverse=True) and misfits[-1] < 0.003 < 0.15 < misfits[0]


@pytest.mark.parametrize("stop", [4, 7, 11])
def test_killed_and_resumed_its_snapshots_are_the_same(tmp_path: Path, stop: int) -> None:
    schedule = dataclasses.replace(SCHEDULE, ema=Widths())

    def dying(step: int) -> torch.Tensor:
        if step == stop:
            raise KeyboardInterrupt
        return batch(step)

    run(tmp_path / "straight", schedule)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", schedule, dying)
    late = tmp_path / "cut" / "widths" / "000000099.safetensors"
    late.parent.mkdir(exist_ok=True)
    late.write_bytes(b"of a run that got further once")
    run(tmp_path / "cut", schedule)
    one, other = snapshots(tmp_path / "straight"), snapshots(tmp_path / "cut")
    assert list(one) == list(other) == [5, 10, 12]
    files = [*zip(one.values(), other.values(), strict=True)]
    files.append(tuple(tmp_path / n / "checkpoint.safetensors" for n in ("straight", "cut")))
    for a, b in files:
        a, b = load_file(a), load_file(b)
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    run(tmp_path / "plain", SCHEDULE)
    with pytest.raises(InputError, match=r"ema=Widths\(\)"):
        reconstructed(tmp_path / "plain", 0.1)
    with pytest.raises(InputError, match="averages by one decay"):
        run(tmp_path / "plain", dataclasses.replace(SCHEDULE, ema=Widths()))
    run(tmp_path / "kept", dataclasses.replace(SCHEDULE, ema=Widths()))
    with pytest.raises(InputError, match=r"averages by 0\.05 0\.1"):
        run(tmp_path / "kept", SCHEDULE)
    with pytest.raises(InputError, match="step=10"):
        reconstructed(tmp_path / "kept", 0.1, step=9)
    with pytest.raises(InputError, match=r"cannot make width 0\.02"):
        reconstructed(tmp_path / "kept", 0.02)
