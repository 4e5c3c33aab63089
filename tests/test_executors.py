"""Who computes a step does not change the film."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from engine_parts import Tree, count, made, toy_job, toy_system

from longtake.engine import Batched, Executor, Memory, Processes, Serial, executor_of, render
from longtake.errors import InputError, MachineError
from longtake.system import System


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


make = functools.partial(toy_system, scheme=Tree())


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_no_batch_size_changes_the_film(size: int) -> None:
    job = toy_job(170, scheme=Tree())
    film, _ = made(job, Memory())
    other, events = made(job, Memory(), Batched(size))
    assert torch.equal(film, other)
    assert count(events, "finished") == len(job.calls)


def test_what_is_ready_together_shares_a_batch() -> None:
    job = toy_job(170, scheme=Tree())
    made(job, Memory(), Batched(8))
    model: Any = job.system.stages[0].models["clip"].made
    assert max(model.calls) == 8 and sum(model.calls) == len(job.calls)
    assert len(model.calls) < len(job.calls) / 3


def test_tasks_of_another_shape_do_not_share_a_batch() -> None:
    job = toy_job(33, scheme=Tree(), cuts=(1, 12), stride=1)  # a take of one frame, one target
    made(job, Memory(), Batched(8))
    model: Any = job.system.stages[0].models["clip"].made
    assert sum(model.calls) == len(job.calls)


def test_processes_make_the_same_film_and_carry_clips_both_ways() -> None:
    job = toy_job(100, scheme=Tree(), cuts=(50,), stages=2)
    film, _ = made(job, Memory())
    twice = functools.partial(make, stages=2)
    executor = Processes(2, twice)
    other, events = made(job, Memory(), executor)
    assert torch.equal(film, other) and events[-1]["ran"] == len(job.calls)
    assert not executor._idle and not executor._busy  # closed by the loop
    source = toy_job(20, source=job_source(), strength=0.5, scheme=Tree())
    assert torch.equal(made(source, Memory())[0], made(source, Memory(), Processes(1, make))[0])


def job_source() -> Any:
    from longtake.engine import Given

    return Given(0, 20, "grey", lambda: torch.full((20, 3, 8, 16), 0.7))


def test_a_lost_worker_stops_the_run_and_the_next_run_ends_it() -> None:
    store = Memory()
    job = toy_job(100)
    with pytest.raises(MachineError, match=r"worker was lost.*2 finished steps are safe.*step 2"):
        made(job, store, Processes(1, functools.partial(toy_system, die="exit")))
    film, events = made(job, store)
    assert events[-1]["reused"] == 2
    assert torch.equal(film, made(job, Memory())[0])


def broken() -> System:
    raise InputError("no weights", "skies", "longtake doctor")


def test_errors_come_back_from_workers_as_they_were() -> None:
    with pytest.raises(InputError, match="no weights"):
        made(toy_job(20), Memory(), Processes(1, broken))


def test_memory_that_does_not_suffice_is_the_machines_failure() -> None:
    with pytest.raises(MachineError, match=r"out of memory; 2 finished steps are safe") as info:
        made(toy_job(100, die="memory"), Memory())
    assert info.value.exit_code == 3


def test_a_run_that_is_dropped_closes_its_executor() -> None:
    closed = []

    class Watched(Serial):
        def close(self) -> None:
            closed.append(True)
            super().close()

    film = render(toy_job(100), Memory(), Watched())
    for _ in range(5):
        next(film)
    assert not closed
    film.close()
    assert closed


@pytest.mark.parametrize(
    ("text", "kind", "size"),
    [
        ("serial", Serial, 1),
        ("batched:3", Batched, 3),
        ("batched", Batched, 8),
        ("processes:4", Processes, 4),
    ],
)
def test_executors_are_found_by_name(text: str, kind: type[Executor], size: int) -> None:
    executor = executor_of(text, make)
    assert type(executor) is kind and executor.room() == size


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("proceses:2", "processes"),
        ("processes:x", "processes:4"),
        ("batched:0", "batched:4"),
        ("serial:2", "serial"),
    ],
)
def test_a_wrong_name_gets_the_nearest(text: str, hint: str) -> None:
    with pytest.raises(InputError) as info:
        executor_of(text, make)
    assert info.value.hint == hint


def test_without_ray_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MachineError, match="pip install ray"):
        executor_of("ray", make)
