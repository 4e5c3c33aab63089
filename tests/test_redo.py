"""Laws of a stretch that is made again: what changes, what does not, and that every take can be had."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_parts import Chain, count, made, toy_job
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from longtake.controls import Cue
from longtake.engine import (
    Batched,
    Folder,
    Given,
    Memory,
    Redo,
    Serial,
    explain,
    plan_lines,
    render,
)
from longtake.engine.job import Job, Keys
from longtake.engine.redo import MOST, parts_of, settled_on, widened
from longtake.engine.run import needed
from longtake.schemes import SCHEMES, find_scheme

pytestmark = pytest.mark.usefixtures("one_thread")

WINDOWS = {"one-shot": 200, "per-shot": 12}


def scheme_of(name: str) -> Any:
    knobs = ",shot=20" if name == "per-shot" else ""
    return find_scheme(f"{name}:window={WINDOWS.get(name, 8)}{knobs}")


def job_of(scheme: Any = None, frames: int = 240, **changes: Any) -> Job:
    return toy_job(frames, scheme=scheme or Chain(), window=200, **changes)


def again(job: Job, *redone: Redo) -> Job:
    return dataclasses.replace(job, redone=redone)


def changed(film: Tensor, other: Tensor) -> list[int]:
    """Frames that are not the same to the bit."""
    return (film != other).flatten(1).any(1).nonzero().flatten().tolist()


def inside(job: Job, number: int = 0) -> set[int]:
    """The frames that a redo may change."""
    return {n for part in job.layers.parts[number] for n in range(*part.frames)}


# --- what may change


@pytest.mark.parametrize("name", SCHEMES)
def test_only_the_stretch_changes_whatever_the_scheme(name: str) -> None:
    job, store = job_of(scheme_of(name)), Memory()
    film, _ = made(job, store)
    before = dict(store.clips)
    redone = again(job, Redo(100, 160, (1, 2, 3)))
    new, events = made(redone, store)
    found = changed(film, new)
    assert set(found) <= inside(redone) <= set(range(100, 160))
    # the frames of an index that is made again all change; at the pins the new picture fades in
    free = sorted(redone.layers.free[0])
    assert set(range(4 * free[0], 4 * free[-1] + 4)) <= set(found)
    assert all(torch.equal(store.clips[key].frames, clip.frames) for key, clip in before.items())
    assert events[-1]["reused"] == len(job.calls) and count(events, "finished") == events[-1]["ran"]
    calls = redone.calls[len(job.calls) :]
    assert {i for call in calls for i in call.step.targets} == set(free)
    assert all(call.step.size <= redone.system.stages[0].scheme.window for call in calls)
    assert any(min(call.step.observed) < free[0] for call in calls)


@settings(max_examples=25, deadline=None)
@drawn(st.data())
def test_any_stretch_of_any_film_is_pinned_at_both_ends(data: st.DataObject) -> None:
    frames = data.draw(st.integers(60, 200), "frames")
    stride = data.draw(st.sampled_from([1, 4]), "stride")
    name = data.draw(st.sampled_from(sorted(SCHEMES)), "scheme")
    cuts = data.draw(st.sampled_from([(), (50,), (33, 50)]), "cuts")
    first = data.draw(st.integers(0, frames - 1), "first")
    end = data.draw(st.integers(first + 1, frames), "end")
    still = Given(40, 1, "grey", lambda: torch.full((1, 3, 8, 16), 0.5), still=True)
    given = data.draw(st.sampled_from([(), (still,)]), "given")
    job = job_of(scheme_of(name), frames, stride=stride, cuts=cuts, given=given)
    free = {i for part in parts_of(job, first, end) for i in part.free}
    if not free:
        wide = widened(job, first, end)
        assert wide is not None and wide[0] <= first and end <= wide[1]
        assert any(part.free for part in parts_of(job, *wide))
        return
    store = Memory()
    film, _ = made(job, store)
    redone = again(job, Redo(first, end, (1,)))
    new, _ = made(redone, store)
    assert changed(film, new) and set(changed(film, new)) <= set(range(first, end))
    for part in redone.layers.parts[0]:
        weights = part.weights()
        assert len(weights) == part.frames[1] - part.frames[0]
        assert all(0 < weight <= 1 for weight in weights)
        assert first <= part.frames[0] < part.frames[1] <= end


def test_stages_follow_one_another_in_a_stretch() -> None:
    job, store = job_of(stages=2), Memory()
    film, _ = made(job, store)
    redone = again(job, Redo(100, 160))
    new, events = made(redone, store)
    calls = redone.calls[len(job.calls) :]
    assert {call.stage for call in calls} == {0, 1} and events[-1]["ran"] == len(calls)
    assert set(changed(film, new)) == inside(redone)
    late = next(call for call in calls if call.stage == 1)
    assert any(call.number in late.needs for call in calls if call.stage == 0)


def test_a_video_that_is_rendered_again_shows_through_in_a_stretch() -> None:
    source = Given(0, 240, "grey", lambda: torch.full((240, 3, 8, 16), 0.1))
    films = []
    for strength in (1.0, 0.01):
        job, store = job_of(source=source, strength=strength), Memory()
        made(job, store)
        films.append(made(again(job, Redo(100, 160)), store)[0][110:150].float().mean())
    assert films[1] < films[0] - 30, "nearly all of it is the dark source"


def test_the_words_of_the_film_are_heard_in_a_stretch() -> None:
    cues = (Cue(0.0, 12.0, "calm"), Cue(12.0, None, "a storm", cut=False))
    job, store = (
        job_of(scheme_of("autoregressive"), cues=cues),
        Memory(),
    )
    made(job, store)
    redone = again(job, Redo(100, 160))
    made(redone, store)
    heard = {}
    for call in redone.calls:
        if call.view is not None:
            said = explain(store, call.number)["prompts"]
            heard.update((index, said) for index in call.step.targets)
    assert "calm" in heard[min(heard)] and heard[max(heard)] == ["a storm"]


# --- takes


def test_takes_are_different_all_stay_and_the_least_faulty_is_chosen() -> None:
    job, store = job_of(), Memory()
    film, _ = made(job, store)
    films = {0: film}
    for take in (1, 2, 3):
        films[take], _ = made(again(job, Redo(100, 160, (take,))), store)
    for a in films:
        assert all(changed(films[a], films[b]) for b in films if b != a)
    several = again(job, Redo(100, 160, (1, 2, 3)))
    best, events = made(several, store)
    assert events[-1]["ran"] == 0, "every take stays"
    (chosen,) = [event for event in events if event["event"] == "chosen"]
    assert chosen["frames"] == [100, 160] and set(chosen["scores"]) == {"1", "2", "3"}
    assert chosen["scores"][str(chosen["take"])] == min(chosen["scores"].values())
    assert torch.equal(best, films[chosen["take"]])
    for pick in (0, 1, 3):
        picked, events = made(again(job, Redo(100, 160, (1, 2, 3), pick=pick)), store)
        assert torch.equal(picked, films[pick]) and events[-1]["ran"] == 0


def test_a_spoilt_take_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    job, store = job_of(find_scheme("unified:window=8")), Memory()
    made(job, store)
    several = again(job, Redo(100, 160, (1, 2, 3)))
    _, events = made(several, store)
    liked = next(event["take"] for event in events if event["event"] == "chosen")
    keys = Keys(several)
    for call in several.calls:
        key = keys.take(call).key
        if call.view is not None and call.view.take == liked:
            clip = store.clips[key]
            store.clips[key] = dataclasses.replace(clip, frames=clip.frames + 9.0)
    _, events = made(several, store)
    chosen = next(event for event in events if event["event"] == "chosen")
    assert chosen["take"] != liked and chosen["scores"][str(liked)] > 1


def test_noise_and_keys_of_takes_are_their_own() -> None:
    job = again(job_of(), Redo(100, 160, (1, 2)))
    keys = Keys(job)
    made_of = [(call, keys.take(call)) for call in job.calls]
    takes = [(call, key) for call, key in made_of if call.view is not None]
    assert {key.parts["take"] for _, key in takes} == {"1", "2"}
    assert len({key.key for _, key in made_of}) == len(made_of)
    first = next(key for call, key in takes if call.view and call.view.take == 1)
    other = next(key for call, key in takes if call.view and call.view.take == 2)
    assert first.why(other) == ("take",)
    assert not any("take" in key.parts for call, key in made_of if call.view is None)


def test_steps_of_a_take_keep_their_numbers_whatever_else_is_asked() -> None:
    job = job_of()

    def numbers(*redone: Redo, of: int) -> set[int]:
        calls = again(job, *redone).calls
        return {call.number for call in calls if call.view and call.view.redo == of}

    one = {take: numbers(Redo(100, 160, (take,)), of=0) for take in (1, 2, MOST)}
    assert len(set.union(*one.values())) == sum(map(len, one.values()))
    assert numbers(Redo(100, 160, (1, 2, MOST)), of=0) == set.union(*one.values())
    later = numbers(Redo(100, 160, (2,)), Redo(20, 60, (1,), 1), of=1)
    assert min(later) > max(one[MOST])
    assert later == numbers(Redo(100, 160, (1, 2), pick=1), Redo(20, 60, (1,), 1), of=1)


# --- redo upon redo


def test_redos_lie_one_upon_the_other_and_each_can_be_taken_back() -> None:
    job, store = job_of(find_scheme("long-range:window=8")), Memory()
    film, _ = made(job, store)
    one, two = Redo(100, 160, (2,)), Redo(40, 80, (1,), 1)
    first, _ = made(again(job, one), store)
    both, _ = made(again(job, one, two), store)
    assert set(changed(first, both)) <= set(range(40, 80)) and changed(first, both)
    # another take of the first, later: the second stays as it is, and nothing has to be made
    made(again(job, Redo(100, 160, (3,))), store)
    swapped, events = made(again(job, one, two, Redo(100, 160, (3,), 0)), store)
    assert events[-1]["ran"] == 0 and changed(both, swapped)
    assert set(changed(both, swapped)) <= set(range(100, 160))
    back, events = made(again(job, one, two, Redo(100, 160, (0,), 0)), store)
    assert events[-1]["ran"] == 0
    (part,) = parts_of(job, 100, 160)
    whole = {100 + n for n, weight in enumerate(part.weights()) if weight == 1}
    assert len(whole) == 60 - part.before - part.after
    assert not set(changed(film, back)) & whole
    assert not set(changed(both, back)) & set(range(40, 80))


def test_a_redo_upon_another_observes_it() -> None:
    job, store = job_of(scheme_of("autoregressive")), Memory()
    made(job, store)
    films = [
        made(again(job, Redo(100, 160, (take,)), Redo(140, 200, (1,), 1)), store)[0]
        for take in (1, 2)
    ]
    assert {*range(160, 176)} & set(changed(*films)), "it goes on from another past"


# --- runs, plans, replays


def test_an_interrupted_redo_goes_on_and_no_executor_changes_it(tmp_path: Path) -> None:
    scheme = find_scheme("coarse-to-fine:window=8")
    job = job_of(scheme)
    redone = again(job, Redo(60, 200, (1, 2, 3)))
    store = Memory()
    made(job, store)
    film, events = made(redone, store)
    ran = events[-1]["ran"]
    assert ran > 6
    for stop in range(1, ran, 4):
        folder = tmp_path / str(stop)
        made(job, Folder(folder))
        seen, run = 0, render(redone, Folder(folder), Serial())
        for item in run:
            seen += type(item).__name__ == "Finished"
            if seen == stop:
                break
        run.close()  # type: ignore[attr-defined]
        new, events = made(redone, Folder(folder))
        assert torch.equal(new, film) and events[-1]["ran"] == ran - stop
    other = Memory()
    made(job, other)
    assert torch.equal(made(redone, other, Batched(4))[0], film)


def test_plan_and_explain_tell_of_takes() -> None:
    job, store = job_of(repair="report"), Memory()
    made(job, store)
    redone = again(job, Redo(100, 160, (1, 2)))
    *steps, total = plan_lines(redone, store)
    assert [line["cached"] for line in steps] == [call.view is None for call in redone.calls]
    assert total["steps"] == len(redone.calls) and total["waves"] == 1 + max(redone.waves)
    assert {line["take"] for line in steps if "take" in line} == {1, 2}
    made(redone, store)
    assert all(line["cached"] for line in list(plan_lines(redone, store))[:-1])
    call = redone.calls[-1]
    told = explain(store, call.number)
    assert told["take"] == 2 and told["stored"] and told["parts"]["take"] == "2"
    assert told["scores"] and told["seed"] != job.seed
    assert set(told["ancestry"]["steps"]) <= {call.number for call in redone.calls}
    assert "take" not in explain(store, 0)


@pytest.mark.parametrize("name", ["autoregressive", "unified", "adaptive", "hierarchy"])
def test_a_stretch_of_a_redone_film_can_be_rendered_alone(name: str) -> None:
    job = job_of(scheme_of(name), 400)
    job = again(job, Redo(100, 160, (2,)), Redo(300, 360, (1,), 1))
    film, _ = made(job, Memory())
    for only in ((128, 160), (0, 32), (320, 384)):
        items = render(job, Memory(), Serial(), only=only)
        pixels = torch.cat([item.pixels for item in items if hasattr(item, "pixels")])
        assert torch.equal(pixels, film[only[0] : only[1]])
    early = needed(again(job_of(scheme_of("autoregressive"), 400), *job.redone), (0, 32))
    assert max(early) < len(job.first_made), "no redo is needed for what lies far before it"


def test_a_film_settled_on_a_take_is_the_film() -> None:
    job, store = job_of(), Memory()
    made(job, store)
    several = again(job, Redo(100, 160, (1, 2, 3)))
    film, events = made(several, store)
    take = next(event["take"] for event in events if event["event"] == "chosen")
    settled = again(job, *settled_on(several.redone, take))
    assert torch.equal(made(settled, Memory())[0], film)
