"""Bring frames to a size and turn them upright."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from longtake.video.geometry import Turn, check_fit, check_size, shown_size

_CHUNK_PIXELS = 16_000_000


def fit_frames(
    frames: Tensor, size: tuple[int, int], fit: str = "cover", *, pixel_aspect: float = 1.0
) -> Tensor:
    """Frames (t, 3, h, w) uint8 at `size` (width, height), filtered against aliasing.

    "cover" fills the size and cuts what stands out, centred; "contain" shows everything between
    black bars; "stretch" gives up the aspect. `pixel_aspect` is the width of a stored pixel over
    its height. The crop is in whole stored pixels.
    """
    (width, height), way = check_size(size), check_fit(fit)
    rows, columns = frames.shape[-2:]
    across, down = width / (columns * pixel_aspect), height / rows
    if way == "contain":
        scale = min(across, down)
        inner_width = min(width, max(1, round(columns * pixel_aspect * scale)))
        inner_height = min(height, max(1, round(rows * scale)))
        return _padded(_resized(frames, inner_width, inner_height), width, height)
    if way == "cover":
        scale = max(across, down)
        wide = min(columns, max(1, round(width / (scale * pixel_aspect))))
        high = min(rows, max(1, round(height / scale)))
        left, top = (columns - wide) // 2, (rows - high) // 2
        frames = frames[..., top : top + high, left : left + wide]
    return _resized(frames, width, height)


def upright(
    frames: Tensor, size: tuple[int, int] | None, fit: str, turn: Turn, pixel_aspect: float = 1.0
) -> Tensor:
    """Stored frames (t, 3, h, w) as a player shows them, at `size` or else at their own size.

    The answer may be a view in another order of memory.
    """
    if size is None:
        size, fit = shown_size(frames.shape[-1], frames.shape[-2], turn, pixel_aspect), "stretch"
    # Resizing comes first: turning a small picture is cheaper than turning a large one.
    stored = (size[1], size[0]) if turn.swap else size
    frames = fit_frames(frames, stored, fit, pixel_aspect=pixel_aspect)
    if turn.swap:
        frames = frames.transpose(-1, -2)
    mirrored = [axis for axis, on in ((-1, turn.mirror_x), (-2, turn.mirror_y)) if on]
    return frames.flip(mirrored) if mirrored else frames


def _resized(frames: Tensor, width: int, height: int) -> Tensor:
    """`frames` at exactly this size; in chunks, for the filter keeps a copy of what it reads."""
    if frames.shape[-2:] == (height, width):
        return frames
    step = max(1, _CHUNK_PIXELS // max(frames.shape[-1] * frames.shape[-2], width * height))
    out = frames.new_empty((*frames.shape[:2], height, width))
    for first in range(0, frames.shape[0], step):
        out[first : first + step] = interpolate(
            frames[first : first + step], (height, width), mode="bilinear", antialias=True
        )
    return out


def _padded(frames: Tensor, width: int, height: int) -> Tensor:
    high, wide = frames.shape[-2:]
    out = torch.zeros((*frames.shape[:-2], height, width), dtype=frames.dtype)
    top, left = (height - high) // 2, (width - wide) // 2
    out[..., top : top + high, left : left + wide] = frames
    return out
