"""Measured speeds: what a run's own journal says, else what `longtake doctor` measured here. No torch."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable
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


def read_figures() -> dict[str, Figure]:
    """All measurements; none if the file is missing or not ours."""
    try:
        table = json.loads(figures_file().read_text(encoding="utf-8"))
        return {name: Figure(**fields) for name, fields in table.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write_figure(name: str, figure: Figure) -> None:
    """Adds a measurement; OSError if the folder cannot be written."""
    table = read_figures() | {name: figure}
    place = figures_file()
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    fresh.write_text(json.dumps({n: dataclasses.asdict(f) for n, f in table.items()}))
    os.replace(fresh, place)


def expected(job: Job, calls: int, records: Iterable[dict[str, Any]]) -> Expected:
    """What `calls` calls and a film's decoding are likely to take."""
    figure = read_figures().get(name_of(job))
    known = {call.number for call in job.calls}
    took = [r["seconds"] for r in records if r.get("seconds") is not None and r["step"] in known]
    if not took and figure is None:
        return Expected(None, None, "")
    each = sum(took) / len(took) if took else 0.0
    source = "from this run's finished steps"
    if not took and figure is not None:
        each, source = figure.seconds_per_call, "measured here by longtake doctor"
    frames = 0.0 if figure is None else figure.seconds_per_frame * (job.frames or 0)
    memory = None if figure is None else figure.memory
    return Expected(round(calls * each + frames, 2), memory, source)
