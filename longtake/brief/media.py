"""Pictures and videos the user pins: checked now, digested, and read again when a step needs them."""

from __future__ import annotations

import math
import os
import re
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.controls import Pin
from longtake.engine.job import Given
from longtake.errors import InputError
from longtake.keys import file_fingerprint, fingerprint

if TYPE_CHECKING:
    from torch import Tensor

Size = tuple[int, int]  # width, height

_STRETCH = re.compile(r"#t=(?:-(?P<last>\d+\.?\d*)|(?P<first>\d*\.?\d*)(?:,(?P<end>\d+\.?\d*))?)$")
_EVER = 10**8  # frames, which no file has


def given_of(pin: Pin, frame: int, size: Size, canvas: Size, fps: Fraction, *, limit: int) -> Given:
    """A pin's media as film frames from `frame` on; read once to be sure that it can be.

    The middle of the picture with the film's aspect is taken and laid on the canvas. Raises
    InputError for a file that cannot be read, or a video of more than `limit` frames.
    """
    path, stretch = stretch_of(pin.path)
    fitted = [file_digest(path), list(size), list(canvas)]
    if pin.kind == "image":
        if stretch:
            raise InputError(f"{stretch} of a picture", pin.path, f"--video {pin.path}")
        load = partial(still, path, size, canvas)
        load()
        return Given(frame, 1, fingerprint(["image", *fitted]), load, still=True)
    start, count = span_of(path, stretch, fps, limit)
    digest = fingerprint(["video", *fitted, str(fps), count, *([stretch] if stretch else [])])
    load = partial(moving, path, size, canvas, fps, count, start)
    return Given(frame, count, digest, load)


def stretch_of(text: str) -> tuple[Path, str]:
    """A pinned file, and the stretch of it that is meant: `#t=A,B` of media fragments (W3C 2012), or "".

    Seconds; `#t=-S` for its last S, which the standard has not. A file may be named so itself.
    """
    found = None if os.path.exists(text) else _STRETCH.search(text)
    return (Path(text), "") if found is None else (Path(text[: found.start()]), found[0])


def span_of(path: Path, stretch: str, fps: Fraction, limit: int) -> tuple[float, int]:
    """Where a stretch of a video begins, seconds, and its frames at `fps`; InputError for more than `limit`."""
    from longtake.video import probe, read_frames

    told = _STRETCH.fullmatch(stretch)
    if told is None:
        return 0.0, length_of(path, fps, limit)
    if told["last"] is not None:
        whole = length_of(path, fps, _EVER)
        count = min(whole, max(1, math.ceil(Fraction(told["last"]) * fps)))
        if count > limit:
            raise _too_long(path, count, limit, fps)
        # in the middle of a frame, because containers round times
        return float((whole - count + Fraction(1, 2)) / fps), count
    start = float(told["first"] or 0)
    end = float(told["end"]) if told["end"] else max(probe(path).seconds, start) + 1
    if end <= start:
        what = f"a stretch that ends at {end:g} s and begins at {start:g} s"
        raise InputError(what, f"{path}{stretch}", f"#t={end:g},{start:g}")
    if told["end"] and (end - start) * fps > limit + 1:
        raise _too_long(path, int((end - start) * fps), limit, fps)
    count = 0
    for _ in read_frames(path, fps=fps, size=(16, 16), start=start, seconds=end - start):
        count += 1
        if count > limit:
            raise _too_long(path, count, limit, fps)
    return start, count


def file_digest(path: Path) -> str:
    """Of a file's bytes, or of all files of a folder of frames."""
    from longtake.video.files import check_in, frame_files

    if os.path.isdir(path):  # unlike Path.is_dir, False for a name that no disk can hold
        return fingerprint([(file.name, file_fingerprint(file)) for file in frame_files(path)])
    return file_fingerprint(check_in(path))


def length_of(path: Path, fps: Fraction, limit: int) -> int:
    """Frames of a video at `fps`, counted by decoding it once; more than `limit` is an InputError."""
    from longtake.video import probe, read_frames

    claimed = probe(path).seconds
    if claimed * fps > limit + fps + 1:  # believed only as far as it saves the decoding
        raise _too_long(path, int(claimed * fps), limit, fps)
    count = 0
    for _ in read_frames(path, fps=fps, size=(16, 16)):
        count += 1
        if count > limit:
            raise _too_long(path, max(count, int(claimed * fps)), limit, fps)
    return count


def still(path: Path, size: Size, canvas: Size) -> Tensor:
    """A picture as (1, 3, h, w) floats in [0, 1]."""
    from longtake.video import fit_frames, read_image

    frames = read_image(path, size=size, fit="cover").unsqueeze(0)
    return (frames if size == canvas else fit_frames(frames, canvas, "stretch")).float() / 255


def moving(
    path: Path, size: Size, canvas: Size, fps: Fraction, count: int, start: float = 0.0
) -> Tensor:
    """`count` frames of a video from `start` seconds on as (t, 3, h, w) floats in [0, 1]."""
    from longtake.video import fit_frames, read_video

    seconds = float((count + 1) / fps) if start else None
    frames = read_video(path, fps=fps, size=size, fit="cover", start=start, seconds=seconds)
    if len(frames) < count:
        raise InputError("the video has changed since it was counted", str(path), "the same file")
    frames = frames[:count]
    return (frames if size == canvas else fit_frames(frames, canvas, "stretch")).float() / 255


def _too_long(path: Path, count: int, limit: int, fps: Fraction) -> InputError:
    what = f"about {count} frames at {float(fps):g} fps where {limit} fit"
    return InputError(what, str(path), f"a film of --frames {count + 1} or a shorter video")
