"""Tasks on their way to other processes and back: plain data, clips as bytes."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from longtake.clip import Clip, ClipModel, ClipRequest
from longtake.engine.conditioning import Remembering
from longtake.engine.executors.here import Result, Task, answer
from longtake.errors import LongtakeError, MachineError
from longtake.system import System

Make = Callable[[], System]
Parcel = dict[str, Any]

LOSSES = 2  # workers that one step may cost; the second time it is the step, not bad luck


class Hand:
    """Answers parcels in another process, with a system of its own."""

    def __init__(self, make: Make, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._system = make()
        own = self._system.encoder
        self._encoder = None if own is None else Remembering(own)

    def answer(self, parcel: Parcel) -> Parcel:
        """A task's clip as bytes, or what went wrong in words."""
        began = time.perf_counter()
        try:
            model, request = self._opened(parcel)
            (clip,) = answer(model, [request], f"step {parcel['number']}")
            return {"clip": packed(clip), "seconds": time.perf_counter() - began}
        except Exception as error:
            return said(error)

    def used(self) -> float:
        """Seconds of processor time this process has used."""
        return time.process_time()

    def _opened(self, parcel: Parcel) -> tuple[ClipModel, ClipRequest]:
        """The model and the request of a task that arrived as a parcel."""
        clips = {name: unpacked(data) for name, data in parcel["clips"].items()}
        bare: ClipRequest = parcel["request"]
        controls = dataclasses.replace(bare.controls, encoder=self._encoder)
        if "source" in clips:
            source = clips["source"]
            controls = dataclasses.replace(controls, source=source)  # type: ignore[call-arg]
        observed, start = clips.get("observed"), clips.get("start")
        request = dataclasses.replace(bare, controls=controls, observed=observed, start=start)
        return self._system.stages[parcel["stage"]].model(parcel["role"]).made, request


def parcel_of(task: Task) -> Parcel:
    """A task as plain data, without an encoder, because the worker has its own."""
    request = task.request
    controls = dataclasses.replace(request.controls, encoder=None)
    source = getattr(controls, "source", None)
    if source is not None:
        controls = dataclasses.replace(controls, source=None)  # type: ignore[call-arg]
    clips = {"observed": request.observed, "start": request.start, "source": source}
    bare = dataclasses.replace(request, controls=controls, observed=None, start=None)
    return {
        "number": task.number,
        "stage": task.stage,
        "role": task.role,
        "request": bare,
        "clips": {name: packed(clip) for name, clip in clips.items() if clip is not None},
    }


def result_of(reply: Parcel, task: Task, lost: Sequence[str]) -> Result:
    """A worker's answer; raises what was raised there."""
    if "raised" in reply:
        raise reply["raised"](*reply["args"])
    return Result(task.number, unpacked(reply["clip"]), reply["seconds"], tuple(lost))


def said(error: Exception) -> Parcel:
    """An error in a form that every process can read."""
    if isinstance(error, LongtakeError):
        return {"raised": type(error), "args": error.args}
    return {"raised": RuntimeError, "args": (f"in a worker: {type(error).__name__}: {error}",)}


def packed(clip: Clip) -> bytes:
    """A clip as bytes; unlike a stored one's they carry no hash, for nothing happens to them on the way."""
    from safetensors.torch import save

    tensors = {"frames": clip.frames, **{f"carry.{n}": t for n, t in clip.carry.items()}}
    whole = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    return save(whole, {"at": json.dumps(clip.at)})


def unpacked(data: bytes) -> Clip:
    """What `packed` was given."""
    from safetensors.torch import load

    size = int.from_bytes(data[:8], "little")
    at = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["at"])
    tensors = load(data)
    carry = {n.removeprefix("carry."): t for n, t in tensors.items() if n != "frames"}
    return Clip(tensors["frames"], tuple(at), carry)


class Losses:
    """Workers that were lost, by the step each had in hand."""

    def __init__(self) -> None:
        self._why: dict[int, list[str]] = {}

    def note(self, task: Task, why: str) -> None:
        """A worker was lost; MachineError if this step has cost too many."""
        told = self._why.setdefault(task.number, [])
        told.append(why)
        if len(told) >= LOSSES:
            del self._why[task.number]
            hint = "fewer workers if memory ran out"
            raise MachineError(f"a worker was lost ({why})", f"step {task.number}", hint)

    def of(self, task: Task) -> list[str]:
        """Why workers were lost with this step; asked once."""
        return self._why.pop(task.number, [])


class Pulse:
    """Tells a worker that hangs from one that works by the processor time it uses."""

    def __init__(self) -> None:
        self._used, self._since = 0.0, time.monotonic()

    def begin(self) -> None:
        """A step begins."""
        self._since = time.monotonic()

    def stopped(self, used: float, patience: float) -> bool:
        """Whether less than a hundredth of a processor was used for so many seconds. used: in all."""
        now = time.monotonic()
        if used - self._used > 0.01 * max(now - self._since, 1.0):
            self._used, self._since = used, now
        return now - self._since > patience
