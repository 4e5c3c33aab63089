"""Latents to film frames: fixed windows per take, handed over in film order once whole.

Of a stretch that was made again only its own frames are decoded anew: outside it the film keeps what
the latents of before decode to, to the bit.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol

from longtake.clip import Clip, Codec, InnerCodec, StreamingCodec
from longtake.engine.events import Decoded, Event
from longtake.engine.executors import enough_memory
from longtake.engine.heap import steady, trim
from longtake.engine.job import Job
from longtake.engine.lane import Lane
from longtake.engine.redo import Part, View
from longtake.steps import Indices, Take

if TYPE_CHECKING:
    from torch import Tensor

# indices decoded together, counted from the take's start: never from where a run resumed
WINDOW = 8
FRAMES = 64  # most frames that those may be, where an index is many of them
# frames a stream is asked for at once, and one index at least: they are bytes before the next are made, and what
# a decoder needs for a window of 64 is then a quarter
PIECE = 16
BRIEF = 2  # windows: a film of no more ends before memory creeps, and pages that go back would cost it time


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


def windows(takes: Iterable[Take], context: tuple[int, int], stride: int = 1) -> Iterator[Window]:
    """All windows in film order, of indices of `stride` frames; an endless take has no last one."""
    size = min(WINDOW, max(1, FRAMES // stride))
    for take in takes:
        end = None if take.length is None else take.start + take.length
        starts = itertools.count(take.start, size) if end is None else None
        for start in starts or range(take.start, end or 0, size):
            stop = start + size if end is None else min(start + size, end)
            high = stop + context[1] if end is None else min(stop + context[1], end)
            yield Window(take, start, stop, max(take.start, start - context[0]), high)


def shown(job: Job, window: Window) -> tuple[int, int]:
    """The film frames [first, end) of a window."""
    take, first = window.take, job.first_frame(window.take, window.start)
    end = first + (window.stop - window.start) * job.stride
    last = end if take.frames is None else min(end, take.first + take.frames)
    return max(first, take.first), last


def showing(job: Job, only: tuple[int, int] | None) -> Iterator[Window]:
    """The windows in which film frames [first, end) lie; all of them without `only`.

    Of a codec that streams also those before them in their take.
    """
    spec = job.system.stages[-1].codec.spec
    for window in windows(job.takes, spec.context, spec.stride):
        first, end = shown(job, window)
        if end <= first:  # indices that only fill the last chunk of a take
            continue
        if only is not None and only[1] <= first:
            return
        if spec.streams and window.take.frames is not None:
            end = window.take.first + window.take.frames
        if only is None or only[0] < end:
            yield window


class Read(Protocol):
    """Fetches frames of a stage, as seen."""

    def __call__(self, stage: int, indices: Indices, view: View | None = None) -> Clip: ...


class Reel:
    """Decodes the last stage's frames as their indices are written, beside everything else.

    `read` fetches clips, in the thread that calls; another one decodes them. Frames of stretches that
    are made again wait for `settle`. `close` ends it.
    """

    def __init__(self, job: Job, read: Read, only: tuple[int, int] | None = None) -> None:
        self._job, self._read, self._only = job, read, only
        self._stage = len(job.system.stages) - 1
        self._codec = job.system.stages[-1].codec
        self._windows = showing(job, only)
        self._next = next(self._windows, None)
        self._written: set[int] = set()
        self._tracks: dict[View | None, Track] = {}
        self._take: int | None = None
        self._settled = not job.redone
        self._begun = 0
        self._lane: Lane[Frames] = Lane("decode")

    @property
    def over(self) -> bool:
        """Whether every frame has been handed over."""
        return self._next is None and self._lane.idle

    def settle(self, take: int) -> None:
        """All takes are made, and of the last stretch this one was chosen."""
        self._take, self._settled = take, True

    def land(
        self, indices: Indices = (), stage: int = -1, *, wait: bool = True
    ) -> Iterator[Frames | Event]:
        """Frames that are decoded, now that `indices` of a stage are written.

        wait: until all that could be decoded is done or under way; else nothing is waited for.
        """
        if stage in (-1, self._stage):
            self._written.update(indices)
        while True:
            while self._lane.room and self._next is not None and self._is_whole(self._next):
                self._lane.give(self._development(self._next))
                self._begun += 1
                if self._begun == BRIEF + 1:
                    steady()
                window, self._next = self._next, next(self._windows, None)
                self._forget(window)
            behind = wait and self._next is not None and self._is_whole(self._next)
            if not self._lane.ready and not behind:
                return
            yield from self._handed()

    def rest(self) -> Iterator[Frames | Event]:
        """All other frames that are whole."""
        yield from self.land()
        while not self._lane.idle:
            yield from self._handed()

    def close(self) -> None:
        """Drops what is not decoded yet."""
        self._lane.close()

    def _handed(self) -> Iterator[Frames | Event]:
        frames = self._trimmed(self._lane.take())
        if len(frames.pixels):
            yield frames
            yield Decoded((frames.first, frames.first + len(frames.pixels)))
        if self._begun > BRIEF:
            trim()

    def _development(self, window: Window) -> Callable[[], Frames]:
        """How a window's frames are made, whose latents are read here and now.

        As first made, and over them those of every redo in their order.
        """
        tracks, self._tracks = self._tracks, {}
        first, above = self._seen(window, None, tracks), []
        for number, parts in enumerate(self._job.layers.parts):
            for part in parts:
                if part.free and self._concerns(window, part):
                    last = number + 1 == len(self._job.redone)
                    view = self._job.layers.film(number + 1, self._take if last else None)
                    above.append((self._seen(window, view, tracks), part))
        return partial(developed, self._job, window, first, above)

    def _seen(
        self, window: Window, view: View | None, tracks: Mapping[View | None, Track]
    ) -> Callable[[], Frames]:
        """How a window's frames are made as seen; a codec that streams goes on from the window before."""
        codec, read = self._codec.made, partial(self._read, self._stage, view=view)
        if not (codec.spec.streams and isinstance(codec, StreamingCodec)):
            return partial(develop, codec, read(window.reads), window, self._job)
        track = tracks.get(view)
        if track is None or track.take != window.take:
            track = Track(self._job, codec, window.take)
        self._tracks[view] = track
        return track.development(window, read)

    def _trimmed(self, frames: Frames) -> Frames:
        if self._only is None:
            return frames
        first = max(frames.first, self._only[0])
        end = min(frames.first + len(frames.pixels), self._only[1])
        return Frames(first, frames.pixels[first - frames.first : end - frames.first])

    def _is_whole(self, window: Window) -> bool:
        job, given = self._job, self._job.given_indices
        if not self._settled and any(
            self._concerns(window, part) for parts in job.layers.parts for part in parts
        ):
            return False
        return all(index in self._written or index in given for index in window.reads)

    def _concerns(self, window: Window, part: Part) -> bool:
        """Whether a part is decoded with a window: it lies there or, if the codec streams, later in its take."""
        first, end = shown(self._job, window)
        later = self._codec.spec.streams and part.take == window.take
        return first < part.frames[1] and (later or part.frames[0] < end)

    def _forget(self, window: Window) -> None:
        """Drops the marks of indices that no later window reads."""
        start = window.stop if self._next is None else self._next.low
        self._written.difference_update(range(window.low, start))


