"""Storyboard files: shots in TOML, read strictly, so that a typing error never becomes a silent default.

No torch here.
"""

from __future__ import annotations

import json
import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longtake.controls import Pin, Shot, Storyboard
from longtake.errors import InputError, nearest

FILM_KEYS = ("fps", "seed", "shot", "size")
SHOT_KEYS = ("cut", "images", "prompt", "seconds", "seed", "videos")
SIZES = range(16, 4097)  # width and height of a film
SEEDS = range(2**63)
LONGEST = 1e7  # seconds
LAST = "seconds = inf in the last shot only"
_RATES = (0.1, 240.0)
_LARGEST = 4 * 2**20  # bytes of a storyboard file
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|inf|-inf", re.IGNORECASE)


def read_storyboard(path: str | os.PathLike[str]) -> Storyboard:
    """The storyboard in a `.toml` file; pins come back as absolute paths inside the file's folder.

    The last shot may have `seconds = inf`. Raises InputError for anything unknown, of the wrong kind
    or out of range.
    """
    place = Path(path)
    if os.path.isdir(place):
        raise InputError("is a folder, not a storyboard", str(path), _beside(place))
    if not os.path.isfile(place):
        raise InputError("no such storyboard", str(path), _beside(place))
    try:
        data = place.read_bytes() if place.stat().st_size <= _LARGEST else b""
    except OSError as error:
        raise InputError(
            f"cannot read it: {error.strerror}", str(path), "a readable file"
        ) from None
    if not data.strip():
        raise InputError("empty or larger than 4 MiB", str(path), "a file with a [[shot]]")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 at byte {error.start}", str(path), "a UTF-8 file") from None
    return parse_storyboard(text, name=place.name, folder=place.parent)


def parse_storyboard(text: str, *, name: str = "storyboard", folder: Path = Path()) -> Storyboard:
    """A storyboard out of TOML text; `folder` is where its pictures and videos lie."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5000 digits is a plain ValueError
        reason = str(error) or "nested too deeply"
        raise InputError(
            f"not TOML: {reason}", name, 'lines such as prompt = "a calm sea"'
        ) from None
    _check_keys(table, FILM_KEYS, name)
    shots = table.get("shot")
    if not isinstance(shots, list) or not shots or not all(isinstance(s, dict) for s in shots):
        raise InputError("no shots", name, 'a table [[shot]] with prompt = "..." and seconds = 10')
    return Storyboard(
        shots=tuple(
            _shot(shot, f"{name}, shot {n}", folder, math.inf if n == len(shots) else LONGEST)
            for n, shot in enumerate(shots, 1)
        ),
        seed=_seed(table, name),
        fps=None if "fps" not in table else _number(table["fps"], f"{name}, fps", *_RATES),
        size=None if "size" not in table else read_size(table["size"], f"{name}, size"),
    )


def save_storyboard(storyboard: Storyboard, path: str | os.PathLike[str]) -> None:
    """Writes a storyboard that reads back equal; the file appears whole.

    Raises InputError for a pin outside the file's folder, which a reader would refuse.
    """
    place = Path(path)
    text = storyboard_text(storyboard, place.parent)
    parse_storyboard(text, name=place.name, folder=place.parent)
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8")
        os.replace(fresh, place)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        hint = "a folder that can be written"
        raise InputError(f"cannot write it: {error.strerror}", str(path), hint) from None


def storyboard_text(storyboard: Storyboard, folder: Path = Path()) -> str:
    """The TOML of a storyboard whose file lies in `folder`."""
    lines = [] if storyboard.seed is None else [f"seed = {storyboard.seed}"]
    if storyboard.fps is not None:
        lines.append(f"fps = {storyboard.fps!r}")
    if storyboard.size is not None:
        lines.append(f'size = "{storyboard.size[0]}x{storyboard.size[1]}"')
    for n, shot in enumerate(storyboard.shots, 1):
        lines += ["", "[[shot]]", f"prompt = {_quoted(shot.prompt)}", f"seconds = {shot.seconds!r}"]
        for kind, key in (("image", "images"), ("video", "videos")):
            pins = [p for p in shot.pins if p.kind == kind]
            if pins:
                texts = [_quoted(f"{p.at}={_relative(p, folder, n)}") for p in pins]
                lines.append(f"{key} = [{', '.join(texts)}]")
        lines.append(f"cut = {'true' if shot.cut else 'false'}")
        if shot.seed is not None:
            lines.append(f"seed = {shot.seed}")
    return "\n".join([*lines, ""]).lstrip("\n")


def read_size(value: Any, where: str = "--size") -> tuple[int, int]:
    """(width, height) out of "128x128" or a pair of numbers, each 16 to 4096."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d{1,6})\s*[xX×*,]\s*(\d{1,6})\s*", value, re.ASCII)
        pair = None if match is None else (int(match[1]), int(match[2]))
    else:
        whole = isinstance(value, (list, tuple)) and all(type(v) is int for v in value)
        pair = (value[0], value[1]) if whole and len(value) == 2 else None
    if pair is None:
        raise InputError(f"'{value}' is not a size", where, "WIDTHxHEIGHT, as in 128x128")
    if any(side not in SIZES for side in pair):
        near = "x".join(str(min(max(side, SIZES[0]), SIZES[-1])) for side in pair)
        raise InputError(f"size {pair[0]}x{pair[1]} out of range", where, near)
    return pair


