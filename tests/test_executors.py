"""Who computes a step does not change the film."""

from __future__ import annotations

import dataclasses
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from engine_parts import ToyEncoder, Tree, count, made, toy_job, toy_system

from longtake.controls import Cue
from longtake.engine import (
    Batched,
    Executor,
    Finished,
    Frames,
    Memory,
    Processes,
    Ray,
    Serial,
    Task,
    executor_of,
    render,
)
from longtake.engine.executors.parcels import Pulse
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


@pytest.mark.parametrize("trouble", ["once", "hang"])
def test_the_step_of_a_worker_that_dies_or_hangs_is_begun_again(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longtake.engine.executors.workers.PATIENCE", 6.0)
    monkeypatch.setattr("longtake.engine.executors.workers.BEAT", 0.2)
    job = toy_job(100)
    make = functools.partial(toy_system, die=f"{trouble}:{tmp_path / 'mark'}")
    film, events = made(job, Memory(), Processes(1, make))
    assert torch.equal(film, made(job, Memory())[0])
    told = [event for event in events if event["event"] == "repaired"]
    why = {"once": "exit code -9", "hang": "it did nothing any more"}[trouble]
    assert told == [
        {"event": "repaired", "step": 2, "why": f"a worker was lost ({why})", "attempt": 0}
    ]
    assert count(events, "finished") == len(job.calls)


def test_ctrl_c_while_a_worker_starts_is_not_its_affair(monkeypatch: pytest.MonkeyPatch) -> None:
    job, executor = toy_job(60), Processes(1, toy_system)
    submit = executor.submit

    def disturbed(task: Task) -> None:
        submit(task)
        process = executor._busy[0].process.pid
        assert process is not None
        os.kill(process, signal.SIGINT)

    monkeypatch.setattr(executor, "submit", disturbed)
    _, events = made(job, Memory(), executor)
    assert events[-1]["ran"] == len(job.calls) and count(events, "repaired") == 0


def test_a_worker_that_died_without_work_is_replaced() -> None:
    job, executor = toy_job(60), Processes(1, toy_system)
    film = render(job, Memory(), executor)
    for item in film:
        if isinstance(item, Finished):
            (idle,) = executor._idle
            idle.process.kill()
            idle.process.join()
            break
    rest = [item.line() for item in film if not isinstance(item, Frames)]
    assert rest[-1]["ran"] == len(job.calls) and count(rest, "repaired") == 0


ORPHANED = """
import functools
from engine_parts import made, toy_job, toy_system
from longtake.engine import Memory, Processes

if __name__ == "__main__":
    executor = Processes(1, functools.partial(toy_system, slow=600))
    submit = executor.submit
    executor.submit = lambda task: (submit(task), print(executor._busy[0].process.pid, flush=True))
    made(toy_job(100), Memory(), executor)
"""


def test_workers_end_when_nobody_is_left_to_work_for(tmp_path: Path) -> None:
    (tmp_path / "orphaned.py").write_text(ORPHANED)
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}
    words = [sys.executable, str(tmp_path / "orphaned.py")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) > 0
        parent.kill()
        assert parent.stdout.read() == b""  # its end comes when the worker, who shares it, is gone


def test_a_worker_at_work_does_not_hang_and_a_still_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pulse, used = Pulse(), 0.0
    pulse.begin()
    for _ in range(50):  # a twentieth of a processor, for long
        now, used = now + 20, used + 1
        assert not pulse.stopped(used, 300)
    now += 299
    assert not pulse.stopped(used, 300)
    now += 2
    assert pulse.stopped(used + 0.001, 300)
    pulse.begin()
    assert not pulse.stopped(used, 300)


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


