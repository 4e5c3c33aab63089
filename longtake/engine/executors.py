"""Who computes a step: this process, this process in batches, several processes, or a Ray cluster.

None of them changes what a step gives, except that a batch may round differently.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from longtake.clip import Clip, ClipModel, ClipRequest, SamplesBatches
from longtake.errors import InputError, LongtakeError, MachineError, nearest
from longtake.system import ModelPart, System

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

Make = Callable[[], System]


@dataclasses.dataclass(frozen=True)
class Task:
    """A request and the model to answer it: the part itself, and its name for other processes."""

    number: int
    stage: int
    role: str
    part: ModelPart
    request: ClipRequest


@dataclasses.dataclass(frozen=True)
class Result:
    """A task's answer, on the CPU, and the seconds it took."""

    number: int
    clip: Clip
    seconds: float


class Executor(Protocol):
    """Computes tasks, in any order. `close` drops what is unfinished; it may be used again."""

    def room(self) -> int:
        """How many more tasks it can use now."""

    def submit(self, task: Task) -> None:
        """Takes a task."""

    def wait(self) -> Result:
        """The next answer."""

    def close(self) -> None:
        """Stops all work."""


class Serial:
    """One task at a time, here."""

    def __init__(self) -> None:
        self._task: Task | None = None

    def room(self) -> int:
        """One, when idle."""
        return int(self._task is None)

    def submit(self, task: Task) -> None:
        """Keeps the task until it is waited for."""
        self._task = task

    def wait(self) -> Result:
        """Computes the task."""
        assert self._task is not None, "nothing was submitted"
        task, self._task = self._task, None
        began = time.perf_counter()
        (clip,) = answer(task.part.made, [task.request], f"step {task.number}")
        return Result(task.number, clip, time.perf_counter() - began)

    def close(self) -> None:
        """Forgets the task."""
        self._task = None


