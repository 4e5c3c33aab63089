"""Drafts: keyframes and blends first, and the film that keeps those keyframes to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

import longtake
from longtake.brief.systems import make_system
from longtake.cli import cli
from longtake.clip import Clip, ClipRequest, ClipSpec, Noise
from longtake.controls import Controls
from longtake.errors import PlanError
from longtake.models.blend import Blend
from longtake.schemes import Draft, Kept, find_scheme
from longtake.schemes.drafts import ROLE
from longtake.steps import Plan, Timeline

TOY = f"{Path(__file__).with_name('toy.py')}:toy"
APART = (
    "unified:window=8",
    "coarse-to-fine:window=8",
    "hierarchy:window=8",
    "keys-then-fill:window=8",
)
TOGETHER = (
    "autoregressive:window=8",
    "long-range:window=8",
    "per-shot:window=8",
    "adaptive:window=8",
)
FILMS = (
    Timeline(90),
    Timeline(90, given=(0, 1, 2, 40, 89)),
    Timeline(90, cuts=(3, 7, 8, 60)),
    Timeline(30, given=tuple(range(30))),
)
STORY = """seed = 3
[[shot]]
prompt = "a"
seconds = 8
[[shot]]
prompt = "{}"
seconds = 8
cut = {}
"""


@pytest.mark.parametrize("film", FILMS)
@pytest.mark.parametrize("text", [*APART, *TOGETHER])
def test_a_film_has_the_keyframe_steps_of_its_draft(text: str, film: Timeline) -> None:
    scheme = find_scheme(text)
    draft, whole = Plan.of(Draft(scheme), film), Plan.of(Kept(scheme), film)
    keys = [step for step in draft.steps if step.role != ROLE]
    assert set(keys) <= set(whole.steps)
    assert 2 * len(keys) <= len(whole.steps) or film.cuts
    made = {index for step in keys for index in step.targets}
    starts = [*film.starts, 90]
    for step in draft.steps[len(keys) :]:
        assert (
            step.role == ROLE and step.observed and made.union(film.given).issuperset(step.observed)
        )
        take = max(start for start in starts if start <= step.targets[0])
        end = min((start for start in starts if start > take), default=90)
        assert all(take <= index < end for index in step.observed), "nothing is seen across a cut"


@pytest.mark.parametrize("text", APART)
def test_a_scheme_that_makes_keyframes_is_left_as_it_is(text: str) -> None:
    scheme = find_scheme(text)
    assert list(Kept(scheme).steps(FILMS[0])) == list(scheme.steps(FILMS[0]))


def test_an_endless_film_has_no_draft() -> None:
    with pytest.raises(PlanError, match="endless"):
        next(Draft(find_scheme(APART[0])).steps(Timeline(None)))


def blended(codes: int, targets: tuple[int, ...]) -> list[float]:
    frames = torch.tensor([4.0, 8.0]).view(1, 2, 1, 1, 1)
    seen = Clip(frames.long() if codes else frames, (2, 6))
    request = ClipRequest(targets, seen, Controls(), Noise(0), (1, 1, 1))
    clip = Blend(ClipSpec(8, (1, 1, 1), "b", codes=codes)).sample(request)
    assert clip.at == targets and clip.frames.dtype == seen.frames.dtype
    return [float(x) for x in clip.frames.flatten()]


def test_a_blend_goes_from_one_to_the_other_and_stays_beyond() -> None:
    assert blended(0, (0, 3, 4, 5, 9)) == [4.0, 5.0, 6.0, 7.0, 8.0]
    assert blended(16, (0, 3, 5, 9)) == [4.0, 4.0, 8.0, 8.0]


# --- on the command line


def generate(*words: str) -> Result:
    asked = ["generate", "m", "--model", TOY, "--frames", "160", "--json"]
    return CliRunner().invoke(cli, [*asked, *words])


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("scheme", ["unified:window=8", "autoregressive:window=8"])
def test_what_was_drafted_is_not_made_again(scheme: str, here: Path) -> None:
    draft = lines(generate("--scheme", scheme, "--draft"))
    assert draft[-1]["out"] == "film.draft.mp4" and draft[-1]["frames"] == 160
    said = ("--scheme", scheme, "--from-draft", "film.draft.mp4")
    film = lines(generate(*said))
    assert film[-1]["out"] == "film.mp4" and film[-1]["frames"] == 160
    blends = sum(step["role"] == ROLE for step in told("film.draft.mp4", scheme))
    assert film[-1]["reused"] == draft[-1]["ran"] - blends > 0
    assert not Path("film.run").exists(), "finished steps are the draft's"
    again = lines(generate(*said, "--run", "other.run", "--out", "other.mp4"))
    assert again[-1]["reused"] == 0
    assert Path("other.mp4").read_bytes() == Path("film.mp4").read_bytes()
    swept = CliRunner().invoke(cli, ["gc", "film.draft.run", "--json"])
    assert json.loads(swept.stdout)["dropped"] == 0
    for name in ("film.mp4", "film.draft.mp4"):
        words = ["verify", name, "--model", TOY, "--replay", "4-6", "--json"]
        assert lines(CliRunner().invoke(cli, words))[-1]["verdict"] == "equal"


def told(out: str, scheme: str) -> list[dict[str, Any]]:
    words = [
        "plan",
        "m",
        "--model",
        TOY,
        "--frames",
        "160",
        "--scheme",
        scheme,
        "--draft",
        "--json",
    ]
    return lines(CliRunner().invoke(cli, [*words, "--out", out]))[:-1]


@pytest.mark.parametrize("cut", ["true", "false"])
def test_a_shot_that_was_changed_after_the_draft_is_made_anew(cut: str, here: Path) -> None:
    words = {"model": TOY, "scheme": "unified:window=8"}
    Path("film.toml").write_text(STORY.format("h", cut))
    for _ in longtake.stream("film.toml", out="d.mp4", draft=True, **words):  # type: ignore[arg-type]
        pass
    Path("film.toml").write_text(STORY.format("x", cut))
    plan = list(longtake.plan("film.toml", run="d.run", from_draft="d.mp4", **words))  # type: ignore[arg-type]
    keys = [step for step in plan[:-1] if step["role"] == "keys"]
    first = [step for step in keys if step["targets"][0] < 20]
    assert first and all(step["cached"] for step in first[:-1])
    changed = [step for step in keys if not step["cached"]]
    assert changed and all(
        "controls" in step["why"] or "observed" in step["why"] for step in changed
    )


def test_workers_blend_as_well() -> None:
    asked = {"model": TOY, "settings": {}, "scheme": "", "device": ""}
    stage = make_system({**asked, "draft": True}).stages[0]
    assert isinstance(stage.model(ROLE).made, Blend) and stage.model("keys") is stage.model("clip")
    assert ROLE not in make_system(asked).stages[0].models


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--from-draft", "film.draft.mp4", "--seed", "8"), "the draft's seed is 0, the film's 8"),
        (("--from-draft", "film.draft.mp4", "--size", "32x32"), "the draft's size is 64x48"),
        (("--from-draft", "film.draft.mp4", "--fps", "5"), "the draft's fps is 10, the film's 5"),
        (("--from-draft", "film.draft.mp4", "--set", "window=6"), "another model than its draft"),
        (
            ("--from-draft", "film.draft.mp4", "--scheme", "one-shot"),
            "the draft's scheme is the usual",
        ),
        (("--from-draft", "film.draft.mp4", "--out", "film.draft.mp4"), "would replace what it is"),
        (("--from-draft", "film.mp4", "--out", "new.mp4"), "not a draft (--from-draft film.mp4)"),
        (("--from-draft", "none.mp4"), "no manifest beside the film"),
        (("--from-draft", "film.draft.mp4", "--draft", "--out", "x.mp4"), "a draft of a draft"),
        (("--draft", "--seconds", "inf", "--out", "-"), "an endless film has no draft"),
    ],
)
def test_wrong_drafts_are_one_line(words: tuple[str, ...], line: str, drafted: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in drafted.rglob("*")}
    asked = ["generate", "m", "--model", TOY]
    asked += [] if "inf" in words else ["--frames", "40"]
    result = CliRunner().invoke(cli, [*asked, *words])
    assert result.exit_code == 2 and line in result.stderr and result.stderr.count("\n") == 1
    assert before == {file: file.stat().st_mtime_ns for file in drafted.rglob("*")}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("films")
    for name, more in (("film.draft.mp4", {"draft": True}), ("film.mp4", {})):
        for _ in longtake.stream("m", out=place / name, model=TOY, frames=40, **more):  # type: ignore[arg-type]
            pass
    return place


@pytest.fixture
def drafted(films: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(films)
    return films
