"""Laws of self-repair: what is found, what is left alone, and that no run decides otherwise than another."""

from __future__ import annotations

import dataclasses
import functools
import gc
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_parts import count, made, toy_job
from repair_parts import FAULTS, Spoilt, Tally, gaussian_job, gaussian_system, model_of

from longtake.brief import job_of
from longtake.clip import Clip, ClipRequest
from longtake.engine import Batched, Folder, Frames, Memory, Processes, Serial, explain, render
from longtake.engine.chance import noise_of
from longtake.engine.desk import Desk
from longtake.engine.executors import Result
from longtake.engine.job import Job, Keys
from longtake.engine.repair import TRIES, Critic, settled
from longtake.engine.why import plan_lines
from longtake.errors import InputError, MachineError
from longtake.keys import StepKey

CHAIN, WOVEN = "autoregressive:window=8,step=4", "unified:window=16"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- how much is found


@pytest.mark.parametrize("cues", [1, 8])
def test_faults_are_caught_and_little_else(cues: int) -> None:
    tally = Tally()
    for scheme, seed in ((CHAIN, 1), (CHAIN, 2), (WOVEN, 3), (WOVEN, 4), (WOVEN, 5)):
        tally.add(gaussian_job(800, scheme, cues=cues, passage=3.0, seed=seed))
    assert tally.spoilt >= 25 and tally.sound >= 500
    assert tally.caught >= 0.95 * tally.spoilt, tally.missed
    assert tally.alarmed <= 0.02 * tally.sound, tally.wrongly


@pytest.mark.parametrize("fault", FAULTS)
def test_every_kind_of_fault_is_caught_and_the_film_ends_clean(fault: str) -> None:
    tally, store = Tally(), Memory()
    job = gaussian_job(400, fault=fault, share=0.06, seed=1)
    tally.add(job, store)
    assert tally.spoilt >= 3 and tally.caught == tally.spoilt, tally.missed
    assert tally.alarmed == 0, tally.wrongly
    keys = Keys(job, settled(job, store))
    for call in job.calls:
        clip = store.clips[keys.take(call).key]
        assert clip.frames.isfinite().all() and clip.frames.std() > 0.2


def test_rough_films_are_no_faults() -> None:
    job = toy_job(800, repair="repair")  # half of each frame is noise that no other frame shares
    assert count(made(job, Memory())[1], "repaired") <= 0.02 * len(job.calls)


# --- that no run decides otherwise


def test_no_executor_and_no_interruption_changes_a_repaired_film(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"share": 0.15, "seed": 3}
    job = gaussian_job(200, WOVEN, **asked)
    film, events = made(job, Memory())
    assert count(events, "repaired") >= 3
    for executor in (Batched(4), Processes(2, functools.partial(gaussian_system, WOVEN, **asked))):
        assert torch.equal(made(job, Memory(), executor)[0], film)
    for stop in ("repaired", "finished", "started"):
        seen = 0
        run = render(job, Folder(tmp_path / stop), Serial())
        for item in run:
            seen += type(item).__name__.lower() == stop
            if seen == 3:
                break
        run.close()  # type: ignore[attr-defined]
        again, told = made(job, Folder(tmp_path / stop))
        assert torch.equal(again, film) and told[-1]["reused"] > 0
        again, told = made(job, Folder(tmp_path / stop))
        assert torch.equal(again, film) and told[-1]["ran"] == 0
        assert count(told, "repaired") == 0


def test_a_stretch_alone_is_repaired_alike() -> None:
    job = gaussian_job(200, WOVEN, share=0.15, seed=3)
    film, _ = made(job, Memory())
    parts = render(job, Memory(), Serial(), only=(64, 128))
    pixels = torch.cat([item.pixels for item in parts if isinstance(item, Frames)])
    assert torch.equal(pixels, film[64:128])


def test_a_film_without_faults_is_the_same_in_every_mode() -> None:
    store, films = Memory(), []
    for mode in ("off", "report", "repair"):
        film, events = made(gaussian_job(share=0.0, repair=mode), store)
        films.append(film)
        assert events[-1]["ran"] == (0 if films[1:] else len(store.clips))
    assert torch.equal(films[0], films[1]) and torch.equal(films[0], films[2])


