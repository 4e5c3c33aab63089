"""Frames by their numbers: sought and decoded where they lie, not read through from the start."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import chain
from pathlib import Path

import av
import torch
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from torch import Tensor

from longtake.errors import InputError
from longtake.video.fitting import upright
from longtake.video.geometry import Turn, check_fit, check_size
from longtake.video.opening import (
    FALLBACK_FPS,
    check_whole,
    decoded,
    decoding,
    display_turn,
    opened,
    opened_bytes,
    pixel_aspect,
    rate_of,
)
from longtake.video.pictures import read_image
from longtake.video.reading import rgb_of
from longtake.video.stills import picture_size

_INVISIBLE = {"vp8"}  # codecs whose packets may hold a frame that is never shown
PLAIN = Interpolation.BILINEAR
"""How colours at half resolution are spread in clips to learn from: PyAV's own way, several times
faster than that of films (`reading.SCALING`)."""
_TOGETHER = 4_000_000  # pixels converted together
_NEAR = 24  # frames that are sooner decoded than sought past

Opened = AbstractContextManager[tuple[InputContainer, VideoStream]]


@dataclass(frozen=True)
class _Table:
    """Where the frames of a file lie; numbers are places in the order of showing.

    numbers: by the time of a frame; None where packets do not tell, and frames are counted by
    decoding. keys: numbers of the frames at which decoding may begin, and their times.
    """

    numbers: Mapping[int, int] | None
    keys: tuple[tuple[int, int], ...]
    frames: int
    fps: Fraction

    def key(self, number: int) -> int:
        """Which of the keys is the last at or before `number`; -1 if none is."""
        return bisect_right(self.keys, number, key=lambda key: key[0]) - 1


class VideoFrames:
    """The frames of a video file, or of its bytes in memory, by number: upright, square pixels.

    The first use reads the file's packets, without decoding, to learn where frames lie; that is
    remembered for files, so that later windows cost a seek. Frame n is the n-th that a reader of
    the whole file is shown, whatever the codec. Errors of the file are `InputError`; frames that
    the decoder patched up are read, and their numbers are in `damaged`.
    """

    def __init__(self, path: str | os.PathLike[str], data: bytes | None = None) -> None:
        self.path = Path(path)
        self._data = data
        self._known: _Table | None = None
        self.damaged: set[int] = set()

    @property
    def frames(self) -> int:
        return self._table.frames

    @property
    def fps(self) -> Fraction:
        return self._table.fps

    def read(
        self, numbers: Sequence[int], *, size: tuple[int, int] | None = None, fit: str = "cover"
    ) -> Tensor:
        """The frames of these numbers, in this order, (t, 3, h, w) uint8, at `size` if given.

        In memory channels may come last, as decoders write them.
        """
        check_fit(fit)
        size = None if size is None else check_size(size)
        wanted = _in_range(numbers, self.frames, self.path)
        rows = {number: row for row, number in enumerate(wanted)}
        clip: Tensor | None = None
        with self._open() as (container, stream):
            scaler, aspect = VideoReformatter(), pixel_aspect(stream)
            found = self._found(container, stream, wanted)
            for numbered in _alike(found):
                self.damaged.update(n for n, frame in numbered if frame.is_corrupt)
                with decoding(self.path):
                    stored = [
                        rgb_of(frame, scaler, PLAIN).permute(2, 0, 1) for _, frame in numbered
                    ]
                    shown: Sequence[Tensor] | Tensor = stored
                    turn, own = display_turn(numbered[0][1]), stored[0].shape[:0:-1]
                    if turn != Turn() or aspect != 1 or (size or own) != own:
                        shown = upright(torch.stack(stored), size, fit, turn, aspect)
                if clip is None:
                    clip = _laid_alike(shown[0], len(wanted))
                    # Files may change their size on the way; a clip has one.
                    size = clip.shape[-1], clip.shape[-2]
                for (number, _), picture in zip(numbered, shown, strict=True):
                    clip[rows.pop(number)] = picture
        if clip is None or rows:
            what = f"frame {min(rows)} of {self.frames} cannot be decoded"
            raise InputError(what, str(self.path), "a whole copy of the file")
        if list(numbers) == wanted:
            return clip
        places = {number: row for row, number in enumerate(wanted)}
        return clip[[places[number] for number in numbers]]

    @property
    def _table(self) -> _Table:
        if self._known is None:
            if self._data is None:
                with decoding(self.path):
                    stat = os.stat(self.path)
                self._known = _table_of_file(str(self.path), stat.st_mtime_ns, stat.st_size)
            else:
                self._known = _table(self._open, self.path)
        return self._known

    def _open(self) -> Opened:
        return opened(self.path) if self._data is None else opened_bytes(self._data, self.path)

    def _found(
        self, container: InputContainer, stream: VideoStream, wanted: Sequence[int]
    ) -> Iterator[tuple[int, VideoFrame]]:
        """The wanted frames, by one pass or by as many seeks as save decoding."""
        stream.codec_context.thread_count = 1  # clips are what runs side by side
        numbered, at = self._from(container, stream, wanted[0]), -1
        for number in wanted:
            key = self._table.key(number)
            if key > 0 and at >= 0 and self._table.keys[key][0] > at + _NEAR:
                numbered = self._from(container, stream, number)
            for at, frame in numbered:
                if at == number:
                    yield at, frame
                if at >= number:
                    break

    def _from(
        self, container: InputContainer, stream: VideoStream, number: int
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Frames with their numbers, in order, from at most `number` on."""
        table = self._table
        if table.numbers is None:
            return enumerate(decoded(container, stream, self.path))
        key = table.key(number)
        if key <= 0:  # asked for first alone, when nothing has been read yet
            return self._sought(container, stream, 0, None)
        for near in range(key, max(key - 2, 0), -1):
            numbered = self._sought(container, stream, *table.keys[near])
            first = next(numbered, None)
            if first is not None and first[0] <= number:
                return chain([first], numbered)
        return self._sought(container, stream, 0, min(0, stream.start_time or 0))

    def _sought(
        self, container: InputContainer, stream: VideoStream, key: int, time: int | None
    ) -> Iterator[tuple[int, VideoFrame]]:
        numbers = self._table.numbers or {}
        for frame in self._again(container, stream, time):
            # After a seek, pictures before the keyframe may lack what they refer to.
            place = -1 if frame.pts is None else numbers.get(frame.pts, -1)
            if place >= key:
                yield place, frame

    def _again(
        self, container: InputContainer, stream: VideoStream, time: int | None
    ) -> Iterator[VideoFrame]:
        """Decoded frames from the keyframe at a time of the stream's clock on, or from where we are."""
        if time is not None:
            try:
                container.seek(time, stream=stream)
            except av.FFmpegError:
                return iter(())
        return decoded(container, stream, self.path)