class Track:
    """A take decoded as a stream: all its windows in film order, from the first."""

    def __init__(self, job: Job, codec: StreamingCodec, take: Take) -> None:
        self.take, self._job = take, job
        self._stream = codec.stream(take.length)
        self._next = take.start  # the next index to be read
        self._first = job.first_frame(take, take.start) + job.system.stages[-1].codec.spec.lead
        self._ready: Tensor | None = None  # finished frames from film frame `_first` on, uint8

    def development(self, window: Window, read: Callable[[Indices], Clip]) -> Callable[[], Frames]:
        """How a window's frames are made; the latents that the stream has not had are read here and now."""
        ahead = tuple(range(self._next, window.high))
        self._next = window.high
        return partial(self._develop, window, read(ahead).frames if ahead else None)

    def _develop(self, window: Window, latents: Tensor | None) -> Frames:
        import torch

        kept = [] if self._ready is None else [self._ready]
        if latents is not None:
            length = self.take.length
            last = length is not None and window.high == self.take.start + length
            kept += self._pieces(latents, last)
        assert kept, "a stream that withholds frames"
        video = torch.cat(kept)
        begin, end = shown(self._job, window)
        made = video[begin - self._first : end - self._first]
        assert len(made) == end - begin, "a stream that withholds frames"
        self._ready, self._first = video[end - self._first :].clone(), end
        return Frames(begin, made)

    def _pieces(self, latents: Tensor, last: bool) -> Iterator[Tensor]:
        """The frames (t, 3, h, w) uint8 that the next latents (1, s, *frame) finish, a few at a time."""
        import torch

        job, size = self._job, max(1, PIECE // self._job.stride)
        for start in range(0, latents.shape[1], size):
            part, end = latents[:, start : start + size], start + size >= latents.shape[1]
            with torch.no_grad():
                made = self._stream.push(part, last and end)[0]
            for first in range(0, len(made), PIECE):
                yield _fitted(made[first : first + PIECE], job.canvas, job.size)


def developed(
    job: Job,
    window: Window,
    first: Callable[[], Frames],
    above: Iterable[tuple[Callable[[], Frames], Part]],
) -> Frames:
    """A window's frames from its first latents, and over them those of parts made again."""
    with enough_memory(f"decoding frame {shown(job, window)[0]}"):
        frames = first()
        for made, part in above:
            frames = laid_over(frames, made(), part)
    return frames


def develop(codec: Codec, latents: Clip, window: Window, job: Job) -> Frames:
    """A window's film frames: decoded, cut to the take, resized to the film."""
    import torch

    low = window.low
    with torch.no_grad():
        if isinstance(codec, InnerCodec):
            low, before, after = window.start, window.start - low, window.high - window.stop
            video = codec.decode_inner(latents.frames, before, after)[0]
        else:
            video = codec.decode(latents.frames)[0]
    low = job.first_frame(window.take, low)
    begin, end = shown(job, window)
    video = video[begin - low : end - low]
    return Frames(begin, _fitted(video, job.canvas, job.size))


def laid_over(below: Frames, above: Frames, part: Part) -> Frames:
    """A window's frames with those of a part of a stretch decoded anew, cross-faded beside its pins."""
    import torch

    first = max(part.frames[0], below.first)
    end = max(first, min(part.frames[1], below.first + len(below.pixels)))
    here = slice(first - below.first, end - below.first)
    weights = torch.tensor(part.weights()[first - part.frames[0] : end - part.frames[0]])
    weights = weights[:, None, None, None]
    pixels = below.pixels.clone()
    mixed = (1 - weights) * below.pixels[here] + weights * above.pixels[here]
    pixels[here] = mixed.round().to(torch.uint8)
    return Frames(below.first, pixels)


def _fitted(video: Tensor, canvas: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """(t, 3, h, w) floats, perhaps a little larger than the canvas, to uint8 at film size."""
    import torch

    video = video[..., : canvas[1], : canvas[0]].float()
    if canvas != size:
        video = torch.nn.functional.interpolate(
            video, (size[1], size[0]), mode="bicubic", antialias=True, align_corners=False
        )
    return video.clamp(0, 1).mul_(255).round_().to(torch.uint8).cpu()
