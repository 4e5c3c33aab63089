"""Steps computed by this process: one after the other, or in batches."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from longtake.clip import Clip, ClipModel, ClipRequest, SamplesBatches
from longtake.errors import MachineError
from longtake.system import ModelPart


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
    """A task's answer, on the CPU, and the seconds it took.

    lost: why workers were lost before one of them answered.
    """

    number: int
    clip: Clip
    seconds: float
    lost: tuple[str, ...] = ()


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
            self._tasks = deque(task for task in self._tasks if _alike(task) != alike)
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
