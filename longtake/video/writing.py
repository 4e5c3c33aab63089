"""Write films: files that play while they grow, and are the same bytes for the same frames."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import torch
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from longtake.errors import InputError, nearest
from longtake.video.encoding import GifEncoder, StreamEncoder
from longtake.video.files import (
    FRAME_KEY,
    PLAYLIST,
    STDOUT,
    blamed,
    check_endless,
    check_out,
    own_frames,
    part_of,
)
from longtake.video.finishing import check_audio, finish
from longtake.video.geometry import check_size
from longtake.video.pictures import as_picture, save_picture
from longtake.video.streaming import PipeEncoder, PlaylistEncoder

QUALITIES = ("draft", "good", "lossless")


class Encoder(Protocol):
    """Puts frames (3, h, w) uint8 into a growing part; `close` completes the part."""

    def put(self, frame: Tensor) -> None: ...

    def close(self) -> None: ...


class VideoWriter:
    """Write frames to `.mp4`, `.mkv`, `.webm`, `.gif` or a folder of PNGs (a name without suffix).

    `.m3u8` is an HLS playlist, with its segments in a folder beside it; `-` is stdout, as fragmented MP4.
    Both are there for reading as they grow; a playlist's end mark says that the film is whole. With
    `endless`, which only these two can be, the playlist names the latest segments, older ones are
    deleted, `write` waits rather than run ahead of a viewer's clock, and any end is marked as one.
    A reader of stdout that leaves is a `BrokenPipeError`.

    Any other film grows in `part` ("film.part.mp4"), which plays at any moment and stays when the
    process is killed or the `with` block raises after a frame; `close` puts the finished film in its place at
    once. `frames` counts what was written: the film has exactly that many.

    H.264 in .mp4 and .mkv and VP9 in .webm, BT.709, limited range. An odd side makes H.264 4:4:4,
    since 4:2:0 halves both sides and padding would change the size that was asked for; not every
    browser plays that. "lossless" keeps every RGB value exactly (.gif cannot) for players and
    archives rather than browsers. `audio` is cut at the film's end, and a shorter one ends before.
    Raises `InputError` before any work, `MachineError` when the disk fails.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        size: tuple[int, int],
        fps: Fraction | float,
        quality: str = "good",
        audio: str | os.PathLike[str] | None = None,
        endless: bool = False,
    ) -> None:
        self.path = check_out(path)
        self.part = part_of(self.path)
        self.size = check_size(size)
        self.fps = Fraction(fps).limit_denominator(100_000)
        self.quality = quality
        self.audio = None if audio is None else Path(audio)
        self.endless = endless
        self.frames = 0
        self._check()
        with blamed(self.path, "cannot make the folder", "another folder"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._encoder: Encoder | None = self._begin()

    def write(self, frames: Tensor) -> None:
        """Append frames (t, 3, h, w) uint8 of the film's size."""
        if self._encoder is None:
            raise ValueError("the film is closed")
        width, height = self.size
        if frames.shape[1:] != (3, height, width) or frames.dtype != torch.uint8:
            given, wanted = tuple(frames.shape), (3, height, width)
            raise InputError("frames do not fit the film", f"{given} {frames.dtype}", f"{wanted}")
        for frame in frames.detach().cpu():
            self._encoder.put(frame)
            self.frames += 1

    def close(self) -> None:
        """Finish the film and put it in its place; an `InputError` if it has no frames."""
        if self._encoder is None:
            return
        encoder, self._encoder = self._encoder, None
        encoder.close()
        if self.frames == 0:
            raise InputError("a film needs a frame", str(self.path), "frames=1 or more")
        if isinstance(encoder, PlaylistEncoder):
            encoder.end()
        elif isinstance(encoder, PipeEncoder):
            return
        elif not self.path.suffix:
            _replace_folder(self.part, self.path)
        elif self.path.suffix.lower() == ".gif":
            with blamed(self.path, "cannot put the film in its place", "another folder"):
                os.replace(self.part, self.path)
        else:
            finish(self.part, self.path, self.fps, self.frames, self.audio)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
            return
        encoder, self._encoder = self._encoder, None
        # The first failure is the one to tell; a part that cannot be completed plays up to here.
        with contextlib.suppress(Exception):
            if encoder is not None:
                encoder.close()
        if encoder is not None and not self.frames and self.part != self.path:
            with contextlib.suppress(OSError):
                _remove(self.part)

    def _check(self) -> None:
        if self.quality not in QUALITIES:
            hint = nearest(self.quality, QUALITIES)
            raise InputError(f"no such quality: {self.quality}", "quality", hint)
        suffix = self.path.suffix.lower() or (STDOUT if os.fspath(self.path) == STDOUT else "")
        most = 50 if suffix == ".gif" else 240
        if not 0 < self.fps <= most:
            raise InputError("the rate is out of range", f"fps={float(self.fps):g}", f"fps={most}")
        if max(self.size) > 16384 and suffix:
            width, height = self.size
            raise InputError("a side is too long for a video", f"{width}x{height}", "16384 at most")
        if suffix == ".gif" and self.quality == "lossless":
            hint = f"{self.path.with_suffix('.mkv')}"
            raise InputError("a GIF holds 256 colours a frame", str(self.path), hint)
        if self.audio is not None:
            if suffix not in (".mp4", ".mkv", ".webm"):
                hint = f"{self.path.stem if self.path.suffix else 'film'}.mp4"
                raise InputError("this kind of film holds no sound", str(self.path), hint)
            check_audio(self.audio)
        if self.endless:
            check_endless(self.path)

    def _begin(self) -> Encoder:
        if os.fspath(self.path) == STDOUT:
            return PipeEncoder(self.size, self.fps, self.quality)
        if self.path.suffix.lower() == PLAYLIST:
            return PlaylistEncoder(self.path, self.size, self.fps, self.quality, live=self.endless)
        if not self.path.suffix:
            return _FolderEncoder(self.part, self.fps)
        if self.path.suffix.lower() == ".gif":
            return GifEncoder(self.part, self.size, self.fps, dither=self.quality == "good")
        return StreamEncoder(self.part, self.size, self.fps, self.quality)


class _FolderEncoder:
    """Numbered PNGs, each of which appears whole."""

    def __init__(self, part: Path, fps: Fraction) -> None:
        self._folder, self._count = part, 0
        self._notes = PngInfo()
        self._notes.add_text(FRAME_KEY, f"{fps.numerator}/{fps.denominator}")
        with blamed(part, "cannot make the folder", "another folder"):
            part.mkdir(exist_ok=True)
            _empty(part)

    def put(self, frame: Tensor) -> None:
        place = self._folder / f"{self._count:06d}.png"
        save_picture(as_picture(frame), place, "PNG", pnginfo=self._notes, compress_level=3)
        self._count += 1

    def close(self) -> None:
        pass


def _empty(folder: Path) -> None:
    """Remove the frames of an earlier film, and nothing else."""
    files = own_frames(folder)
    if files is None:
        raise InputError("the folder holds other files", str(folder), "another name for the film")
    for file in files:
        file.unlink()


def _remove(part: Path) -> None:
    """Take away a part in which nothing was written."""
    if part.is_dir():
        part.rmdir()
    else:
        part.unlink()


def _replace_folder(part: Path, path: Path) -> None:
    with blamed(path, "cannot put the film in its place", "another folder"):
        if path.exists():
            _empty(path)
            path.rmdir()
        os.rename(part, path)
