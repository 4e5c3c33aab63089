"""Laws of the generation loop."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_parts import Chain, Tree, count, made, toy_job, toy_system
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from longtake.clip import Clip
from longtake.controls import Cue
from longtake.engine import Folder, Frames, Given, Memory, Serial, explain, plan_lines, render
from longtake.engine import desk as desk_module
from longtake.engine import job as job_module
from longtake.engine.run import Queue
from longtake.errors import FitError, InputError, MachineError, PlanError
from longtake.steps import Step, Timeline

TWO = (Cue(0.0, 5.0, "calm sea"), Cue(5.0, None, "a storm"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def grey(frame: int, frames: int, light: float = 0.5, *, still: bool = False) -> Given:
    return Given(
        frame, frames, f"grey {light}", lambda: torch.full((frames, 3, 8, 16), light), still
    )


@pytest.mark.parametrize("frames", [1, 3, 4, 50, 97])
@pytest.mark.parametrize("stride", [1, 4])
def test_a_film_has_exactly_its_frames(frames: int, stride: int) -> None:
    film, events = made(toy_job(frames, stride=stride), Memory())
    assert film.shape == (frames, 3, 8, 16) and film.dtype == torch.uint8
    assert events[0]["frames"] == events[-1]["frames"] == frames
    assert events[0]["size"] == [16, 8] and events[0]["fps"] == 10


def test_events_come_in_order_and_tell_all() -> None:
    job = toy_job(130, scheme=Tree())
    _, events = made(job, Memory())
    assert [events[0]["event"], events[-1]["event"]] == ["planned", "done"]
    state: dict[int, str] = {}
    shown = 0
    for event in events[1:-1]:
        if event["event"] == "decoded":
            assert event["frames"][0] == shown
            shown = event["frames"][1]
            continue
        assert state.get(event["step"]) == {"started": None, "finished": "started"}[event["event"]]
        state[event["step"]] = event["event"]
        needs = job.calls[event["step"]].needs
        assert all(state[need] == "finished" for need in needs)
    assert shown == 130
    assert set(state) == set(range(len(job.calls))) and set(state.values()) == {"finished"}
    assert events[-1]["ran"] == events[0]["steps"] == len(state)


def test_frames_land_before_the_film_is_made() -> None:
    kinds = [type(item).__name__ for item in render(toy_job(400), Memory(), Serial())]
    # two windows of two steps each may be under way, and the first needs a step more
    assert kinds[: kinds.index("Frames")].count("Finished") <= 7
    assert kinds.index("Frames") < len(kinds) // 4


def test_a_second_run_reuses_everything(tmp_path: Path) -> None:
    job = toy_job(scheme=Tree())
    first, _ = made(job, Folder(tmp_path / "run"))
    second, events = made(job, Folder(tmp_path / "run"))
    assert torch.equal(first, second)
    assert count(events, "started") == 0 and events[-1]["reused"] == len(job.calls)


def test_seed_decides() -> None:
    one, same, other = (made(toy_job(40, seed=s), Memory())[0] for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


PROGRAM = [sys.executable, str(Path(__file__).with_name("engine_parts.py"))]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def start(run: Path, out: Path, slow: float) -> subprocess.Popen[str]:
    command = [*PROGRAM, str(run), str(out), str(slow)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)


def test_killed_and_resumed_gives_the_same_bytes(tmp_path: Path) -> None:
    killed = start(tmp_path / "run", tmp_path / "killed", 0.2)
    assert killed.stdout is not None
    finished = 0
    for line in killed.stdout:
        finished += json.loads(line)["event"] == "finished"
        if finished == 4:
            break
    killed.kill()
    killed.communicate()
    assert (tmp_path / "killed").stat().st_size < 160 * 3 * 8 * 16
    events = [
        json.loads(t)
        for t in start(tmp_path / "run", tmp_path / "b", 0).communicate()[0].splitlines()
    ]
    assert 4 <= events[-1]["reused"] <= 5 and events[-1]["ran"] == 10 - events[-1]["reused"]
    film, _ = made(
        toy_job(160, cues=(Cue(0, 8, "calm sea"), Cue(8, None, "a storm")), cuts=(80,)), Memory()
    )
    assert (tmp_path / "b").read_bytes() == film.numpy().tobytes()


def test_two_processes_share_a_run(tmp_path: Path) -> None:
    both = [start(tmp_path / "run", tmp_path / name, 0.05) for name in "ab"]
    lines = [[json.loads(t) for t in p.communicate()[0].splitlines()] for p in both]
    assert [p.returncode for p in both] == [0, 0]
    assert sum(count(events, "finished") for events in lines) == 10
    assert sum(count(events, "reused") for events in lines) == 10
    a, b = ((tmp_path / name).read_bytes() for name in "ab")
    assert a == b and len(a) == 160 * 3 * 8 * 16


def test_a_changed_prompt_runs_its_descendants_and_no_more() -> None:
    store = Memory()
    before = toy_job(100, cues=TWO)
    old, _ = made(before, store)
    after = toy_job(100, cues=(TWO[0], Cue(5.0, None, "sunset")))
    first = next(c.number for c in after.calls if any(i >= 13 for i in c.step.targets))
    expected = set(after.plan.descendants([first]))
    lines = list(plan_lines(after, store))[:-1]
    assert {line["step"] for line in lines if not line["cached"]} == expected
    assert lines[first]["why"] == "controls" and "observed" in lines[first + 1]["why"]
    new, events = made(after, store)
    assert {e["step"] for e in events if e["event"] == "started"} == expected
    assert torch.equal(old[:40], new[:40]) and not torch.equal(old[60:], new[60:])


def test_with_a_cut_only_that_take_runs_again() -> None:
    store = Memory()
    cues = (TWO[0], TWO[1], Cue(7.7, None, "night"))
    before = toy_job(100, cues=cues, cuts=(50, 77))
    old, _ = made(before, store)
    after = toy_job(100, cues=(cues[0], Cue(5.0, 7.7, "sunset"), cues[2]), cuts=(50, 77))
    new, events = made(after, store)
    take = after.takes[1]
    assert take.length is not None
    ran = {e["step"] for e in events if e["event"] == "started"}
    middle = range(take.start, take.start + take.length)
    assert ran == {c.number for c in after.calls if c.step.targets[0] in middle}
    assert torch.equal(old[:50], new[:50]) and torch.equal(old[77:], new[77:])
    assert not torch.equal(old[50:77], new[50:77])


def test_a_take_never_hears_the_next_takes_cue() -> None:
    job = toy_job(30, cues=(Cue(0, 0.9, "a"), Cue(0.9, None, "b")), cuts=(9,))
    # index 2 holds frame 8 only; its middle, frame 10, lies past the cut
    assert [job.controls.mix(i) for i in (0, 1, 2, 3)] == [((0, 1.0),)] * 3 + [((1, 1.0),)]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"seed": 2}, "seed"),
        ({"fingerprint": "other weights"}, "model"),
        ({"size": (24, 8)}, "frame"),
        ({"dtype": "bfloat16"}, "machine"),
        ({"cues": (Cue(0, None, "fog"),)}, "controls"),
    ],
)
def test_a_plan_says_why(change: dict[str, Any], part: str) -> None:
    store = Memory()
    assert {line.get("why") for line in plan_lines(toy_job(), store)} == {"new", None}
    made(toy_job(), store)
    *steps, total = plan_lines(toy_job(), store)
    assert {line["why"] for line in steps} == {"cached"}
    assert total == {
        "event": "planned",
        "steps": 7,
        "waves": 7,
        "calls": 7,
        "peak_live": 6,
        "deepest_ancestry": 7,
    }
    lines = list(plan_lines(toy_job(**change), store))
    assert lines[0]["why"] == part and not any(line["cached"] for line in lines[:-1])


def test_explain_names_what_changed_and_the_ancestry() -> None:
    store = Memory()
    made(toy_job(60), store)
    assert explain(store, 2)["changed"] == []
    made(toy_job(60, seed=5), store)
    said = explain(store, 3)
    assert said["changed"] == ["observed", "seed"] and said["seed"] == 5
    assert said["prompts"] == ["calm sea"]
    assert said["ancestry"] == {"depth": 4, "steps": [0, 1, 2]}
    assert [seen["step"] for seen in said["observed"]] == [2, 2]
    made(toy_job(60), store)  # back again: nothing runs, and the journal knows it
    assert explain(store, 3)["seed"] == 1
    with pytest.raises(InputError, match="0 to 3"):
        explain(store, 12)


def test_the_journal_names_every_clip_before_it_is_stored() -> None:
    class Stopping(Memory):
        def put(self, key: str, clip: Clip) -> None:
            super().put(key, clip)
            if len(self.clips) == 5:
                raise KeyboardInterrupt

    store = Stopping()
    with pytest.raises(KeyboardInterrupt):
        made(toy_job(None), store)  # endless: `gc` has nothing but the journal to go by
    assert len(store.clips) == 5 and set(store.clips) <= {line["key"] for line in store.records()}
    job, film = toy_job(60), Memory()
    film.record(dict(next(store.records())))  # a line without its clip, as of a stop in between
    *steps, _ = plan_lines(job, film)
    assert steps[0]["why"] == "missing" and made(job, film)[1][-1]["ran"] == len(steps)


def tensors() -> int:
    return sum(type(o) is torch.Tensor for o in gc.get_objects())


def test_memory_stays_flat_over_six_thousand_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = 4 * 3 * 4 * 8 * 4 + 4
    monkeypatch.setattr(desk_module, "BUDGET", 8 * clip)
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # only for speed
    before, most = tensors(), 0  # other tests may have left models in memory
    for number, item in enumerate(render(toy_job(6000), Folder(tmp_path / "run"), Serial())):
        if number % 100 == 0:
            del item
            most = max(most, tensors() - before)
    assert most < 60  # 1,500 latent frames in 375 clips, two tensors each


class Sieve(Memory):
    """Remembers what the last twenty steps made."""

    def put(self, key: str, clip: Clip) -> None:
        super().put(key, clip)
        if len(self.clips) > 20:
            del self.clips[next(iter(self.clips))]

    def record(self, line: Any) -> None:
        return


def test_an_endless_film_stays_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "BUDGET", 5000)
    monkeypatch.setattr(job_module, "REACH", 50)
    items = render(toy_job(None, encoder=False), Sieve(), Serial())
    film = (item for item in items if isinstance(item, Frames))
    shown = [item.first for item in itertools.islice(film, 40)]
    tracemalloc.start()
    try:
        shown += [item.first for item in itertools.islice(film, 50)]
        before = tracemalloc.get_traced_memory()[0]
        shown += [item.first for item in itertools.islice(film, 200)]
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    film.close()
    assert shown == [32 * n for n in range(290)]
    assert grown < 200 * 8 * 150  # bytes an index: which step wrote it, and no more


def test_an_endless_film_says_when_it_forgot(monkeypatch: pytest.MonkeyPatch) -> None:
    class Anchored(Chain):
        def steps(self, timeline: Timeline) -> Iterator[Step]:
            for number, step in enumerate(super().steps(timeline)):
                yield dataclasses.replace(step, observed=(0,)) if number == 20 else step

    monkeypatch.setattr(job_module, "REACH", 50)
    items = render(toy_job(None, scheme=Anchored()), Memory(), Serial())
    with pytest.raises(PlanError, match="frame 0 read too late"):
        list(itertools.islice(items, 100))


def test_an_endless_film_looks_only_so_far_ahead() -> None:
    job = toy_job(None)
    queue = Queue(job)
    taken = []
    for _ in range(500):
        call = queue.next()
        assert call is not None
        taken.append(call.number)
        assert len(queue._open) <= 64
        queue.finish(call)
    assert taken == list(range(500))


@pytest.mark.parametrize("stride", [1, 4])
def test_given_clips_are_pinned_and_observed(stride: int) -> None:
    job = toy_job(90, stride=stride, given=(grey(0, 35, 0.9), grey(80, 1, 0.1, still=True)))
    film, _ = made(job, Memory())
    assert job.takes[0].skip == (1 if stride == 4 else 0)
    # the codec's decoder mixes an index with its neighbours, and lights a stride's frames unevenly
    assert (film[: 35 - stride].float() / 255 - 0.9).abs().max() < 0.01
    assert film[80].float().mean() < 90
    assert job.calls[0].step.observed and min(job.calls[0].step.targets) == -(-35 // stride)


def test_a_backward_clip_begins_with_an_index() -> None:
    job = toy_job(90, given=(grey(50, 40, 0.9),))
    assert job.takes[0].skip == 2
    assert job.given_indices[13][1] == 0  # 50 frames and 2 to skip are 13 whole indices
    film, _ = made(job, Memory())
    assert film.shape[0] == 90 and (film[54:].float() / 255 - 0.9).abs().max() < 0.01


def test_a_given_clip_inside_an_index_repeats_its_edge() -> None:
    ramp = torch.linspace(0.1, 0.9, 6)[:, None, None, None].expand(6, 3, 8, 16)
    clip = Given(10, 6, "ramp", lambda: ramp, still=True)  # still: nothing is moved for it
    store = Memory()
    made(toy_job(40, given=(clip,)), store)
    job = toy_job(40, given=(clip,))
    piece = job.pieces[2]
    assert (piece.offset, piece.at) == (-2, (2, 3))
    latents = store.clips[job.piece_key(piece, 0)].frames
    first = torch.logit(ramp[[0, 0, 0, 1], 0, 0, 0].mean())
    assert torch.allclose(latents[0, 0], first, atol=1e-5)


def test_given_clips_must_lie_apart_and_inside() -> None:
    with pytest.raises(InputError, match="4 frames apart"):
        _ = toy_job(40, given=(grey(8, 1, still=True), grey(10, 1, still=True))).timeline
    with pytest.raises(InputError, match="0 to 39"):
        toy_job(40, given=(grey(30, 11),))


def test_another_given_clip_is_another_film() -> None:
    store = Memory()
    made(toy_job(60, given=(grey(0, 8, 0.5),)), store)
    lines = list(plan_lines(toy_job(60, given=(grey(0, 8, 0.6),)), store))
    assert lines[0]["why"] == "observed" and not lines[-2]["cached"]


def test_a_film_of_given_frames_alone() -> None:
    film, events = made(toy_job(12, given=(grey(0, 12, 0.3),)), Memory())
    assert events[0]["steps"] == 0 and (film.float() / 255 - 0.3).abs().max() < 0.02


def test_video_to_video_starts_from_the_source() -> None:
    store, films = Memory(), {}
    for strength in (0.0, 0.5):
        job = toy_job(40, source=grey(0, 30, 0.9), strength=strength, cues=())
        films[strength] = made(job, store)[0].float() / 255
    assert (films[0.0] - 0.9).abs().max() < 0.01
    assert 0.01 < (films[0.5] - 0.9).abs().mean() < 0.4
    changed = toy_job(40, source=grey(0, 30, 0.8), strength=0.5, cues=())
    assert next(plan_lines(changed, store))["why"] == "source"
    with pytest.raises(InputError, match="endless"):
        toy_job(None, source=grey(0, 30))


def test_a_later_stage_sees_the_earlier_one() -> None:
    store = Memory()
    job = toy_job(60, stages=2, encoder=False)
    film, events = made(job, store)
    alone, _ = made(toy_job(60, encoder=False), Memory())
    assert events[-1]["ran"] == 2 * len(job.plan.steps)
    assert [call.stage for call in job.calls[:4]] == [0, 1, 0, 1]
    close = (film.float() - alone.float()).abs().mean()
    assert 0 < close < (film.float() - film.float().flip(0)).abs().mean() / 2
    other = toy_job(60, stages=2, encoder=False, seed=2)
    assert "earlier" in list(plan_lines(other, store))[1]["why"]


def test_an_adaptive_step_chooses_as_it_runs_and_resumes(tmp_path: Path) -> None:
    job = toy_job(120, scheme=Chain(choose=2))
    film, _ = made(job, Folder(tmp_path / "run"))
    store = Folder(tmp_path / "run")
    chosen = [tuple(i for i, _ in line["observed"]) for line in store.records()]
    assert all(len(seen) == 2 for seen in chosen[1:])
    assert chosen[2:] != [call.step.observed[-2:] for call in job.calls[2:]]
    again, events = made(job, store)
    assert torch.equal(film, again) and events[-1]["ran"] == 0
    assert all(line["cached"] for line in list(plan_lines(job, store))[:-1])
    with pytest.raises(PlanError, match="as it runs"):
        job.key_of(3)


def test_carry_reaches_the_next_step() -> None:
    store = Memory()
    job = toy_job(100)
    made(job, store)
    counts = [store.clips[job.key_of(n).key].carry["count"].item() for n in range(7)]
    assert counts == [1, 2, 3, 4, 5, 6, 7]


def test_carry_of_what_was_written_last_wins() -> None:
    class Backwards(Chain):
        def steps(self, timeline: Timeline) -> Iterator[Step]:
            yield from (Step((2, 3)), Step((0, 1), (2,)), Step((4,), (0, 2)))

    store = Memory()
    job = toy_job(5, stride=1, scheme=Backwards())
    made(job, store)
    counts = [store.clips[key.key].carry["count"].item() for key in job.keys]
    assert counts == [1, 2, 3]


def test_the_film_is_resized_from_the_canvas() -> None:
    film, _ = made(toy_job(20, size=(21, 10)), Memory())
    whole, _ = made(toy_job(20, size=(24, 16)), Memory())
    assert film.shape[2:] == (10, 21)
    assert abs(film.float().mean() - whole.float().mean()) < 2


class Sour:
    """A model whose answers break a law."""

    def __init__(self, spec: Any, fault: str) -> None:
        self.spec, self.fault = spec, fault

    def sample(self, request: Any) -> Clip:
        frames = torch.zeros(1, len(request.targets), *request.frame)
        if self.fault == "nan" and 8 in request.targets:
            frames[0, 0, 0, 0, 0] = torch.nan
        if self.fault == "shape":
            frames = frames[..., :-1]
        at = request.targets[::-1] if self.fault == "order" else request.targets
        return Clip(frames, at)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("nan", MachineError, "not finite.*2 finished steps are safe.*step 2"),
        ("shape", FitError, "shape"),
        ("order", FitError, "asked for"),
    ],
)
def test_a_wrong_answer_is_refused(fault: str, kind: type[Exception], words: str) -> None:
    system = toy_system()
    stage = system.stages[0]
    part = type(stage.models["clip"])(stage.models["clip"].spec, lambda: Sour(None, fault))
    system = dataclasses.replace(
        system, stages=(dataclasses.replace(stage, models={"clip": part}),)
    )
    with pytest.raises(kind, match=words):
        made(toy_job(40, system=system), Memory())


def test_a_scheme_that_breaks_a_law_is_refused_before_anything_runs() -> None:
    class Twice(Chain):
        def steps(self, timeline: Timeline) -> Iterator[Step]:
            yield from super().steps(timeline)
            yield Step((0,))

    with pytest.raises(PlanError, match="written twice"):
        next(render(toy_job(40, scheme=Twice()), Memory(), Serial()))


@settings(max_examples=25, deadline=None)
@drawn(
    frames=st.integers(1, 70),
    stride=st.sampled_from([1, 2, 4]),
    cuts=st.sets(st.integers(1, 69), max_size=3),
    tree=st.booleans(),
)
def test_any_film_is_whole(frames: int, stride: int, cuts: set[int], tree: bool) -> None:
    inside = tuple(sorted(cut for cut in cuts if cut < frames))
    scheme = Tree() if tree else Chain()
    job = toy_job(frames, stride=stride, cuts=inside, scheme=scheme, fps=Fraction(30000, 1001))
    film, events = made(job, Memory())
    assert len(film) == frames and events[-1]["ran"] == len(job.plan.steps)
