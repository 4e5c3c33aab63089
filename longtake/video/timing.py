"""Which stored frame is shown at which instant. No torch, and no files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Generic, TypeVar

from av.video.frame import VideoFrame

from longtake.errors import InputError

Item = TypeVar("Item")
_LONGEST_GAP = 3600


@dataclass(frozen=True)
class Dated(Generic[Item]):
    """Something shown from `begin` to `end`, in seconds, on a clock that ticks every `tick`."""

    begin: Fraction
    end: Fraction
    tick: Fraction
    what: Item


def chosen(
    stored: Iterable[Dated[Item]], start: Fraction, length: Fraction | None, rate: Fraction | None
) -> Iterator[Item]:
    """What is shown at start, start + 1 / rate, ...; without a rate, all that begins in time.

    Half a tick of the file's clock is forgiven: it is how far containers round their times.
    """
    if rate is None:
        yield from _beginning(stored, start, length)
        return
    held, now = None, start
    step, count = 1 / rate, 0
    for item in stored:
        while held is not None and now + item.tick / 2 < item.begin:
            if length is not None and count * step >= length:
                return
            yield held.what
            count += 1
            now = start + count * step
        held = item
    while held is not None and now + held.tick / 2 < held.end:
        if length is not None and count * step >= length:
            return
        yield held.what
        count += 1
        now = start + count * step


def dated(
    frames: Iterable[VideoFrame], rate: Fraction, path: Path, origin: Fraction | None = None
) -> Iterator[Dated[VideoFrame]]:
    """Decoded frames on a clock that begins with the first of them, or at `origin`.

    Frames without a time follow on; a clock that falls back by more than a second (streams put
    one after another) goes on where it was; one that leaps an hour ahead is an `InputError`.
    """
    begin = end = Fraction(0)
    for frame in frames:
        tick = frame.time_base or Fraction(0)
        last = begin
        if frame.pts is None:
            begin = end
        else:
            time = frame.pts * tick
            origin = time if origin is None else origin
            if time - origin < last - 1:
                origin = time - end
            begin = max(time - origin, last)
        if begin - end > _LONGEST_GAP and origin is not None and end:
            hint = "a copy with its times repaired"
            raise InputError(f"its clock leaps by {float(begin - end):.0f} s", str(path), hint)
        lasts = frame.duration * tick if frame.duration else 1 / rate
        end = begin + min(lasts, Fraction(_LONGEST_GAP))
        yield Dated(begin, end, tick, frame)


def _beginning(
    stored: Iterable[Dated[Item]], start: Fraction, length: Fraction | None
) -> Iterator[Item]:
    for item in stored:
        begin = item.begin + item.tick / 2
        if length is not None and begin >= start + length:
            return
        if begin >= start:
            yield item.what
