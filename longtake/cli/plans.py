"""Plans on the screen: a line a step, and what the whole would cost. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.brief import Options
from longtake.brief.numbers import LONGEST, has_no_end, read_fps, read_frames
from longtake.cli.base import Voice
from longtake.cli.figures import Expected, expected
from longtake.engine.job import AHEAD
from longtake.engine.why import TOTALS
from longtake.errors import InputError
from longtake.schemes import find_scheme
from longtake.steps import Plan, Step, Timeline, linked, spans

if TYPE_CHECKING:
    from longtake.engine.job import Job

Line = dict[str, Any]
_HEAD, _TAIL = 16, 4  # steps of a long plan that a table shows
_ALONE = ("scheme", "frames", "seconds", "fps")


def scheme_lines(options: Options, given: str) -> Iterator[Line]:
    """A scheme's steps on a timeline of frames, without any model."""
    extra = next((name for name in options if name not in _ALONE), None)
    if extra is not None:
        what = f"--{extra.rstrip('s')} needs a BRIEF"
        raise InputError(what, "longtake plan", "longtake plan 'a calm sea' ...")
    if "scheme" not in options:
        hint = "a prompt, a storyboard, or --scheme autoregressive:window=20,step=10 --frames 1000"
        raise InputError("nothing to plan", "longtake plan", hint)
    fps = read_fps(options.get("fps", 10))
    if has_no_end(options.get("seconds")) and "frames" not in options:
        yield from _endless_lines(options["scheme"], given)
        return
    length = read_frames(options.get("seconds"), options.get("frames"), fps)
    if length is None:
        raise InputError("no length", "longtake plan", "--frames 1000")
    plan = Plan.of(find_scheme(options["scheme"]), Timeline(length, read_given(given, length)))
    for number, step in enumerate(plan.steps):
        yield _step_line(number, step, plan.depths[number] - 1)
    yield {
        "event": "planned",
        "steps": len(plan.steps),
        "waves": plan.critical_path,
        "calls": plan.calls,
        "peak_live": plan.peak_live,
        "deepest_ancestry": plan.deepest_ancestry,
    }


def _endless_lines(scheme: str, given: str) -> Iterator[Line]:
    """The first steps of a scheme that goes on for ever."""
    timeline = Timeline(None, read_given(given, LONGEST))
    depths: list[int] = []
    for step, needs in islice(linked(find_scheme(scheme).steps(timeline), timeline.given), AHEAD):
        depths.append(1 + max((depths[number] for number in needs), default=0))
        yield _step_line(len(depths) - 1, step, depths[-1] - 1)
    yield {**dict.fromkeys(TOTALS), "event": "planned", "endless": True}


def _step_line(number: int, step: Step, wave: int) -> Line:
    return {
        "step": number,
        "targets": list(step.targets),
        "observed": list(step.observed),
        "role": step.role,
        "wave": wave,
        "cached": False,
        "why": "new",
    }


def read_given(text: str, length: int) -> tuple[int, ...]:
    """Indices out of `0-35,100`, ends included."""
    found: set[int] = set()
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal() or part.endswith("-"):
            raise InputError(f"'{part}' is not a range of indices", "--given", "0-35")
        start, stop = int(first), int(last or first)
        if stop < start or stop >= length:
            near = f"{min(start, length - 1)}-{length - 1}"
            raise InputError(f"{part} is not within 0 to {length - 1}", "--given", near)
        found.update(range(start, stop + 1))
    return tuple(sorted(found))


def show_job(job: Job, run: Path | str | None, voice: Voice) -> None:
    """A job's plan, with what its run folder holds and what the rest is expected to take."""
    from longtake.engine.tail import store_of
    from longtake.engine.why import plan_lines

    store = store_of(job, run)
    lines = list(plan_lines(job, store))
    width, height = job.size
    if job.frames is None:
        title = f"without end, {width}x{height}, {float(job.fps):g} fps, {job.system.name}"
        show(lines, voice, title)
        return
    left = sum(not line["cached"] for line in lines[:-1])
    cost = expected(job, left, store.records())
    lines[-1] |= {"to_run": left, **dataclasses.asdict(cost)}
    title = f"{job.frames} frames, {width}x{height}, {float(job.fps):g} fps, {job.system.name}"
    show(lines, voice, title, cost)


def show(
    lines: Iterator[Line] | list[Line], voice: Voice, title: str, cost: Expected | None = None
) -> None:
    """JSON lines, or a table and a summary."""
    if voice.json:
        for line in lines:
            voice.line(line)
        return
    *steps, total = list(lines)
    if not voice.quiet:
        _table(steps, title)
    voice.say(_summary(steps, total))
    if cost is not None:
        voice.say(cost.words())


def _table(steps: list[Line], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for name in ("step", "wave", "role", "writes", "observes", "why"):
        table.add_column(name, justify="right" if name in ("step", "wave") else "left")
    hidden = len(steps) - _HEAD - _TAIL
    shown = steps if hidden <= 0 else [*steps[:_HEAD], None, *steps[-_TAIL:]]
    for line in shown:
        if line is None:
            table.add_row("...", "", "", f"{hidden} more", "", "")
            continue
        numbers = str(line["step"]), str(line["wave"])
        indices = (", ".join(spans(line[name])) or "-" for name in ("targets", "observed"))
        table.add_row(*numbers, line["role"], *indices, line["why"])
    console = Console()
    console = console if console.is_terminal else Console(width=120, highlight=False)
    console.print(table)


def _summary(steps: list[Line], total: Line) -> str:
    cached = sum(line["cached"] for line in steps)
    if total.get("endless"):
        return f"the first {len(steps)} steps, {cached} of them cached; the film has no end"
    return (
        f"{total['steps']} steps in {total['waves']} waves, {cached} of them cached; "
        f"at most {total['peak_live']} indices held; "
        f"longest chain {total['deepest_ancestry']} calls"
    )


__all__ = ["read_given", "scheme_lines", "show", "show_job", "spans"]
