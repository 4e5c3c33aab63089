"""The training loop: parts with optimisers of their own, and resume to the bit."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import Tensor, nn

from longtake.cli import cli
from longtake.errors import InputError
from longtake.nets.quantise import VectorQuantiser
from longtake.train import Schedule, adversarial, fit, orthogonal

SCHEDULE = Schedule(steps=12, rate=0.05, warmup=1, ema=0.9, save_every=5, log_every=4)


class Game(nn.Module):
    """Two players whose losses use both of their weights, a codebook, and chance."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other, self.rest = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)
        self.book = VectorQuantiser(4, 3, decay=0.9)

    def losses(self, batch: Tensor) -> Mapping[str, Tensor]:
        x = self.one(batch + 0.1 * torch.randn_like(batch))
        y = self.other(self.book(x).values)
        return {
            "one": y.square().mean(1),
            "other": -(x * y).mean(1),
            "more": x.abs().mean(1),
            "rest": self.rest(y).square().mean(1),
        }

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {"one": self.one, "more": self.one, "other": self.other}


def batch(step: int) -> Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(step))


def run(folder: Path, schedule: Schedule = SCHEDULE) -> Game:
    game = Game()
    list(fit(game, game.losses, batch, schedule, folder, game.parts, adversarial))
    return game


def test_each_loss_trains_its_own_part(tmp_path: Path) -> None:
    """One step of plain descent, against gradients by hand."""
    game, free = Game(), Game()

    def plain(module: nn.Module, params, rate: float) -> list[torch.optim.Optimizer]:
        return [torch.optim.SGD(params, lr=rate)]

    schedule = dataclasses.replace(SCHEDULE, steps=1, rate=0.1, clip=1e9, ema=0.0)
    seeds: list[int] = []

    def losses(x: Tensor) -> Mapping[str, Tensor]:
        seeds.append(torch.initial_seed())
        return game.losses(x)

    list(fit(game, losses, batch, schedule, tmp_path, game.parts, plain))
    torch.manual_seed(seeds[0])
    named = {name: loss.mean() for name, loss in free.losses(batch(0)).items()}
    told = {"one": named["one"] + named["more"], "other": named["other"], "rest": named["rest"]}
    for part, loss in told.items():
        params = list(getattr(free, part).parameters())
        grads = torch.autograd.grad(loss, params, retain_graph=True)
        for now, before, grad in zip(getattr(game, part).parameters(), params, grads, strict=True):
            assert grad.abs().max() > 0
            torch.testing.assert_close(now, before - 0.1 * grad)


@pytest.mark.parametrize("stop", [3, 5, 8, 11])
def test_a_killed_training_resumes_to_the_bit(tmp_path: Path, stop: int) -> None:
    straight = run(tmp_path / "straight")

    class Killed(Exception):
        pass

    def dying(step: int) -> Tensor:
        if step == stop:
            raise Killed
        return batch(step)

    game = Game()
    with pytest.raises(Killed):
        list(fit(game, game.losses, dying, SCHEDULE, tmp_path / "cut", game.parts, adversarial))
    torch.randn(7)  # what other work draws meanwhile is of no matter
    resumed = run(tmp_path / "cut")
    for (name, one), other in zip(
        straight.state_dict().items(), resumed.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
    files = [load_file(tmp_path / n / "checkpoint.safetensors") for n in ("straight", "cut")]
    assert files[0].keys() == files[1].keys()
    assert all(torch.equal(files[0][key], files[1][key]) for key in files[0])
    curve = (tmp_path / "cut" / "curve.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in curve] == [4, 8, 12]


def test_a_process_that_is_killed_resumes_to_the_bit(tmp_path: Path) -> None:
    code = textwrap.dedent(
        f"""
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import test_train as t
        def batch(step):
            if step == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            return t.batch(step)
        game = t.Game()
        list(t.fit(game, game.losses, batch, t.SCHEDULE, Path({str(tmp_path / "cut")!r}), game.parts, t.adversarial))
        """
    )
    root = Path(__file__).parent.parent
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=False, env={"PYTHONPATH": str(root)}
    )
    assert ended.returncode == -9
    straight, resumed = run(tmp_path / "straight"), run(tmp_path / "cut")
    for one, other in zip(
        straight.state_dict().values(), resumed.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


def test_the_average_holds_what_is_no_weight_as_well(tmp_path: Path) -> None:
    game = run(tmp_path)
    saved = load_file(tmp_path / "average.safetensors")
    assert saved.keys() == game.state_dict().keys()
    assert all(torch.equal(saved[name], value) for name, value in game.state_dict().items())


def test_another_seed_draws_otherwise(tmp_path: Path) -> None:
    one, other = run(tmp_path / "0"), run(tmp_path / "1", dataclasses.replace(SCHEDULE, seed=1))
    assert not torch.equal(one.one.weight, other.one.weight)


def test_parts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    game = Game()
    wrong = {
        "no loss 'two'": game.parts | {"two": game.other},
        "weights that no loss trains": game.parts | {"rest": game.book},
        "trains no weight": {"one": game},
        "two parts share": {"one": game.one, "other": nn.ModuleList([game.one])},
        "is not of what": {"one": nn.Linear(2, 2)},
    }
    for message, parts in wrong.items():
        with pytest.raises(InputError, match=message):
            list(fit(game, game.losses, batch, SCHEDULE, tmp_path / "x", parts, adversarial))


@pytest.mark.parametrize("shape", [(32, 200), (200, 32), (48, 48), (33, 60)])
def test_updates_are_as_newton_schulz_steps_in_double_precision(shape: tuple[int, int]) -> None:
    left, _, right = torch.linalg.svd(torch.randn(shape, dtype=torch.float64), full_matrices=False)
    sizes = torch.logspace(0, -5, min(shape), dtype=torch.float64)  # badly conditioned
    size = sizes / sizes.norm()
    for _ in range(5):
        size = 3.4445 * size - 4.7750 * size**3 + 2.0315 * size**5
    found = orthogonal(((left * sizes) @ right).float()).double()
    wide = max(shape) >= 3 * min(shape)
    assert (found - (left * size) @ right).norm() < (1e-3 if wide else 0.3) * size.norm()


RECIPE = """
from longtake.train import Logged


def none():
    raise AssertionError


def train(steps=3):
    for step in range(1, steps + 1):
        yield Logged(step, 360.0 * step, {"near": 0.5}, 360.0 * (steps - step))
"""


def test_the_command_tells_time_and_cost_left(tmp_path: Path) -> None:
    path = tmp_path / "slow.py"
    path.write_text(RECIPE)
    words = ["train", f"{path}:none", "--price", "2.5", "--steps", "3"]
    told = CliRunner().invoke(cli, [*words, "--json"])
    assert told.exit_code == 0, told.output
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert [line["left"] for line in lines] == [720.0, 360.0, 0.0]
    assert [line["cost"] for line in lines] == [0.25, 0.5, 0.75]
    assert [line["cost_left"] for line in lines] == [0.5, 0.25, 0.0]
    plain = CliRunner().invoke(cli, words)
    assert "seconds 6 min 0 s" in plain.output and "left 12 min 0 s" in plain.output


def test_the_time_left_is_by_the_pace_so_far() -> None:
    by_steps = Schedule(100)
    assert by_steps.left(25, 50.0) == pytest.approx(150.0)
    assert by_steps.left(0, 1.0) == by_steps.left(100, 9.0) == 0
    assert Schedule(10**6, minutes=2).left(5, 30.0) == pytest.approx(90.0)