def test_a_prompt_is_encoded_once_and_alone() -> None:
    asked: list[Sequence[str]] = []

    class Listening(ToyEncoder):
        def encode(self, prompts: Sequence[str]) -> torch.Tensor:
            asked.append(tuple(prompts))
            return super().encode(prompts)

    cues = (Cue(0.0, 5.0, "calm sea"), Cue(5.0, None, "a storm", cut=False))
    system = dataclasses.replace(toy_system(), encoder=Listening(), passage=2.0)
    film, _ = made(toy_job(100, system=system, cues=cues), Memory())
    assert asked == [("calm sea",), ("a storm",)]
    plain = dataclasses.replace(system, encoder=ToyEncoder())
    assert torch.equal(film, made(toy_job(100, system=plain, cues=cues), Memory())[0])


# --- Ray


class FakeRay:
    """What the executor uses of ray, in this process. trouble: by call, what it raises or None."""

    def __init__(self, trouble: Sequence[str | None] = ()) -> None:
        self.trouble, self.hired, self.killed = list(trouble), 0, 0
        self.exceptions = SimpleNamespace(RayError=type("RayError", (Exception,), {}))
        self.options: dict[str, Any] = {}

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4.0, "GPU": 2.0}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 4.0}}]

    def remote(self, kind: Any) -> Any:
        def options(**asked: Any) -> Any:
            self.options = asked
            return SimpleNamespace(remote=lambda *args: self._actor(kind(*args)))

        return SimpleNamespace(options=options)

    def _actor(self, hand: Any) -> Any:
        self.hired += 1
        answer = SimpleNamespace(remote=lambda parcel: Reference(hand.answer, parcel))
        return SimpleNamespace(answer=answer, used=SimpleNamespace(remote=lambda: Reference(None)))

    def wait(
        self, references: list[Any], num_returns: int = 1, timeout: float = 0
    ) -> tuple[list[Any], list[Any]]:
        if references[0].call is None or (self.trouble and self.trouble[0] == "hang"):
            return [], references
        return references[:1], references[1:]

    def get(self, reference: Any) -> Any:
        if self.trouble and self.trouble.pop(0):
            raise self.exceptions.RayError
        return reference.call(*reference.args)

    def kill(self, actor: Any) -> None:
        self.killed += 1
        self.trouble = [None if what == "hang" else what for what in self.trouble]


class Reference:
    """A call's answer to come."""

    def __init__(self, call: Any, *args: Any) -> None:
        self.call, self.args = call, args


def test_ray_makes_the_same_film(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    job = toy_job(100, scheme=Tree())
    executor = Ray("", make)
    assert executor.room() == 4  # cores by threads
    film, _ = made(job, Memory(), executor)
    assert torch.equal(film, made(job, Memory())[0])
    assert fake.hired == fake.killed == 4 and fake.options["num_gpus"] == 0
    on_gpus = executor_of("ray", make, "cuda")
    assert on_gpus.room() == 2


@pytest.mark.parametrize("trouble", ["lost", "hang"])
def test_ray_begins_the_step_of_a_lost_worker_again(
    trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", FakeRay([None, trouble]))
    monkeypatch.setattr("longtake.engine.executors.cluster.PATIENCE", 0.2)
    film, events = made(toy_job(100), Memory(), Ray("", toy_system))
    assert torch.equal(film, made(toy_job(100), Memory())[0])
    (told,) = [event for event in events if event["event"] == "repaired"]
    assert told["step"] == 1 and told["why"].startswith("a worker was lost (")


def test_a_step_that_costs_ray_two_workers_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", FakeRay([None, "lost", "lost"]))
    with pytest.raises(MachineError, match=r"worker was lost \(RayError\); 1 finished steps"):
        made(toy_job(100), Memory(), Ray("", toy_system))


def test_on_a_real_cluster_of_ray() -> None:
    ray = pytest.importorskip("ray")
    job = toy_job(100, scheme=Tree())
    try:
        film, _ = made(job, Memory(), Ray("", make))
        assert torch.equal(film, made(job, Memory())[0])
    finally:
        ray.shutdown()
