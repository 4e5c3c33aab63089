"""Read video files as frames, at any rate and size, in constant memory."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path

import av
import torch
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from torch import Tensor

from longtake.errors import InputError
from longtake.video.fitting import upright
from longtake.video.geometry import check_fit, check_size
from longtake.video.opening import (
    check_whole,
    decoded,
    decoding,
    display_turn,
    folder_fps,
    folder_frames,
    opened,
    pixel_aspect,
    rate_of,
)
from longtake.video.pictures import read_image
from longtake.video.timing import Dated, chosen, dated

Show = Callable[[tuple[int, int] | None], Tensor]
"""A stored frame, not yet converted; called with a size or None."""

TENSOR_LIMIT = 2 * 2**30
"""The most bytes `read_video` gathers; `read_frames` has no such limit."""

SCALING = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.BITEXACT
)
_KNOWN_SPACES = frozenset({0, 1, 4, 5, 6, 7, 9})  # matrix coefficients, ITU-T H.273 table 4
_SEEKABLE = {"mov", "matroska", "avi"}
_SEEK_MARGIN = 2
"""Seconds before the start at which decoding begins, so that whole pictures come first."""


def read_frames(
    path: str | os.PathLike[str],
    *,
    fps: Fraction | float | None = None,
    size: tuple[int, int] | None = None,
    start: float = 0.0,
    seconds: float | None = None,
    fit: str = "cover",
) -> Iterator[Tensor]:
    """The frames of a video file, or of a folder of numbered pictures, one by one.

    Each is (3, h, w) uint8 RGB, upright, with square pixels, at `size` (width, height) or else at
    the size of the first. With `fps`, frame k is the one shown at start + k / fps; without, every
    frame that begins between `start` and `start + seconds` comes once. Time zero is the first
    frame. Wrong arguments raise at once; a bad file raises `InputError` where it is bad.
    """
    check_fit(fit)
    size = None if size is None else check_size(size)
    rate = None if fps is None else _number(fps, "fps", 0.001, 1000)
    begin = _number(start, "start", 0, 1e9)
    length = None if seconds is None else _number(seconds, "seconds", 0, 1e9)
    return _read(Path(path), rate, size, begin, length, fit)


def read_video(
    path: str | os.PathLike[str],
    *,
    fps: Fraction | float | None = None,
    size: tuple[int, int] | None = None,
    start: float = 0.0,
    seconds: float | None = None,
    fit: str = "cover",
) -> Tensor:
    """All frames that `read_frames` gives, as one tensor (t, 3, h, w) uint8 of at most 2 GiB."""
    frames = read_frames(path, fps=fps, size=size, start=start, seconds=seconds, fit=fit)
    first = next(frames)
    gathered, count = first.unsqueeze(0), 1
    for frame in frames:
        if (count + 1) * frame.nbytes > TENSOR_LIMIT:
            hint = "seconds=..., a smaller size, or read_frames, which streams"
            raise InputError("too long to hold in memory at once", str(path), hint)
        if count == len(gathered):
            # Only what is written takes memory, so the room ahead costs nothing yet.
            roomier = gathered.new_empty((2 * count, *first.shape))
            roomier[:count] = gathered
            gathered = roomier
        gathered[count] = frame
        count += 1
    return gathered[:count].clone()


def _read(
    place: Path,
    rate: Fraction | None,
    size: tuple[int, int] | None,
    start: Fraction,
    length: Fraction | None,
    fit: str,
) -> Iterator[Tensor]:
    stored = _pictured(place, fit) if os.path.isdir(place) else _filmed(place, fit, start)
    last: Show | None = None
    shown: Tensor | None = None
    for show in chosen(stored, start, length, rate):
        if shown is None or show is not last:
            with decoding(place):
                shown, last = show(size).contiguous(), show
            size = size or (shown.shape[-1], shown.shape[-2])
        else:
            shown = shown.clone()
        yield shown
    if shown is None:
        where = f"from {float(start):g} s on"
        raise InputError(f"holds no frames {where}", str(place), "an earlier start")


def _pictured(folder: Path, fit: str) -> Iterator[Dated[Show]]:
    files = folder_frames(folder)
    fps = folder_fps(files[0])
    for k, file in enumerate(files):
        show = partial(_show_picture, file, fit)
        yield Dated(k / fps, (k + 1) / fps, Fraction(0), show)


def _filmed(place: Path, fit: str, start: Fraction) -> Iterator[Dated[Show]]:
    """Decoded frames with their times, and how to show them; none of them converted yet."""
    with opened(place) as (container, stream):
        scaler, aspect = VideoReformatter(), pixel_aspect(stream)
        for item in _from(container, stream, place, start):
            show = partial(show_frame, item.what, fit, scaler, aspect)
            yield Dated(item.begin, item.end, item.tick, show)


def _from(
    container: InputContainer, stream: VideoStream, place: Path, start: Fraction
) -> Iterator[Dated[VideoFrame]]:
    """Decoded frames, all of them or at least those from `start` on."""
    rate, end = rate_of(stream), Fraction(0)
    frames = dated(decoded(container, stream, place), rate, place)
    first = next(frames, None)
    if first is None:
        return
    if start > 2 * _SEEK_MARGIN and _SEEKABLE & set(container.format.name.split(",")):
        origin = (first.what.pts or 0) * first.tick
        for near in (origin + start - _SEEK_MARGIN, origin):
            if not _jump(container, stream, near):
                break
            frames = dated(decoded(container, stream, place), rate, place, origin)
            first = next(frames, first)
            if first.begin <= start:
                break
    for item in chain([first], frames):
        end = item.end
        yield item
    check_whole(container, stream, place, end)


def _jump(container: InputContainer, stream: VideoStream, time: Fraction) -> bool:
    """Go to the last keyframe before `time`; False where the file cannot be sought."""
    try:
        container.seek(int(time / (stream.time_base or 1)), stream=stream)
    except (av.FFmpegError, OverflowError):
        return False
    return True


def _show_picture(file: Path, fit: str, size: tuple[int, int] | None) -> Tensor:
    return read_image(file, size=size, fit=fit)


def show_frame(
    frame: VideoFrame,
    fit: str,
    scaler: VideoReformatter,
    aspect: float,
    size: tuple[int, int] | None,
) -> Tensor:
    """(3, h, w) uint8 RGB, upright, perhaps a view."""
    stored = rgb_of(frame, scaler, SCALING).permute(2, 0, 1).unsqueeze(0)
    return upright(stored, size, fit, display_turn(frame), aspect)[0]


def rgb_of(frame: VideoFrame, scaler: VideoReformatter, scaling: Interpolation) -> Tensor:
    """The stored pixels (h, w, 3) uint8; transparent parts over white, as for pictures."""
    clear = any(part.is_alpha for part in frame.format.components)
    kind = "rgba" if clear else "rgb24"
    scaled = scaler.reformat(
        frame, format=kind, src_colorspace=_space(frame), interpolation=scaling, threads=1
    )
    pixels = torch.from_numpy(scaled.to_ndarray())
    return _over_white(pixels) if clear else pixels


def _over_white(pixels: Tensor) -> Tensor:
    """(h, w, 4) as (h, w, 3) uint8; in bands, for the sums are four times as wide."""
    over = pixels.new_empty((*pixels.shape[:2], 3))
    rows = max(1, 1_000_000 // pixels.shape[1])
    for top in range(0, pixels.shape[0], rows):
        band = pixels[top : top + rows].int()
        colour, alpha = band[..., :3], band[..., 3:]
        over[top : top + rows] = (colour * alpha + 255 * (255 - alpha) + 127) // 255
    return over


def _space(frame: VideoFrame) -> Colorspace | None:
    """The frame's own colour matrix, or what players take for one that is not named."""
    if frame.colorspace in _KNOWN_SPACES:
        return None
    return Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601


def _number(value: Fraction | float, name: str, least: float, most: float) -> Fraction:
    """`value` as a fraction, a float taken for the short fraction it stands for."""
    if not math.isfinite(value) or not least <= value <= most:
        raise InputError(f"{name} is out of range", f"{name}={value}", f"{least:g} to {most:g}")
    return value if isinstance(value, Fraction) else Fraction(value).limit_denominator(1_000_000)
