"""A film's events told to people on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from longtake.cli.base import Voice
from longtake.engine.events import (
    Chosen,
    Decoded,
    Done,
    Event,
    Finished,
    Planned,
    Repaired,
    Reused,
    Suspect,
)

if TYPE_CHECKING:
    from rich.progress import Progress

_EVERY = 10.0  # seconds between plain lines


class Count:
    """What is done so far."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.steps = self.all_steps = self.frames = self.all_frames = 0

    def take(self, event: Event) -> None:
        """Counts an event."""
        if isinstance(event, Planned):
            self.all_steps, self.all_frames = event.steps or 0, event.frames or 0
        elif isinstance(event, (Finished, Reused)):
            self.steps += 1
        elif isinstance(event, Decoded):
            self.frames = event.frames[1]

    def rate(self) -> float:
        """Film frames a second."""
        return self.frames / max(time.monotonic() - self.began, 1e-9)

    def words(self) -> str:
        """As a line."""
        if not self.all_frames:
            rate = f", {self.rate():.1f} frames/s" if self.frames else ""
            return f"steps {self.steps}, frames {self.frames}{rate}"
        text = f"steps {self.steps}/{self.all_steps}, frames {self.frames}/{self.all_frames}"
        if not self.frames:
            return text
        left = (self.all_frames - self.frames) / self.rate()
        return f"{text}, {self.rate():.1f} frames/s, {clock(left)} left"


def told(events: Iterable[Event], voice: Voice) -> Iterator[Event]:
    """The same events, told as they pass."""
    if voice.quiet or voice.json:
        yield from events
    elif sys.stderr.isatty():
        yield from _bars(events, voice)
    else:
        yield from _lines(events, voice)


def clock(seconds: float) -> str:
    """A time for people."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _lines(events: Iterable[Event], voice: Voice) -> Iterator[Event]:
    count, last, share = Count(), time.monotonic(), 0.0
    for event in events:
        count.take(event)
        now = time.monotonic()
        part = count.frames / count.all_frames if count.all_frames else 0.0
        if isinstance(event, (Decoded, Finished)) and (part >= share + 0.1 or now > last + _EVERY):
            voice.note(count.words())
            last, share = now, part
        if remark := _remark(event):
            voice.note(remark)
        yield event


def _bars(events: Iterable[Event], voice: Voice) -> Iterator[Event]:
    count = Count()
    with _progress() as bars:
        steps, frames = bars.add_task("steps", rate=""), bars.add_task("frames", rate="")
        for event in events:
            count.take(event)
            bars.update(steps, completed=count.steps, total=count.all_steps or None)
            rate = f"{count.rate():.1f} frames/s" if count.frames else ""
            bars.update(frames, completed=count.frames, total=count.all_frames or None, rate=rate)
            if remark := _remark(event):
                bars.console.print(remark)
            yield event


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Left

    words = TextColumn("{task.description}"), TextColumn("{task.fields[rate]}")
    columns = (words[0], BarColumn(), MofNCompleteColumn(), words[1], Left(), TextColumn("left"))
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _remark(event: Event) -> str:
    if isinstance(event, Chosen):
        said = ", ".join(f"{take}: {score:.2f}" for take, score in event.scores.items())
        first, end = event.frames
        scores = f" (scores by take, the lower the better: {said})" if said else ""
        return f"frames {first} to {end - 1}: take {event.take}{scores}"
    if isinstance(event, Repaired):
        return f"step {event.step}: {event.why}; made again"
    return f"step {event.step}: {event.why}; kept" if isinstance(event, Suspect) else ""


def summary(done: Done) -> str:
    """The last line."""
    speed = done.frames / max(done.seconds, 1e-9)
    steps = f"{done.ran} steps run, {done.reused} found finished"
    time_taken = clock(done.seconds)
    return f"{done.out}: {done.frames} frames in {time_taken} ({speed:.1f} frames/s; {steps})"