class Batched:
    """Tasks of equal shape together in one call, where the model offers that.

    What is ready at the same time is independent, so any of it may share a batch.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._tasks: deque[Task] = deque()
        self._results: deque[Result] = deque()

    def room(self) -> int:
        """What is missing for a full batch."""
        return self.size - len(self._tasks)

    def submit(self, task: Task) -> None:
        """Keeps the task for a batch."""
        self._tasks.append(task)

    def wait(self) -> Result:
        """An answer of the last batch, or the next batch."""
        if not self._results:
            alike = _alike(self._tasks[0])
            batch = [task for task in self._tasks if _alike(task) == alike]
            self._tasks = deque(task for task in self._tasks if task not in batch)
            began = time.perf_counter()
            where = " ".join(str(task.number) for task in batch)
            clips = answer(batch[0].part.made, [t.request for t in batch], f"steps {where}")
            each = (time.perf_counter() - began) / len(batch)
            results = zip(batch, clips, strict=True)
            self._results.extend(Result(task.number, clip, each) for task, clip in results)
        return self._results.popleft()

    def close(self) -> None:
        """Forgets tasks and answers."""
        self._tasks.clear()
        self._results.clear()


class Processes:
    """`n` workers, each with a system of its own, built there by `make` (importable by name).

    Workers use as many threads as this process does, because the number can change how sums round.
    """

    def __init__(self, n: int, make: Make) -> None:
        self.n, self.make = n, make
        self._idle: list[_Worker] = []
        self._busy: list[_Worker] = []

    def room(self) -> int:
        """Workers without work."""
        return self.n - len(self._busy)

    def submit(self, task: Task) -> None:
        """Hands the task to a worker, a new one if all have work."""
        worker = self._idle.pop() if self._idle else _Worker(self.make)
        worker.begin(task)
        self._busy.append(worker)

    def wait(self) -> Result:
        """The first answer to come; MachineError if a worker died."""
        from multiprocessing.connection import wait

        ready = wait([worker.pipe for worker in self._busy])
        worker = next(worker for worker in self._busy if worker.pipe in ready)
        result = worker.end()
        self._busy.remove(worker)
        self._idle.append(worker)
        return result

    def close(self) -> None:
        """Ends the workers."""
        for worker in (*self._idle, *self._busy):
            worker.stop()
        self._idle.clear()
        self._busy.clear()


class Ray:
    """Workers on a Ray cluster. address: of the cluster ("": one on this machine)."""

    def __init__(self, address: str, make: Make) -> None:
        try:
            ray = importlib.import_module("ray")
        except ImportError:
            raise MachineError("ray is not installed", "--executor", "pip install ray") from None
        self._ray: Any = ray
        if not ray.is_initialized():
            try:
                ray.init(address=address or None, log_to_driver=False)
            except (ConnectionError, ValueError) as error:
                raise MachineError("no Ray cluster answers", address, "ray") from error
        self._make = make
        self._size = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Task]] = {}

    def room(self) -> int:
        """Workers without work."""
        return self._size - len(self._busy)

    def submit(self, task: Task) -> None:
        """Hands the task to a worker."""
        import torch

        hand = self._idle.pop() if self._idle else None
        if hand is None:
            hand = self._ray.remote(_Hand).remote(self._make, torch.get_num_threads())
        self._busy[hand.answer.remote(_parcel(task))] = (hand, task)

    def wait(self) -> Result:
        """The first answer to come; MachineError if a worker died."""
        (ready, *_), _ = self._ray.wait(list(self._busy), num_returns=1)
        hand, task = self._busy.pop(ready)
        try:
            reply = self._ray.get(ready)
        except self._ray.exceptions.RayError as error:
            what = f"a worker was lost ({type(error).__name__})"
            raise MachineError(what, f"step {task.number}") from None
        self._idle.append(hand)
        return _opened(reply, task)

    def close(self) -> None:
        """Ends the workers; the cluster goes on."""
        for hand in (*self._idle, *(hand for hand, _ in self._busy.values())):
            self._ray.kill(hand)
        self._idle.clear()
        self._busy.clear()


def executor_of(text: str, make: Make) -> Executor:
    """The executor of `serial`, `batched[:SIZE]`, `processes[:N]` or `ray[:ADDRESS]`."""
    name, value = check_executor(text)
    if name == "ray":
        return Ray(value, make)
    if name == "batched":
        return Batched(int(value or 8))
    return Processes(int(value or os.cpu_count() or 1), make) if name == "processes" else Serial()


def check_executor(text: str) -> tuple[str, str]:
    """Name and value of an executor's text, `batched` and `8`; InputError where it means none."""
    name, _, value = text.partition(":")
    known = ("serial", "batched", "processes", "ray")
    if name not in known or (name == "serial" and value):
        raise InputError(f"unknown executor '{text}'", "--executor", nearest(name, known))
    if name != "ray" and value and not re.fullmatch("0*[1-9][0-9]{0,3}", value):
        what = f"'{value}' is not a number of {name} from 1 to 9999"
        raise InputError(what, "--executor", f"{name}:4")
    return name, value


def answer(model: ClipModel, requests: Sequence[ClipRequest], where: str) -> list[Clip]:
    """A model's clips on the CPU; MachineError when memory does not suffice."""
    import torch

    with enough_memory(where), torch.no_grad():
        if len(requests) > 1 and isinstance(model, SamplesBatches):
            clips = model.sample_batch(requests)
        else:
            clips = [model.sample(request) for request in requests]
        return [_home(clip) for clip in clips]


