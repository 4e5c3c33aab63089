"""Which files are media, where a film may be written, and whose fault a failed file is.

Knows neither torch nor PyAV nor Pillow, so that a plan can check its paths at once.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longtake.errors import InputError, LongtakeError, MachineError, nearest

PIXEL_LIMIT = 64_000_000
"""The most pixels of one picture or frame, read or written."""

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".ts", ".mpg", ".flv")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".avif")
OUT_SUFFIXES = (".mp4", ".mkv", ".webm", ".gif")
PLAYLIST = ".m3u8"
STDOUT = "-"
_SEGMENT = re.compile(r"init\.mp4|\d{6,}\.m4s|\.tmp")
_LONGEST_NAME = 255  # bytes; of file systems in common use
FRAME_KEY = "longtake-fps"
FRAME_MARK = b"tEXt" + FRAME_KEY.encode() + b"\0"
"""How the text chunk begins that PNG frames of a film's folder carry right after their header."""


def is_media(path: str | os.PathLike[str]) -> bool:
    """Whether the name ends as a video or a picture does; nothing is opened."""
    return Path(path).suffix.lower() in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)


def check_in(path: str | os.PathLike[str]) -> Path:
    """The path of an existing, non-empty, readable regular file; raises `InputError` otherwise."""
    place = Path(path)
    with blamed(place, "cannot look at the file", "a path to a file"):
        if place.is_dir():
            raise InputError("is a folder, not a file", str(path), "a file inside it")
        if not place.exists():
            raise InputError("no such file", str(path), _neighbour(place))
        if not place.is_file():
            raise InputError("is not a regular file", str(path), "a copy saved as a file")
        if not os.access(place, os.R_OK):
            raise InputError("may not be read", str(path), f"chmod +r {place.name}")
        if place.stat().st_size == 0:
            raise InputError("the file is empty", str(path), "a whole copy of it")
    return place


def check_out(path: str | os.PathLike[str]) -> Path:
    """The path of a film that can be written, checked before any work; nothing is created.

    `.mp4 .mkv .webm .gif` are files, `.m3u8` is a playlist with a folder of segments beside it, `-`
    is stdout; a name without suffix is a folder of PNGs. A folder that holds anything but frames or
    segments written by `VideoWriter` is refused, and so is a terminal. Raises `InputError`.
    """
    text, place = os.fspath(path), Path(path)
    if text == STDOUT:
        _check_stdout()
        return place
    unnamed = place.name.strip().lower() in ("", "..", "-", *OUT_SUFFIXES)
    if unnamed or not text.strip() or "\0" in text:
        raise InputError("not a name for a film", repr(text), "film.mp4")
    if len(os.fsencode(part_of(place).name)) > _LONGEST_NAME:
        raise InputError("a name too long for a file", text, f"film{place.suffix}")
    with blamed(place, "cannot look at the place for the film", "another folder"):
        if not place.suffix:
            _check_folder(place, text)
        elif place.suffix.lower() not in (*OUT_SUFFIXES, PLAYLIST):
            hint = f"{place.stem}{_nearest_suffix(place.suffix)}, or {place.stem}/ for PNGs"
            raise InputError(f"cannot write films as {place.suffix}", text, hint)
        elif place.is_dir() or text.endswith(("/", os.sep)):
            raise InputError("ends as a file does, but is a folder", text, f"{place.stem}/")
        elif place.suffix.lower() == PLAYLIST:
            _check_segments(segments_of(place))
        _check_parent(place, text)
    return place


def check_endless(path: str | os.PathLike[str]) -> None:
    """`InputError` for a place where a film cannot go on for ever."""
    text, place = os.fspath(path), Path(path)
    if text != STDOUT and place.suffix.lower() != PLAYLIST:
        hint = f"--out {place.stem or 'film'}{PLAYLIST}, or --out - for a pipe"
        raise InputError("endless films cannot be written here", f"--out {text}", hint)


