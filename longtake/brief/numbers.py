"""Numbers the user gives, read from text or Python values, with the nearest right one when they are wrong."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

from longtake.engine.repair import MODES
from longtake.errors import InputError, nearest
from longtake.prompts.storyboard import SEEDS

LONGEST = 10_000_000  # frames of a film
_RATES = (Fraction(1, 10), Fraction(240))
_STRETCH = re.compile(r"(\d{1,9}(?:\.\d{0,9})?)-(\d{1,9}(?:\.\d{0,9})?)", re.ASCII)
# exponents of three digits and more would make fractions that fill the memory
_RATE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?|\d+/\d+", re.ASCII)


def read_fps(value: Any) -> Fraction:
    """Frames a second, exactly: 10, 29.97 or 30000/1001."""
    text = str(value).strip()
    try:
        fps = Fraction(text if _RATE.fullmatch(text) else "not a rate")
    except (ValueError, ZeroDivisionError):
        raise InputError(f"'{value}' is not a frame rate", "--fps", "10 or 30000/1001") from None
    if not _RATES[0] <= fps <= _RATES[1]:
        near = _RATES[0] if fps < _RATES[0] else _RATES[1]
        raise InputError(f"{value} frames a second", "--fps", f"{float(near):g}")
    return fps


def read_seed(value: Any) -> int:
    """A whole number from 0 on."""
    try:
        seed = int(str(value))
    except ValueError:
        raise InputError(f"'{value}' is not a whole number", "--seed", "--seed 7") from None
    if seed not in SEEDS:
        raise InputError(f"seed {seed} out of range", "--seed", f"0 to {SEEDS[-1]}")
    return seed


def read_repair(value: Any) -> str:
    """What becomes of a step outside its limits."""
    mode = str(value).strip()
    if mode not in MODES:
        raise InputError(f"unknown mode '{value}'", "--repair", nearest(mode, MODES))
    return mode


def read_number(value: Any, where: str, least: float, most: float) -> float:
    """A finite number between `least` and `most`."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(
            f"'{value}' is not a number", where, f"{least:.10g} to {most:.10g}"
        ) from None
    if not least <= number <= most:  # false for nan as well
        near = most if number > most else least
        raise InputError(f"{number:g} out of range", where, f"{near:.10g}")
    return number


def has_no_end(seconds: Any) -> bool:
    """Whether seconds, as text or as a number, are infinitely many."""
    return str(seconds).strip().lower() in ("inf", "infinity", "+inf", "+infinity")


def read_frames(seconds: Any, frames: Any, fps: Fraction) -> int | None:
    """Frames asked for outright, in seconds or in frames; None where neither is given.

    InputError for `inf` too: whoever can go on for ever asks `has_no_end` first.
    """
    if seconds is not None and frames is not None:
        raise InputError("both seconds and frames", "--seconds, --frames", "one of them")
    if frames is not None:
        try:
            count = int(str(frames))
        except ValueError:
            raise InputError(f"'{frames}' is not a whole number", "--frames", "600") from None
        return int(read_number(count, "--frames", 1, LONGEST))
    if seconds is None:
        return None
    if has_no_end(seconds):
        raise InputError("this cannot go on for ever", "--seconds", "--seconds 3600")
    read_number(seconds, "--seconds", 0.5 / float(fps), float(LONGEST / fps))
    count = nearest_frame(Fraction(str(seconds).strip()), fps)
    return max(count, 1)


def nearest_frame(seconds: Fraction, fps: Fraction) -> int:
    """The frame border next to a time; a half goes up."""
    return math.floor(seconds * fps + Fraction(1, 2))


def read_stretch(text: str, where: str, seconds: Fraction, hint: str) -> tuple[Fraction, Fraction]:
    """Seconds A and B of `A-B`, A before B, inside a film of so many seconds."""
    match = _STRETCH.fullmatch(str(text).strip())
    if match is None:
        raise InputError(f"'{text}' is not a stretch of seconds", where, f"{where} {hint}")
    a, b = Fraction(match[1]), Fraction(match[2])
    if not a < b <= seconds:
        what = f"{text} is not within the film's {float(seconds):g} s"
        if b <= a:
            what = f"{text} does not go forward"
            hint = f"{match[2]}-{match[1]}" if b < a <= seconds else hint
        raise InputError(what, where, f"{where} {hint}")
    return a, b