@contextmanager
def enough_memory(where: str) -> Iterator[None]:
    """MachineError when memory does not suffice, a GPU's or the machine's."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if _is_memory(error):
            hint = "a smaller --size or another --device"
            raise MachineError("out of memory", where, hint) from None
        raise


def _home(clip: Clip) -> Clip:
    carry = {name: value.detach().cpu() for name, value in clip.carry.items()}
    return Clip(clip.frames.detach().cpu(), clip.at, carry)


def _is_memory(error: Exception) -> bool:
    import torch

    named = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return named or "can't allocate memory" in str(error)


def _alike(task: Task) -> tuple[Any, ...]:
    """What must be equal for two tasks to share a batch."""
    request = task.request
    seen = None if request.observed is None else tuple(request.observed.frames.shape)
    start = None if request.start is None else tuple(request.start.frames.shape)
    return (task.stage, task.role, len(request.targets), seen, start, request.frame)


class _Worker:
    """A process with a system in it, and the pipe to it."""

    def __init__(self, make: Make) -> None:
        import multiprocessing

        import torch

        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=_work, args=(theirs, make, torch.get_num_threads()), daemon=True
        )
        self.process.start()
        theirs.close()
        self.task: Task | None = None

    def begin(self, task: Task) -> None:
        self.task = task
        try:
            self.pipe.send(_parcel(task))
        except OSError:
            raise self._lost() from None

    def end(self) -> Result:
        assert self.task is not None, "the worker has no task"
        try:
            reply = self.pipe.recv()
        except (EOFError, OSError):
            raise self._lost() from None
        return _opened(reply, self.task)

    def stop(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join(5)

    def _lost(self) -> MachineError:
        self.process.join(1)
        number = "?" if self.task is None else self.task.number
        what = f"a worker was lost (exit code {self.process.exitcode})"
        return MachineError(what, f"step {number}", "fewer processes if memory ran out")


class _Hand:
    """Answers tasks in another process."""

    def __init__(self, make: Make, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._system = make()

    def answer(self, parcel: dict[str, Any]) -> dict[str, Any]:
        """A task's clip as bytes, or what went wrong in words."""
        from longtake.engine.store import pack

        began = time.perf_counter()
        try:
            model, request = _unwrapped(parcel, self._system)
            (clip,) = answer(model, [request], f"step {parcel['number']}")
            return {"clip": pack(clip), "seconds": time.perf_counter() - began}
        except Exception as error:
            return _said(error)


def _said(error: Exception) -> dict[str, Any]:
    """An error in a form that every process can read."""
    if isinstance(error, LongtakeError):
        return {"raised": type(error), "args": error.args}
    return {"raised": RuntimeError, "args": (f"in a worker: {type(error).__name__}: {error}",)}


def _work(pipe: Connection, make: Make, threads: int) -> None:
    """A worker's life: build the system, answer until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    hand: _Hand | None = None
    while True:
        try:
            parcel = pipe.recv()
        except EOFError:
            return
        try:
            hand = hand or _Hand(make, threads)
            reply = hand.answer(parcel)
        except Exception as error:
            reply = _said(error)
        pipe.send(reply)


def _parcel(task: Task) -> dict[str, Any]:
    """A task as plain data: clips as bytes, and no encoder, because the worker has its own."""
    from longtake.engine.store import pack

    request = task.request
    controls = dataclasses.replace(request.controls, encoder=None)
    source = getattr(controls, "source", None)
    if source is not None:
        controls = dataclasses.replace(controls, source=None)  # type: ignore[call-arg]
    clips = {"observed": request.observed, "start": request.start, "source": source}
    bare = dataclasses.replace(request, controls=controls, observed=None, start=None)
    packed = {name: pack(clip) for name, clip in clips.items() if clip is not None}
    return {
        "number": task.number,
        "stage": task.stage,
        "role": task.role,
        "request": bare,
        "clips": packed,
    }


def _unwrapped(parcel: dict[str, Any], system: System) -> tuple[ClipModel, ClipRequest]:
    """The model and the request of a task that arrived as a parcel."""
    from longtake.engine.store import unpack

    clips = {name: unpack(data) for name, data in parcel["clips"].items()}
    bare: ClipRequest = parcel["request"]
    controls = dataclasses.replace(bare.controls, encoder=system.encoder)
    if "source" in clips:
        source = clips["source"]
        controls = dataclasses.replace(controls, source=source)  # type: ignore[call-arg]
    observed, start = clips.get("observed"), clips.get("start")
    request = dataclasses.replace(bare, controls=controls, observed=observed, start=start)
    return system.stages[parcel["stage"]].model(parcel["role"]).made, request


def _opened(reply: dict[str, Any], task: Task) -> Result:
    from longtake.engine.store import unpack

    if "raised" in reply:
        raise reply["raised"](*reply["args"])
    return Result(task.number, unpack(reply["clip"]), reply["seconds"])