def test_what_was_made_without_repair_is_repaired_when_found() -> None:
    asked: dict[str, Any] = {"fault": "noise", "share": 0.1, "seed": 5}
    film, _ = made(gaussian_job(**asked), Memory())
    store = Memory()
    plain, told = made(gaussian_job(repair="report", **asked), store)
    assert count(told, "repaired") == 0 and count(told, "suspect") >= 2
    again, told = made(gaussian_job(**asked), store)
    assert torch.equal(again, film) and told[-1]["reused"] > 0
    assert count(told, "repaired") >= 2
    assert torch.equal(made(gaussian_job(repair="off", **asked), store)[0], plain)
    assert torch.equal(made(gaussian_job(**asked), store)[0], film)


def test_a_damaged_repair_is_made_again_at_once(tmp_path: Path) -> None:
    job = gaussian_job(fault="noise", share=0.1, seed=5)
    film, told = made(job, Folder(tmp_path))
    step = next(line["step"] for line in told if line["event"] == "repaired")
    key = explain(Folder(tmp_path), step)["key"]
    next(tmp_path.glob(f"clips/*/{key}.safetensors")).write_bytes(b"damaged")
    again, told = made(job, Folder(tmp_path))
    assert torch.equal(again, film)
    repaired = [line for line in told if line["event"] == "repaired"]
    assert [(line["step"], line["attempt"]) for line in repaired] == [(step, 0)]


# --- what is said


def test_a_repair_is_an_event_and_explained() -> None:
    job, store = gaussian_job(fault="noise", share=0.1, seed=5), Memory()
    _, told = made(job, store)
    line = next(line for line in told if line["event"] == "repaired")
    assert set(line) == {"event", "step", "why", "attempt"} and line["attempt"] == 1
    assert "jump" in line["why"] and "times its limit" in line["why"]
    found = explain(store, line["step"])
    assert found["attempt"] >= 1 and found["parts"]["attempt"] == str(found["attempt"])
    assert found["seed"] != job.seed and max(found["scores"].values()) <= 1 and not found["faults"]
    assert explain(store, 0)["seed"] == job.seed and explain(store, 0)["attempt"] == 0
    assert all(line["cached"] for line in list(plan_lines(job, store))[:-1])


def test_off_scores_nothing_and_report_changes_nothing() -> None:
    asked: dict[str, Any] = {"fault": "noise", "share": 0.1, "seed": 5}
    plain, told = made(gaussian_job(repair="off", **asked), Memory())
    assert not {"repaired", "suspect"} & {line["event"] for line in told}
    store = Memory()
    film, told = made(gaussian_job(repair="report", **asked), store)
    assert torch.equal(film, plain)
    suspects = {line["step"]: line["why"] for line in told if line["event"] == "suspect"}
    assert suspects and all(explain(store, n)["faults"] == why for n, why in suspects.items())


@pytest.mark.parametrize("mode", ["off", "report"])
def test_what_is_not_finite_is_only_rolled_again_in_repair(mode: str) -> None:
    with pytest.raises(MachineError, match="not finite"):
        made(gaussian_job(fault="not numbers", share=0.1, seed=5, repair=mode), Memory())


def test_when_every_attempt_is_outside_its_limits_the_best_is_kept() -> None:
    class Ever(Spoilt):
        """One step is bright whatever chance says, now more and now less."""

        def sample(self, request: ClipRequest) -> Clip:
            clip = self.model.sample(request)
            self.said.append((request.targets[0], ""))
            tries = sum(place == 80 for place, _ in self.said)
            extra = (9.0, 7.0, 5.0, 6.0)[tries - 1] if request.targets[0] == 80 else 0.0
            return dataclasses.replace(clip, frames=clip.frames + extra)

    job, store = gaussian_job(100, share=0.0), Memory()
    part = job.system.stages[0].models["clip"]
    part.made = Ever(model_of(job).model)  # type: ignore[misc]
    film, told = made(job, store)
    step = next(call.number for call in job.calls if call.step.targets[0] == 80)
    rolled = [line for line in told if line.get("step") == step and line["event"] == "repaired"]
    assert [line["attempt"] for line in rolled] == list(range(1, TRIES + 1))
    assert count(told, "suspect") >= 1 and explain(store, step)["attempt"] == 2
    again, told = made(job, store)
    assert torch.equal(again, film) and told[-1]["ran"] == 0 and count(told, "suspect") >= 1


