"""Read and write video files and pictures; nothing else in the project knows PyAV or Pillow.

Frames are torch tensors, uint8, (t, 3, h, w) or (3, h, w), RGB in 0..255; sizes are
(width, height). Names are resolved lazily, so that checking a path does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longtake.video.files import (
        IMAGE_SUFFIXES,
        OUT_SUFFIXES,
        PIXEL_LIMIT,
        VIDEO_SUFFIXES,
        check_out,
        is_media,
        part_of,
    )
    from longtake.video.fitting import fit_frames
    from longtake.video.geometry import FITS, Fit, check_size
    from longtake.video.numbered import PictureFrames, VideoFrames
    from longtake.video.opening import VideoInfo, probe
    from longtake.video.pictures import contact_sheet, read_cutout, read_image, write_image
    from longtake.video.reading import read_frames, read_video
    from longtake.video.writing import QUALITIES, VideoWriter

_HOME = {
    "files": (
        "IMAGE_SUFFIXES",
        "OUT_SUFFIXES",
        "PIXEL_LIMIT",
        "VIDEO_SUFFIXES",
        "check_out",
        "is_media",
        "part_of",
    ),
    "fitting": ("fit_frames",),
    "geometry": ("FITS", "Fit", "check_size"),
    "numbered": ("PictureFrames", "VideoFrames"),
    "opening": ("VideoInfo", "probe"),
    "pictures": ("contact_sheet", "read_cutout", "read_image", "write_image"),
    "reading": ("read_frames", "read_video"),
    "writing": ("QUALITIES", "VideoWriter"),
}

__all__ = [
    "FITS",
    "IMAGE_SUFFIXES",
    "OUT_SUFFIXES",
    "PIXEL_LIMIT",
    "PictureFrames",
    "QUALITIES",
    "VIDEO_SUFFIXES",
    "Fit",
    "VideoFrames",
    "VideoInfo",
    "VideoWriter",
    "check_out",
    "check_size",
    "contact_sheet",
    "fit_frames",
    "is_media",
    "part_of",
    "probe",
    "read_cutout",
    "read_frames",
    "read_image",
    "read_video",
    "write_image",
]


def __getattr__(name: str) -> object:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
