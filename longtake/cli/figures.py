"""Measured speeds: what a run's own journal says, else what `longtake doctor` or a studio measured here. No torch."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.cli.progress import clock
from longtake.keys import fingerprint

if TYPE_CHECKING:
    from longtake.engine.job import Job


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a film is likely to take; None where nothing was measured."""

    expected_seconds: float | None
    expected_memory: int | None  # bytes
    measured: str

    def words(self) -> str:
        """As a line."""
        seconds, memory = self.expected_seconds, self.expected_memory
        if seconds is None:
            return "time and memory unknown: nothing measured yet (longtake doctor measures)"
        held = "" if memory is None else f", about {memory / 2**20:.0f} MiB of memory"
        return f"about {clock(seconds)}{held} ({self.measured})"


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measurement of one system at one canvas."""

    seconds_per_call: float
    seconds_per_frame: float  # decoding and encoding
    memory: int  # bytes, the whole process


def figures_file() -> Path:
    """Where `doctor` keeps what it measured."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "longtake" / "figures.json"


def name_of(job: Job) -> str:
    """Under which name a system at a canvas is measured: same name, same work a call."""
    models = [
        (role, model.spec.fingerprint)
        for stage in job.system.stages
        for role, model in sorted(stage.models.items())
    ]
    windows = [stage.scheme.window for stage in job.system.stages]
    return fingerprint([models, windows, list(job.canvas), job.machine])


def read_figures(place: Path | None = None) -> dict[str, Figure]:
    """All measurements in a file, `doctor`'s if none is named; none if it is missing or not ours."""
    try:
        table = json.loads((place or figures_file()).read_text(encoding="utf-8"))
        return {name: Figure(**fields) for name, fields in table.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write_figure(name: str, figure: Figure, place: Path | None = None) -> None:
    """Adds a measurement; OSError if the folder cannot be written."""
    table = read_figures(place) | {name: figure}
    place = place or figures_file()
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    fresh.write_text(json.dumps({n: dataclasses.asdict(f) for n, f in table.items()}))
    os.replace(fresh, place)


class Gauge:
    """Measures a film from now on, while it is made, by its events; see `hear`."""

    def __init__(self) -> None:
        self._began, self._calls = time.perf_counter(), list[float]()
        self.seconds, self.frames = 0.0, 0

    def hear(self, line: Mapping[str, Any]) -> None:
        """An event as a line; the clock has run as far as the last one."""
        kind = line["event"]
        if kind == "finished":
            self._calls.append(line["seconds"])
        elif kind == "decoded":
            self.frames += line["frames"][1] - line["frames"][0]
        self.seconds = time.perf_counter() - self._began

    def figure(self) -> Figure | None:
        """What was measured; None of a film of which no step or frame was made."""
        if not self._calls or not self.frames:
            return None
        steady = self._calls[1:] or self._calls  # the first one also reads weights
        rest = max(self.seconds - sum(self._calls), 0.0)
        return Figure(sum(steady) / len(steady), rest / self.frames, peak())


def gauged(job: Job) -> Gauge:
    """What a short film of the job's kind takes, made into memory."""
    from longtake.engine import Memory, Serial, render

    room = min(len(job.calls[0].step.targets), 20) * job.stride
    short, gauge = dataclasses.replace(job, frames=max(2 * room, job.stride)), Gauge()
    for item in render(short, Memory(), Serial()):
        if not hasattr(item, "pixels"):
            gauge.hear(item.line())
    return gauge


def peak() -> int:
    """Bytes that this process has held at most; 0 where nobody says."""
    try:
        import resource
    except ImportError:
        return 0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def expected(
    job: Job, calls: int, records: Iterable[dict[str, Any]], also: Path | None = None
) -> Expected:
    """What `calls` calls and a film's decoding are likely to take. also: another file of figures, which comes first."""
    name = name_of(job)
    figure = (read_figures(also).get(name) if also else None) or read_figures().get(name)
    known = {call.number for call in job.calls}
    took = [r["seconds"] for r in records if r.get("seconds") is not None and r["step"] in known]
    if not took and figure is None:
        return Expected(None, None, "")
    each = sum(took) / len(took) if took else 0.0
    source = "from this run's finished steps"
    if not took and figure is not None:
        each, source = figure.seconds_per_call, "measured here before"
    frames = 0.0 if figure is None else figure.seconds_per_frame * (job.frames or 0)
    memory = None if figure is None else figure.memory
    return Expected(round(calls * each + frames, 2), memory, source)