def read_pin(text: str, kind: str, where: str) -> Pin:
    """`[TIME=]FILE`; TIME is seconds or `end`; a file's own name may hold an equals sign."""
    head, mark, tail = text.partition("=")
    word = head.strip()
    at: float | str = 0.0
    if mark and word.lower() == "end":
        at, text = "end", tail
    elif mark and _NUMBER.fullmatch(word):
        at, text = float(word), tail
        if not math.isfinite(at) or at < 0:
            raise InputError(f"{kind} at {word} s", where, f"0={tail} or end={tail}")
    if not text.strip() or "\0" in text:
        raise InputError(f"no file in '{head}{mark}'", where, "[TIME=]FILE, as in 0=harbour.jpg")
    return Pin(at, text, kind)


def _shot(table: Mapping[str, Any], where: str, folder: Path, longest: float) -> Shot:
    _check_keys(table, SHOT_KEYS, where)
    for key, example in (("prompt", '"a calm sea at dawn"'), ("seconds", "20")):
        if key not in table:
            raise InputError(f"no {key}", where, f"{key} = {example}")
    prompt, cut = table["prompt"], table.get("cut", True)
    if not isinstance(prompt, str):
        raise InputError(f"prompt is {_kind(prompt)}", where, 'prompt = "a calm sea at dawn"')
    if not isinstance(cut, bool):
        raise InputError(f"cut is {_kind(cut)}", where, "true or false")
    seconds = table["seconds"]
    if seconds == math.inf and longest < math.inf:
        raise InputError("a shot without end before the last", f"{where}, seconds", LAST)
    if seconds != math.inf:
        seconds = _number(seconds, f"{where}, seconds", 1e-3, LONGEST)
    pins = [_pin(text, "image", where, folder) for text in _texts(table, "images", where)]
    pins += [_pin(text, "video", where, folder) for text in _texts(table, "videos", where)]
    for pin in pins:
        if not isinstance(pin.at, str) and pin.at >= seconds:
            what = f"{pin.kind} at {pin.at:g} s of a shot of {seconds:g} s"
            raise InputError(what, where, f"end={Path(pin.path).name}")
    return Shot(prompt, seconds, tuple(pins), cut, seed=_seed(table, where))


def _pin(text: str, kind: str, where: str, folder: Path) -> Pin:
    pin = read_pin(text, kind, where)
    root = folder.resolve()
    try:
        path = (root / pin.path).resolve()
    except (OSError, RuntimeError, ValueError):
        raise InputError(f"'{pin.path}' is not a path", where, "a path inside the folder") from None
    if Path(pin.path).is_absolute() or not path.is_relative_to(root):
        hint = f"a file inside {root}, or --{kind} {pin.path} on the command line"
        raise InputError(f"'{pin.path}' leaves the storyboard's folder", where, hint)
    return Pin(pin.at, str(path), kind)


def _texts(table: Mapping[str, Any], key: str, where: str) -> list[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise InputError(f"{key} is not a list of texts", where, f'{key} = ["0=file"]')
    return value


def _number(value: Any, where: str, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{_kind(value)} instead of a number", where, "10")
    if not least <= value <= most:  # false for nan as well
        near = most if value > most else least
        raise InputError(f"{value} out of range", where, f"{near:.10g}")
    return value


def _seed(table: Mapping[str, Any], name: str) -> int | None:
    value = table.get("seed")
    if value is not None and (type(value) is not int or value not in SEEDS):
        raise InputError(f"seed {value} is not a whole number of at most 63 bits", name, "seed = 7")
    return value


def _check_keys(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            raise InputError(f"unknown key '{key}'", where, nearest(key, known))


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
    return names.get(type(value), "a list or table")


def _relative(pin: Pin, folder: Path, number: int) -> str:
    root, path = folder.resolve(), (folder.resolve() / pin.path).resolve()
    if not path.is_relative_to(root):
        where = f"shot {number}"
        raise InputError(f"'{pin.path}' lies outside the storyboard's folder", where, str(root))
    return path.relative_to(root).as_posix()


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's except for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _beside(place: Path) -> str:
    try:
        names = [p.name for p in place.parent.glob("*.toml") if p.is_file()]
    except OSError:
        names = []
    return nearest(place.name, names) if names else "the path of a .toml file, or a prompt"