class PictureFrames:
    """Pictures, each in a file or read on demand, as the frames of a clip."""

    def __init__(
        self,
        names: Sequence[str | os.PathLike[str]],
        fps: Fraction = FALLBACK_FPS,
        load: Callable[[str], bytes] | None = None,
    ) -> None:
        self.names = [Path(name) for name in names]
        self.fps = fps
        self._load = load

    @property
    def frames(self) -> int:
        return len(self.names)

    def read(
        self, numbers: Sequence[int], *, size: tuple[int, int] | None = None, fit: str = "cover"
    ) -> Tensor:
        """The frames of these numbers, in this order, (t, 3, h, w) uint8, at `size` if given."""
        check_fit(fit)
        wanted = _in_range(numbers, self.frames, self.names[0].parent if self.names else Path())
        size = size or picture_size(self.names[wanted[0]], self._bytes(wanted[0]))
        shown = {
            n: read_image(self.names[n], size=size, fit=fit, data=self._bytes(n)) for n in wanted
        }
        return torch.stack([shown[number] for number in numbers])

    def _bytes(self, number: int) -> bytes | None:
        return None if self._load is None else self._load(self.names[number].as_posix())


def _laid_alike(shown: Tensor, count: int) -> Tensor:
    """Room for `count` frames like the one shown, channels last in memory where those are: no turning over."""
    channels, height, width = shown.shape
    if shown.stride(0) == 1:
        return shown.new_empty((count, height, width, channels)).permute(0, 3, 1, 2)
    return shown.new_empty((count, channels, height, width))


def _alike(
    found: Iterator[tuple[int, VideoFrame]],
) -> Iterator[list[tuple[int, VideoFrame]]]:
    """Frames of one size, as many together as are soon converted: one by one costs more than decoding."""
    held: list[tuple[int, VideoFrame]] = []
    for number, frame in found:
        if held and (frame.width, frame.height) != (held[0][1].width, held[0][1].height):
            yield held
            held = []
        held.append((number, frame))
        if len(held) * frame.width * frame.height >= _TOGETHER or len(held) == 16:
            yield held
            held = []
    if held:
        yield held


def _in_range(numbers: Sequence[int], frames: int, path: Path) -> list[int]:
    """The numbers, each once, in order; InputError for one that the clip does not have."""
    wanted = sorted(set(numbers))
    if not wanted:
        raise InputError("no frames asked for", str(path), "one number or more")
    if wanted[0] < 0 or wanted[-1] >= frames:
        wrong = wanted[0] if wanted[0] < 0 else wanted[-1]
        raise InputError(f"has no frame {wrong}", str(path), f"0 to {frames - 1}")
    return wanted


@lru_cache(maxsize=4096)
def _table_of_file(path: str, changed: int, size: int) -> _Table:
    """Remembered while the file stays as it is."""
    return _table(lambda: opened(path), Path(path))


def _table(open_it: Callable[[], Opened], path: Path) -> _Table:
    with open_it() as (container, stream), decoding(path):
        fps, clear = rate_of(stream), stream.codec_context.name not in _INVISIBLE
        packets = [
            (packet.pts, packet.is_keyframe)
            for packet in container.demux(stream)
            if packet.size and not packet.is_corrupt and not packet.is_discard
        ]
        if path.is_file():  # bytes in memory have been measured by whoever cut them out
            check_whole(container, stream, path, len(packets) / fps)
    times = [time for time, _ in packets if time is not None]
    if clear and len(times) == len(packets) == len(set(times)) and packets:
        order = sorted((time, key) for time, key in packets if time is not None)
        keys = tuple((n, time) for n, (time, key) in enumerate(order) if key)
        return _Table({time: n for n, (time, _) in enumerate(order)}, keys, len(order), fps)
    with open_it() as (container, stream):
        frames = sum(1 for _ in decoded(container, stream, path))
    if not frames:
        raise InputError("holds no frames", str(path), "a whole copy of the file")
    return _Table(None, (), frames, fps)
