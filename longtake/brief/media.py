"""Pictures and videos the user pins: checked now, digested, and read again when a step needs them."""

from __future__ import annotations

import os
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


def given_of(pin: Pin, frame: int, size: Size, canvas: Size, fps: Fraction, *, limit: int) -> Given:
    """A pin's media as film frames from `frame` on; read once to be sure that it can be.

    The middle of the picture with the film's aspect is taken and laid on the canvas. Raises
    InputError for a file that cannot be read, or a video of more than `limit` frames.
    """
    path = Path(pin.path)
    fitted = [file_digest(path), list(size), list(canvas)]
    if pin.kind == "image":
        load = partial(still, path, size, canvas)
        load()
        return Given(frame, 1, fingerprint(["image", *fitted]), load, still=True)
    count = length_of(path, fps, limit)
    digest = fingerprint(["video", *fitted, str(fps), count])
    return Given(frame, count, digest, partial(moving, path, size, canvas, fps, count))


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


def moving(path: Path, size: Size, canvas: Size, fps: Fraction, count: int) -> Tensor:
    """`count` frames of a video as (t, 3, h, w) floats in [0, 1]."""
    from longtake.video import fit_frames, read_video

    frames = read_video(path, fps=fps, size=size, fit="cover")
    if len(frames) < count:
        raise InputError("the video has changed since it was counted", str(path), "the same file")
    frames = frames[:count]
    return (frames if size == canvas else fit_frames(frames, canvas, "stretch")).float() / 255


def _too_long(path: Path, count: int, limit: int, fps: Fraction) -> InputError:
    what = f"about {count} frames at {float(fps):g} fps where {limit} fit"
    return InputError(what, str(path), f"a film of --frames {count + 1} or a shorter video")
