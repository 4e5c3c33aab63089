"""The bench of proofs: what is expected, what is kept, films in memory, measures against known values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from repair_parts import gaussian_job

import longtake
from longtake.cli import cli
from longtake.clip import Clip
from longtake.engine import Memory, Serial, render
from longtake.engine.job import Keys
from longtake.errors import InputError
from longtake.lab import measures, prove
from longtake.lab.bench import Lab
from longtake.lab.catalogue import provable
from longtake.lab.films import farthest, films
from longtake.lab.home import home, weights_of
from longtake.lab.shared import SHAPES
from longtake.lab.systems import SPECS
from longtake.lab.takes import Told
from longtake.models.gaussian import GaussianModel, OrnsteinUhlenbeck
from longtake.recipes import fdm
from longtake.schemes import find_scheme
from longtake.system import Expectation, Measured, Proof


def test_an_expectation_is_one_inequality() -> None:
    found = {("tfvd", "a"): 8.0, ("tfvd", "b"): 10.0, ("lost", "a"): math.nan}
    assert Expectation("tfvd", "a", "b", 0.8).holds(found)
    assert not Expectation("tfvd", "a", "b", 0.79).holds(found)
    assert Expectation("tfvd", 7.9, "a").holds(found)
    assert not Expectation("tfvd", "a", 7.9).holds(found)
    assert not Expectation("lost", "a", 1e9).holds(found)
    assert not Expectation("tfvd", "a", "never run").holds(found)
    assert Expectation("tfvd", "a", "b", 0.8).words() == "tfvd: a <= 0.8 x b"


def _toy(value: float) -> Proof:
    def experiment(lab: Lab) -> Iterator[Any]:
        weight = torch.nn.Linear(1, 1)
        yield from lab.train(
            "line", weight, lambda x: {"l": (weight(x) - x).square()}, lambda n: torch.ones(1, 1), 4,
            log_every=2,
        )  # fmt: skip
        yield Measured("error", "line", value)

    return Proof(
        "lines are lines",
        "digits",
        {"line": "a line"},
        (Expectation("error", "line", 1.0),),
        experiment,
    )


@pytest.mark.parametrize(("value", "holds"), [(0.5, True), (2.0, False)])
def test_a_proof_says_whether_it_holds(
    value: float, holds: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prove, "proof_of", lambda name: _toy(value))
    ran = CliRunner().invoke(cli, ["prove", "toy", "--run", str(tmp_path), "--json", "--seed", "3"])
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    proved = [line for line in lines if line["event"] == "proved"]
    assert len(proved) == 1 and proved[0]["holds"] is holds
    assert json.loads((tmp_path / "result.json").read_text())["seed"] == 3
    assert ">error</text>" in (tmp_path / "plot.svg").read_text()
    assert [line["event"] for line in lines].count("measured") == 1
    assert ran.exit_code == (0 if holds else 1)
    with pytest.raises(InputError, match="another proof, seed or scale"):
        list(prove.prove("toy", Lab(tmp_path, seed=4)))


def test_what_was_trained_is_not_trained_again(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    asked = []

    def once() -> list[Any]:
        net = torch.nn.Linear(1, 1)
        return list(
            lab.train("a", net, lambda x: {"l": net(x).square()}, lambda n: asked.append(n) or torch.ones(1, 1), 3)
        )  # fmt: skip

    once()
    once()
    assert asked == [0, 1, 2]
    made = lab.kept("x/y", lambda: {"v": torch.arange(3)})
    again = lab.kept("x/y", lambda: pytest.fail("made twice"))
    assert torch.equal(made["v"], again["v"])


def test_uses_have_seeds_of_their_own() -> None:
    lab = Lab(Path("x"), seed=1)
    assert (
        len({lab.number("train/0"), lab.number("test/0"), Lab(Path("x"), seed=2).number("train/0")})
        == 3
    )
    with pytest.raises(InputError, match="unknown scale"):
        Lab(Path("x"), scale="tpu")


def test_films_are_those_of_the_model() -> None:
    model = GaussianModel(OrnsteinUhlenbeck(), window=6)
    scheme = find_scheme("autoregressive:window=6,step=3")
    many = films(model, scheme, 14, 3, seed=5, frame=(1, 2, 2))
    one = films(model, scheme, 14, 1, seed=5, frame=(1, 2, 2))
    longer = films(model, scheme, 20, 3, seed=5, frame=(1, 2, 2))
    assert many.shape == (3, 14, 1, 2, 2)
    torch.testing.assert_close(many[:1], one)
    torch.testing.assert_close(longer[:, :14], many)
    given = Clip(many[:, :4], (0, 1, 2, 3))
    assert torch.equal(
        films(model, scheme, 9, 3, seed=6, frame=(1, 2, 2), given=given)[:, :4], many[:, :4]
    )


@pytest.mark.parametrize("text", ["autoregressive:window=8,step=4", "coarse-to-fine:window=6"])
def test_films_of_the_bench_are_the_engines(text: str) -> None:
    job = gaussian_job(40, text, repair="off", seed=9)
    store, keys, whole = Memory(), Keys(job), torch.zeros(40, *job.shape(0))
    for _ in render(job, store, Serial()):
        pass
    for call in job.calls:
        clip = store.get(keys.take(call).key)
        whole[list(clip.at)] = clip.frames[0]
    model = job.system.stages[0].models["clip"].made
    told = {"controls": [job.controls] * 2, "interval": job.interval}
    mine = films(model, find_scheme(text), 40, 2, seed=9, frame=job.shape(0), **told)
    torch.testing.assert_close(mine[0], whole)


def test_the_farthest_are_chosen() -> None:
    frames = torch.tensor([0.0, 0.1, 5.0, 5.1, 9.0])[None, :, None]
    chosen = farthest(Clip(frames, (0, 1, 2, 3, 4)), (5, 6), 3)
    assert chosen == (0, 2, 4)  # 4 is nearest in time, 0 farthest from it, 2 (or 3) from both


def test_location_distance_of_a_shift() -> None:
    points = torch.rand(4000, 2)
    assert measures.location_distance(points, points) == 0
    moved = measures.location_distance(points + torch.tensor([0.5, 0.0]), points)
    assert moved == pytest.approx(0.5 * 2 / math.pi, rel=0.12)  # mean of |cos| over directions


def test_join_ratio_sees_a_jump() -> None:
    ramp = torch.arange(20).float()[None, :, None, None, None].expand(1, 20, 3, 8, 8).clone()
    assert measures.join_ratio(ramp, [10]) == pytest.approx(1)
    ramp[:, 10:] += 3
    assert measures.join_ratio(ramp, [10]) == pytest.approx(4)


def test_told_controls_are_rows() -> None:
    told = Told(rows=torch.eye(3))
    assert torch.equal(told.at([2, 0, 7])["text"], torch.eye(3)[[2, 0, 2]])
    assert told.digest((0, 1)) != told.digest((1, 2)) and told.digest((2,)) == told.digest((7,))
    assert dict(Told().at([0])) == {}


@pytest.mark.parametrize("kind", SHAPES)
def test_shared_codecs_are_as_planned(kind: str) -> None:
    """A plan knows a codec's shape without torch; the network must have it."""
    shape, spec = SHAPES[kind], SPECS[kind]
    assert (shape.down, shape.stride, shape.context) == (
        spec["down"],
        spec["stride"],
        spec["context"],
    )
    if not spec["codes"]:
        assert shape.channels == spec["channels"]


def test_index_sets_cover_every_scale() -> None:
    """FDM's Algorithm 2: at most K places, some latent, spacings from neighbours to the whole video."""
    rng, widths, some = np.random.default_rng(0), [], 0
    for _ in range(500):
        places, seen = fdm.index_set(rng, 300)
        assert len(places) == len(seen) == fdm.K and places == sorted(set(places))
        assert not all(seen) and 0 <= places[0] and places[-1] < 300
        widths.append(places[-1] - places[0])
        some += any(seen)
    assert min(widths) < 15 and max(widths) > 250
    assert 200 < some < 450  # a share of sets observes nothing, so that films can begin


@pytest.mark.parametrize("name", provable())
def test_films_are_made_with_the_weights_that_training_leaves(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a system would be trained again before every film."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    part = next(iter(longtake.load(name).stages[0].models.values()))
    with pytest.raises(InputError, match="is not trained") as refused:
        _ = part.made
    assert str(weights_of(home(name), prove.proof_of(name).system or name)) in str(refused.value)