def part_of(path: Path) -> Path:
    """Where a film is while it grows: `film.part.mp4` for `film.mp4`, `film.part` for a folder.

    A playlist and stdout are read while they grow, so that their place is their own.
    """
    if path.suffix.lower() == PLAYLIST or os.fspath(path) == STDOUT:
        return path
    return path.with_name(f"{path.stem}.part{path.suffix}")


def segments_of(playlist: Path) -> Path:
    """The folder beside a playlist that holds its segments, by a name that needs no escapes.

    Browsers take names in playlists for URLs, players on files take them as they are.
    """
    stem = playlist.stem
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", stem)[:100]
    if plain != stem:
        plain += "-" + hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
    return playlist.with_name(f"{plain}.segments")


def own_segments(folder: Path) -> list[Path] | None:
    """The files of a folder that holds only segments of an earlier film, or None if it holds more."""
    files = list(folder.iterdir())
    ours = (_SEGMENT.fullmatch(file.name) and file.is_file() for file in files)
    return files if all(ours) else None


def frame_files(folder: Path) -> list[Path]:
    """The numbered pictures of a folder in the order of their numbers."""
    files = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((p for p in files if p.stem.isdecimal()), key=lambda p: (int(p.stem), p.name))


def own_frames(folder: Path) -> list[Path] | None:
    """The files of a folder that holds only frames of an earlier film, or None if it holds more."""
    files = list(folder.iterdir())
    return files if all(map(_is_own_frame, files)) else None


@contextmanager
def blamed(path: Path, what: str, hint: str) -> Iterator[None]:
    """Turn a failing file into the error of whoever can mend it: the user, or the machine."""
    try:
        yield
    except (LongtakeError, BrokenPipeError):  # a reader that leaves is nobody's fault
        raise
    except OSError as error:
        code = error.errno or 0
        whole = f"{what}: {error.strerror or type(error).__name__}"
        if code in _OF_THE_USER:
            raise InputError(whole, str(path), hint) from error
        raise MachineError(whole, str(path), _REMEDY.get(code, "again")) from error


_OF_THE_USER = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.EINVAL,
    errno.ENAMETOOLONG,
    errno.ELOOP,
}
_REMEDY = {
    errno.ENOSPC: "again after freeing space on that disk",
    errno.EDQUOT: "again after freeing space under your quota",
    errno.EFBIG: "again on a disk that allows larger files",
    errno.EIO: "again on another disk",
}


def _neighbour(place: Path) -> str:
    parent = place.parent
    if not parent.is_dir():
        return f"an existing folder instead of {parent}"
    files = {p.stem: p.name for p in parent.iterdir() if is_media(p) and p.exists()}
    return files.get(nearest(place.stem, files), "the full path of an existing file")


def _nearest_suffix(suffix: str) -> str:
    close = nearest(suffix.lower(), OUT_SUFFIXES)
    return close if close in OUT_SUFFIXES else ".mp4"


def _check_folder(place: Path, text: str) -> None:
    if place.exists() and not place.is_dir():
        raise InputError("is a file, not a folder", text, f"{text.rstrip('/')}.mp4")
    if place.is_dir() and own_frames(place) is None:
        raise InputError("the folder holds other files", text, f"{text.rstrip('/')}/frames/")


def _check_segments(folder: Path) -> None:
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
        raise InputError("is no folder, and segments would go there", str(folder), "another --out")
    if folder.is_dir() and own_segments(folder) is None:
        raise InputError("the folder holds other files", str(folder), "another --out")


def _check_stdout() -> None:
    if sys.stdout.isatty():
        raise InputError("a terminal cannot show a film", "--out -", "longtake ... | mpv -")


def _check_parent(place: Path, text: str) -> None:
    parent = place.absolute().parent
    while not os.path.lexists(parent):  # a link to nowhere is there, and no folder
        parent = parent.parent
    if not parent.is_dir():
        raise InputError(f"{parent} is a file, not a folder", text, f"a folder beside {parent}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"may not write into {parent}", text, "a folder of your own")


def _is_own_frame(path: Path) -> bool:
    if path.suffix != ".png" or not path.stem.isdecimal() or not path.is_file():
        return False
    with path.open("rb") as file:
        return FRAME_MARK in file.read(128)
