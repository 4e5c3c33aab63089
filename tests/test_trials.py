"""Families on a bench: requests as the one scheme makes them, training that goes on, and what is compared."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from longtake.clip import Codec
from longtake.codecs.kl import KLCodec
from longtake.codecs.vq import VQCodec
from longtake.lab import families
from longtake.lab.bench import Lab
from longtake.lab.families import FAMILIES, SCHEME, STEP, WINDOW, Trial, bars, shuffled
from longtake.lab.measures import Clips
from longtake.nets.convolutional import KLVideo, VideoShape, VQVideo
from longtake.nets.quantise import LookupFree
from longtake.steps import Plan, Timeline

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import train_families  # noqa: E402


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Untrained codecs and films of noise, so that nothing is rendered or learned first."""
    torch.manual_seed(0)
    coded = VQVideo(
        VideoShape(4, (8, 8), (False,), taps=3, causal=True, patch=(2, 4)), LookupFree(4)
    )

    plain = KLVideo(VideoShape(8, (8, 8, 8), (False, False), patch=(1, 2))).requires_grad_(False)

    def codec(trial: Trial) -> Codec:
        if trial.family.kind == "fine":
            return VQCodec(coded, "test")
        return KLCodec(plain, torch.zeros(8), torch.ones(8), "test")

    def pool(trial: Trial, use: str, count: int, frames: int) -> torch.Tensor:
        if trial.family.kind == "fine":
            return torch.randint(16, (8, 10, 1, 2, 2))
        return torch.rand(8, 10, 8, 8, 8)

    small = {n: dataclasses.replace(family, batch=2) for n, family in FAMILIES.items()}
    monkeypatch.setattr(families, "FAMILIES", small)
    monkeypatch.setattr(Trial, "codec", codec)
    monkeypatch.setattr(Trial, "latents", pool)
    return Lab(tmp_path, 5)


def test_one_scheme_asks_what_is_trained_for(bench: Lab) -> None:
    """Every call of the scheme's plan is of one of the two kinds that batches are of."""
    steps = Plan.of(SCHEME, Timeline(21)).steps
    kinds = {(len(step.observed), len(step.targets)) for step in steps}
    assert kinds == {(0, WINDOW), (WINDOW - STEP, STEP)}
    for name in FAMILIES:
        trial = Trial(bench, name, "digits")
        pool = trial.latents("train", 8, 10)
        draw = trial.batch(pool, trial.built().model)
        asked = [draw(step) for step in range(40)]
        seen = [0 if r.observed is None else len(r.observed.at) for r, _ in asked]
        assert {(n, len(r.targets)) for n, (r, _) in zip(seen, asked, strict=True)} == kinds
        assert 0 < seen.count(0) < 20
        again, truth = draw(7)
        assert torch.equal(truth.frames, asked[7][1].frames) and set(again.targets) <= set(truth.at)
        own = [r.observed.frames for r, t in asked if r.observed is not None and r.at == t.at]
        assert bool(own) == (trial.family.own > 0), "truth of all frames is of what the model made"
        assert not any((film[0, 0] == pool).flatten(2).all(2).any() for film in own)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_trains_goes_on_and_is_another_net_then(bench: Lab, name: str) -> None:
    trial = Trial(bench, name, "digits")
    list(trial.learn(60, 2))
    path = trial.folder / "average.safetensors"
    learned = load_file(path)
    fresh = dict(trial.built().net.named_parameters())
    assert set(fresh) <= set(learned)
    assert any(not torch.equal(p, learned[n]) for n, p in fresh.items())
    again = dict(trial.built().net.named_parameters())
    assert all(torch.equal(p, again[n]) for n, p in fresh.items()), "untrained is always the same"
    list(trial.learn(60, 3))
    with safe_open(trial.folder / "checkpoint.safetensors", "pt") as file:
        assert file.metadata()["step"] == "3"
    model = trial.wearing(path)
    request, _ = trial.batch(trial.latents("train", 8, 10), model)(0)
    assert model.sample(request).at == request.targets


def test_marks_are_weights_by_minutes(bench: Lab) -> None:
    trial = Trial(bench, "gan", "digits")
    trial.folder.mkdir(parents=True)
    assert trial.marks() == {} and trial._spent() == 0
    for minutes in ("004.25", "012.00"):
        save_file({"x": torch.zeros(1)}, trial.folder / f"mark-{minutes}.safetensors")
    assert list(trial.marks()) == [4.25, 12.0]
    (trial.folder / "curve.jsonl").write_text('{"seconds": 9.5}\n{"seconds": 31.5}\n')
    assert trial._spent() == 31.5


@pytest.mark.parametrize("name", list(FAMILIES))
@pytest.mark.parametrize("world", ["digits", "sky"])
def test_films_are_decided_as_their_world_has_it(bench: Lab, name: str, world: str) -> None:
    trial = Trial(bench, name, world)
    built, worn = vars(trial.built().model), vars(trial.wearing(None))
    decided = FAMILIES[name].decides.get(world, {})
    assert decided.keys() <= built.keys()
    for part in {"picking", "revealing"} & built.keys():
        assert worn[part] == decided.get(part, built[part])


def test_bars_by_hand() -> None:
    far = {"untrained": 90.0, "frozen": 40.0, "shuffled": 30.0}
    assert list(bars({"trained": 29.0, **far}).values()) == [True, True, True]
    assert list(bars({"trained": 31.0, **far}).values()) == [False, True, False]
    film = torch.arange(40)[:, None]
    assert sorted(shuffled(1, film).flatten().tolist()) == list(range(40))
    assert not torch.equal(shuffled(1, film), film)
    assert torch.equal(shuffled(1, film), shuffled(1, film))


def means(video: torch.Tensor) -> Clips:
    """Of every film's frames, first and change, as features."""
    rows = torch.stack(
        [video[:, 0].float().mean((1, 2, 3)), video.float().diff(dim=1).std((1, 2, 3, 4))], 1
    )
    return Clips(rows, torch.zeros(len(rows)), 16)


def test_a_measurement_is_kept_with_its_sheet(
    bench: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a GAN on films that are given: distances of all that is compared, and a table of it."""
    trial = Trial(bench, "gan", "digits")
    monkeypatch.setattr(families, "FILMS", 8)
    monkeypatch.setattr(families, "LENGTH", 18)
    monkeypatch.setattr(families, "LONG", 24)
    generator = torch.Generator().manual_seed(0)
    given = torch.randint(256, (8, 18, 3, 64, 64), generator=generator, dtype=torch.uint8)
    monkeypatch.setattr(Trial, "video", lambda self, use, count, frames: given)
    monkeypatch.setattr(families, "clip_features", means)
    list(trial.learn(60, 1))
    (trial.folder / "curve.jsonl").write_text('{"step": 20, "seconds": 90.0}\n')
    told = trial.measured()
    assert told["steps"] == 20 and told["minutes"] == 1.5 and told["holds"].keys() == bars(dict.fromkeys(
        ("trained", "untrained", "frozen", "shuffled"), 1.0
    )).keys()  # fmt: skip
    assert told["tfvd"]["real"] < 1e-3 < told["tfvd"]["frozen"]
    assert json.loads(trial.result().read_text()) == told
    assert (tmp_path / "gan-digits.png").stat().st_size > 1000
    monkeypatch.setattr(train_families, "KEPT", tmp_path)
    table = train_families.table()
    assert "[gan](families/gan-digits.png) | digits | 20 |" in table
    assert table.count("not trained yet") == 7
