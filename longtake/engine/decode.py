"""Latents to film frames: fixed windows per take, handed over in film order once whole."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from longtake.clip import Clip, Codec, StreamingCodec
from longtake.engine.events import Decoded, Event
from longtake.engine.heap import trim
from longtake.engine.job import Job
from longtake.steps import Indices, Take

if TYPE_CHECKING:
    from torch import Tensor

WINDOW = (
    8  # indices decoded together, counted from the take's start: never from where a run resumed
)


@dataclasses.dataclass(frozen=True)
class Frames:
    """Finished film frames. first: the film frame of pixels[0]; pixels: (t, 3, h, w) uint8."""

    first: int
    pixels: Tensor


@dataclasses.dataclass(frozen=True)
class Window:
    """Indices `start..stop` of a take, decoded while seeing `low..high`."""

    take: Take
    start: int
    stop: int
    low: int
    high: int

    @property
    def reads(self) -> Indices:
        """The indices it must see."""
        return tuple(range(self.low, self.high))


def windows(takes: Iterable[Take], context: tuple[int, int]) -> Iterator[Window]:
    """All windows in film order; an endless take has no last one."""
    for take in takes:
        end = None if take.length is None else take.start + take.length
        starts = itertools.count(take.start, WINDOW) if end is None else None
        for start in starts or range(take.start, end or 0, WINDOW):
            stop = start + WINDOW if end is None else min(start + WINDOW, end)
            high = stop + context[1] if end is None else min(stop + context[1], end)
            yield Window(take, start, stop, max(take.start, start - context[0]), high)


def shown(job: Job, window: Window) -> tuple[int, int]:
    """The film frames [first, end) of a window."""
    take, first = window.take, job.first_frame(window.take, window.start)
    end = first + (window.stop - window.start) * job.stride
    last = end if take.frames is None else min(end, take.first + take.frames)
    return max(first, take.first), last


def showing(job: Job, only: tuple[int, int] | None) -> Iterator[Window]:
    """The windows in which film frames [first, end) lie; all of them without `only`."""
    for window in windows(job.takes, job.system.stages[-1].codec.spec.context):
        first, end = shown(job, window)
        if end <= first:  # indices that only fill the last chunk of a take
            continue
        if only is None or (first < only[1] and only[0] < end):
            yield window
        elif only[1] <= first:
            return


class Reel:
    """Decodes the last stage's frames as their indices are written; `read` fetches clips."""

    def __init__(
        self,
        job: Job,
        read: Callable[[int, Indices], Clip],
        only: tuple[int, int] | None = None,
    ) -> None:
        self._job, self._read, self._only = job, read, only
        self._stage = len(job.system.stages) - 1
        self._codec = job.system.stages[-1].codec
        self._windows = showing(job, only)
        self._next = next(self._windows, None)
        self._written: set[int] = set()
        self._track: Track | None = None

    @property
    def over(self) -> bool:
        """Whether every frame has been handed over."""
        return self._next is None

    def land(self, indices: Indices = (), stage: int = -1) -> Iterator[Frames | Event]:
        """Frames that became whole now that `indices` of a stage are written."""
        if stage in (-1, self._stage):
            self._written.update(indices)
        while self._next is not None and self._is_whole(self._next):
            window = self._next
            frames = self._trimmed(self._decoded(window))
            self._next = next(self._windows, None)
            self._forget(window)
            yield frames
            yield Decoded((frames.first, frames.first + len(frames.pixels)))
            trim()

    def _decoded(self, window: Window) -> Frames:
        codec = self._codec.made
        if isinstance(codec, StreamingCodec) and codec.spec.streams:
            if self._track is None or not self._track.leads_to(window):
                self._track = Track(self._job, codec, window.take)
            return self._track.develop(window, lambda at: self._read(self._stage, at))
        return develop(codec, self._read(self._stage, window.reads), window, self._job)

    def _trimmed(self, frames: Frames) -> Frames:
        if self._only is None:
            return frames
        first = max(frames.first, self._only[0])
        end = min(frames.first + len(frames.pixels), self._only[1])
        return Frames(first, frames.pixels[first - frames.first : end - frames.first])

    def _is_whole(self, window: Window) -> bool:
        given = self._job.given_indices
        return all(index in self._written or index in given for index in window.reads)

    def _forget(self, window: Window) -> None:
        """Drops the marks of indices that no later window reads."""
        start = window.stop if self._next is None else self._next.low
        self._written.difference_update(range(window.low, start))


class Track:
    """A take decoded as a stream, from its start: windows come in film order, and none twice.

    A window that is asked for first need not be the take's first: what lies before it is decoded too.
    """

    def __init__(self, job: Job, codec: StreamingCodec, take: Take) -> None:
        self._job, self._take = job, take
        self._stream = codec.stream(take.length)
        self._pushed = take.start  # the next index to be decoded
        self._first = job.first_frame(take, take.start) + job.system.stages[-1].codec.spec.lead
        self._buffer: Tensor | None = None  # final frames from film frame `_first` on
        self._done = take.start

    def leads_to(self, window: Window) -> bool:
        """Whether the window lies ahead on this take."""
        return window.take == self._take and window.start >= self._done

    def develop(self, window: Window, read: Callable[[Indices], Clip]) -> Frames:
        """A window's film frames: decoded, cut to the take, resized to the film."""
        import torch

        begin, end = shown(self._job, window)
        last = None if self._take.length is None else self._take.start + self._take.length
        while self._pushed < window.high:
            stop = min(self._pushed + WINDOW, window.high)
            latents = read(tuple(range(self._pushed, stop)))
            with torch.no_grad():
                made = self._stream.push(latents.frames, stop == last)[0]
            self._pushed = stop
            if len(made):
                self._buffer = made if self._buffer is None else torch.cat([self._buffer, made])
                self._drop(min(begin, self._first + len(self._buffer)))
        assert self._buffer is not None, "a stream that withholds frames"
        video = self._buffer[begin - self._first : end - self._first]
        assert len(video) == end - begin, "a stream that withholds frames"
        self._done = window.stop
        self._drop(end)
        return Frames(begin, _fitted(video, self._job.canvas, self._job.size))

    def _drop(self, before: int) -> None:
        """Lets go of frames before film frame `before`."""
        assert self._buffer is not None
        self._buffer = self._buffer[max(0, before - self._first) :].clone()
        self._first = max(self._first, before)


def develop(codec: Codec, latents: Clip, window: Window, job: Job) -> Frames:
    """A window's film frames: decoded, cut to the take, resized to the film."""
    import torch

    with torch.no_grad():
        video = codec.decode(latents.frames)[0]
    low = job.first_frame(window.take, window.low)
    begin, end = shown(job, window)
    video = video[begin - low : end - low]
    return Frames(begin, _fitted(video, job.canvas, job.size))


def _fitted(video: Tensor, canvas: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """(t, 3, h, w) floats, perhaps a little larger than the canvas, to uint8 at film size."""
    import torch

    video = video[..., : canvas[1], : canvas[0]].float()
    if canvas != size:
        video = torch.nn.functional.interpolate(
            video, (size[1], size[0]), mode="bicubic", antialias=True, align_corners=False
        )
    return video.clamp(0, 1).mul(255).round().to(torch.uint8).cpu()
