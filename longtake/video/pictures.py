"""Pictures as tensors: read one, write one, lay many on a sheet."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from longtake.errors import InputError, nearest
from longtake.video.files import PIXEL_LIMIT, blamed
from longtake.video.fitting import upright
from longtake.video.geometry import check_fit, check_size
from longtake.video.stills import load_rgb, load_rgba

_SAVED_AS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_MARGIN = 2
_LABEL_SIZE = 10


def read_image(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    fit: str = "cover",
    data: bytes | None = None,
) -> Tensor:
    """A picture as (3, h, w) uint8 RGB, upright by its EXIF note, at `size` (width, height).

    Transparent parts are laid over white, as viewers show them; of an animation, the first frame.
    Raises `InputError` for anything that is not a whole picture of at most 64 million pixels,
    before decoding where the header tells. With `data`, the file is in memory and `path` its name.
    """
    check_fit(fit)
    if size is not None:
        check_size(size)
    pixels, turn = load_rgb(path, data)
    stored = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)
    return upright(stored, size, fit, turn)[0].contiguous()


def read_cutout(path: str | os.PathLike[str]) -> Tensor:
    """A picture with its transparency as (4, h, w) uint8 RGBA, upright, cut to what is not clear.

    Raises `InputError` as `read_image` does, and for a picture that has no outline.
    """
    pixels, turn = load_rgba(path)
    layers = torch.from_numpy(pixels).permute(2, 0, 1)
    rows, columns = (layers[3] > 127).nonzero(as_tuple=True)
    if len(rows) == 0 or int(layers[3].min()) > 127:
        raise InputError("has no outline", str(path), "a picture with transparency")
    cut = layers[
        :, int(rows.min()) : int(rows.max()) + 1, int(columns.min()) : int(columns.max()) + 1
    ]
    parts = [
        upright(part[None], None, "cover", turn)[0] for part in (cut[:3], cut[3:].expand(3, -1, -1))
    ]
    return torch.cat([parts[0], parts[1][:1]]).contiguous()


def write_image(frame: Tensor, path: str | os.PathLike[str]) -> None:
    """Write one frame (3, h, w) uint8 as `.png`, `.jpg` or `.webp`; the file appears whole."""
    place = Path(path)
    kind = _SAVED_AS.get(place.suffix.lower())
    if kind is None:
        hint = nearest(place.suffix.lower(), _SAVED_AS)
        raise InputError(f"cannot write pictures as {place.suffix or 'no suffix'}", str(path), hint)
    picture = as_picture(frame)
    _make_folder(place)
    save_picture(picture, place, kind, quality=92)


def contact_sheet(
    frames: Iterable[Tensor] | Tensor,
    path: str | os.PathLike[str],
    *,
    columns: int = 8,
    labels: Sequence[str] | None = None,
) -> None:
    """Lay frames, (3, h, w) or (t, 3, h, w) uint8 of one size, on a PNG sheet with small labels.

    Without `labels`, each frame is named by its place in what was given. Frames are taken one by
    one; a sheet past the pixel limit is an `InputError`.
    """
    if columns < 1:
        raise InputError("a sheet needs a column", f"columns={columns}", "columns=8")
    limit = None if labels is None else len(labels)
    cells = [as_picture(frame) for frame in islice(_limited(frames), limit)]
    if not cells:
        raise InputError("a sheet needs a frame", str(path), "a longer video")
    names = [str(i) for i in range(len(cells))] if labels is None else list(labels)
    columns = min(columns, len(cells))
    rows = math.ceil(len(cells) / columns)
    wide, high = cells[0].width + _MARGIN, cells[0].height + _LABEL_SIZE + 2 * _MARGIN
    check_size((columns * wide, rows * high))
    sheet = Image.new("RGB", (columns * wide + _MARGIN, rows * high), (24, 24, 24))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LABEL_SIZE)
    for place, (cell, name) in enumerate(zip(cells, names, strict=False)):
        left, top = place % columns * wide + _MARGIN, place // columns * high + _MARGIN
        sheet.paste(cell, (left, top))
        pen.text((left, top + cell.height), name, fill=(220, 220, 220), font=font)
    _make_folder(Path(path))
    save_picture(sheet, Path(path), "PNG")


def as_picture(frame: Tensor) -> Image.Image:
    """A frame (3, h, w) uint8 for Pillow."""
    if frame.ndim != 3 or frame.shape[0] != 3 or frame.dtype != torch.uint8:
        given = f"{tuple(frame.shape)} {frame.dtype}"
        raise InputError("not a frame", given, "(3, height, width) torch.uint8")
    return Image.fromarray(frame.detach().cpu().permute(1, 2, 0).contiguous().numpy())


def png_of(frame: Tensor) -> bytes:
    """One frame (3, h, w) uint8 as the bytes of a PNG file."""
    file = io.BytesIO()
    as_picture(frame).save(file, "PNG", optimize=True)
    return file.getvalue()


def _limited(frames: Iterable[Tensor] | Tensor) -> Iterator[Tensor]:
    pixels = 0
    for given in frames:
        for frame in given if given.ndim == 4 else given.unsqueeze(0):
            pixels += frame.shape[-1] * frame.shape[-2]
            if pixels > PIXEL_LIMIT:
                raise InputError("too many frames for a sheet", f"{pixels} pixels", "fewer frames")
            yield frame


def _make_folder(place: Path) -> None:
    with blamed(place, "cannot make the folder", "another folder"):
        place.parent.mkdir(parents=True, exist_ok=True)


def save_picture(image: Image.Image, place: Path, kind: str, **options: object) -> None:
    """Save through Pillow under another name, then rename: the file appears whole or not at all."""
    growing = place.with_name(f".{place.name}.tmp")
    with blamed(place, "cannot write the picture", "a folder you can write into"):
        try:
            image.save(growing, kind, **options)
            os.replace(growing, place)
        finally:
            growing.unlink(missing_ok=True)
