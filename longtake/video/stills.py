"""Open pictures that nobody vouches for, as eight-bit RGB. No torch."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from longtake.errors import InputError, LongtakeError
from longtake.video.files import VIDEO_SUFFIXES, check_in
from longtake.video.geometry import Turn
from longtake.video.opening import check_pixels

# Formats that start other programs (EPS) or that few people have are left out.
_PLUGINS = ("Png", "Jpeg", "WebP", "Gif", "Bmp", "Tiff", "Ppm", "Avif")
_WANTED = "a PNG, JPEG, WebP, TIFF, BMP or GIF picture"
_ORIENTATION = 0x0112
_TURNS = {
    2: Turn(False, True, False),
    3: Turn(False, True, True),
    4: Turn(False, False, True),
    5: Turn(True, False, False),
    6: Turn(True, True, False),
    7: Turn(True, True, True),
    8: Turn(True, False, True),
}
"""EXIF 2.32, tag Orientation: where the stored first row and first column are when upright."""


@contextmanager
def picture(path: str | os.PathLike[str], data: bytes | None = None) -> Iterator[Image.Image]:
    """A picture whose header has been read and whose claimed size is within the limit.

    With `data`, the file is in memory and `path` is what errors call it.
    """
    place = check_in(path) if data is None else Path(path)
    moving = place.suffix.lower() in VIDEO_SUFFIXES
    hint = "it as a video (--video)" if moving else _WANTED
    with _blamed(place, hint), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about large or odd files: both are judged here
        source = place if data is None else io.BytesIO(data)
        with Image.open(source, formats=_formats()) as image:
            check_pixels(*image.size, place)
            yield image


def picture_size(path: str | os.PathLike[str], data: bytes | None = None) -> tuple[int, int]:
    """The (width, height) at which a picture is shown, from its header alone."""
    with picture(path, data) as image:
        width, height = image.size
        turned = image.format != "TIFF" and _turn(image).swap  # Pillow turns TIFF files itself
        return (height, width) if turned else (width, height)


def load_rgb(path: str | os.PathLike[str], data: bytes | None = None) -> tuple[np.ndarray, Turn]:
    """The stored pixels (h, w, 3) uint8 of a picture's first frame, and the turn they still need.

    Transparency is laid over white, as pages and viewers show it; 16-bit samples are rounded;
    pixels with a colour profile are brought to sRGB.
    """
    with picture(path, data) as image:
        image.load()
        turn = _turn(image)  # after loading, for Pillow turns TIFF files itself
        return np.array(_over_white(_as_srgb(_eight_bit(image, Path(path))))), turn


def load_rgba(path: str | os.PathLike[str]) -> tuple[np.ndarray, Turn]:
    """The same with its transparency: (h, w, 4) uint8; a picture without any is covered all over."""
    with picture(path) as image:
        image.load()
        turn = _turn(image)
        clear = image.convert("RGBA") if image.has_transparency_data else None
        rgb = _as_srgb(_eight_bit(image if clear is None else clear.convert("RGB"), Path(path)))
        cover = Image.new("L", image.size, 255) if clear is None else clear.getchannel("A")
        return np.dstack([np.array(rgb.convert("RGB")), np.array(cover)]), turn


@cache
def _formats() -> tuple[str, ...]:
    for name in _PLUGINS:
        import_module(f"PIL.{name}ImagePlugin")  # registers itself, if its library is there
    return tuple(name.upper() for name in _PLUGINS if name.upper() in Image.OPEN)


@contextmanager
def _blamed(place: Path, hint: str) -> Iterator[None]:
    # Pillow's parsers raise whatever a broken file makes them stumble over, hence `Exception`.
    try:
        yield
    except LongtakeError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError("claims too many pixels", str(place), "a smaller copy") from error
    except UnidentifiedImageError as error:
        raise InputError("is not a picture", str(place), hint) from error
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"cannot be read: {reason}", str(place), hint) from error


def _turn(image: Image.Image) -> Turn:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken notes about a picture are no reason to refuse the picture
        return Turn()
    return _TURNS.get(orientation, Turn())


def _eight_bit(image: Image.Image, place: Path) -> Image.Image:
    """Sixteen-bit grey as eight-bit grey (Pillow itself would clip); other modes as they are."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise InputError(
            "has samples that are not 8 or 16 bits", str(place), "a copy saved as 8-bit PNG"
        )
    return Image.fromarray(((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))


def _as_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image
        shown = ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return shown or image


_SRGB = ImageCms.createProfile("sRGB")


def _over_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    clear = image if image.mode == "RGBA" else image.convert("RGBA")
    shown = Image.new("RGB", image.size, (255, 255, 255))
    shown.paste(clear, mask=clear.getchannel("A"))
    return shown