def test_a_step_that_is_never_finite_stops_the_film() -> None:
    job = gaussian_job(100, fault="not numbers", share=1.0)
    with pytest.raises(MachineError, match=r"not finite.*0 finished steps are safe"):
        made(job, Memory())
    assert len(model_of(job).said) == 1 + TRIES


class Dark:
    """Dark clips are a fault."""

    limits: Mapping[str, float] = {"dark": 1.0}

    def scores(self, clip: Clip, request: ClipRequest) -> Mapping[str, float]:
        assert clip.at == request.targets
        return {"dark": 1.5 if 40 in clip.at and request.noise.seed < 1000 else 0.5, "more": 3.0}


def test_a_recipe_may_judge_as_well() -> None:
    job, store = gaussian_job(100, share=0.0, judge=Dark()), Memory()
    _, told = made(job, store)
    why = [(line["step"], line["why"]) for line in told if line["event"] == "repaired"]
    assert why == [(9, "dark 1.5 times its limit")]
    assert explain(store, 9)["scores"]["dark"] == 0.5


# --- keys and modes


def test_attempts_have_keys_and_seeds_of_their_own() -> None:
    key = StepKey({"model": "a", "seed": "1"})
    assert key.rolled(0).key == key.key and key.rolled(2).first.key == key.key
    assert (key.attempt, key.rolled(2).attempt) == (0, 2)
    assert key.rolled(2).rolled(1).parts == key.rolled(1).parts
    assert key.rolled(1).why(key.rolled(2)) == ("attempt",)
    job: Job = gaussian_job(seed=4)
    seeds = [noise_of(job, key.rolled(n), (0,)).seed for n in range(4)]
    assert seeds[0] == 4 and len(set(seeds)) == 4 and min(seeds) >= 0


def test_modes_are_named() -> None:
    model = f"{Path(__file__).parent / 'toy.py'}:toy"
    assert job_of("m", {"model": model, "frames": 8}).repair == "report"
    assert job_of("m", {"model": model, "frames": 8, "repair": "off"}).repair == "off"
    with pytest.raises(InputError, match=r"unknown mode 'repare' \(--repair\); try repair"):
        job_of("m", {"model": model, "frames": 8, "repair": "repare"})


# --- what is left of it


def test_what_judges_a_film_is_gone_with_it() -> None:
    job = toy_job(60, repair="report")
    desk = Desk(job, Memory())
    order = desk.order(job.calls[0])
    clip = desk.task(order).part.made.sample(desk.task(order).request)
    desk.keep(order, Result(0, clip, 0.0))
    gc.disable()  # what is held in a ring would stay until the collector comes
    try:
        gone = weakref.ref(desk._critic)
        del desk
        assert gone() is None
    finally:
        gc.enable()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps' changes were remembered, verdict after verdict."""
    counts, judge = [], Critic.judge

    def counted(self: Critic, *asked: Any) -> Any:
        found = judge(self, *asked)
        counts.append(len(self._trails))
        return found

    monkeypatch.setattr(Critic, "judge", counted)
    return counts


def test_no_more_is_remembered_than_will_be_asked(held: list[int]) -> None:
    made(toy_job(800, repair="report"), Memory())
    assert len(held) == 50 and max(held) <= 3, "a chain's steps depend on the one before"


def test_an_endless_film_remembers_as_far_as_it_reaches(held: list[int]) -> None:
    job = dataclasses.replace(gaussian_job(share=0.3), frames=None)
    for item in render(job, Memory(), Serial()):
        if isinstance(item, Frames) and item.first > 2 * job.reach:
            break
    assert len(held) > job.reach / 2, "four frames a step, and some of them again"
    assert max(held) <= job.reach / 4 + TRIES + 2
