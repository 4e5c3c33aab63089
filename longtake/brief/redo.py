"""What is asked of stretches that are made again: `--redo A-B`, `--takes N`, `--take K`. No torch here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from longtake.brief.numbers import nearest_frame, read_stretch
from longtake.engine.job import Job
from longtake.engine.manifest import misfit
from longtake.engine.redo import MOST, REDOS, Redo, parts_of, widened
from longtake.engine.store import Store
from longtake.engine.why import plan_lines
from longtake.errors import InputError

Line = dict[str, Any]
_FRAME = range(10_000_001)
_SHAPE = {
    "frames": [_FRAME],
    "take": range(MOST + 1),
    "takes": range(MOST + 1),
    "upon": range(REDOS),
}


def redone_job(job: Job, options: Mapping[str, Any]) -> Job:
    """The job with the redos its film has (`redone`) and the one that is asked for (`redo`)."""
    history = read_redone(options.get("redone", ()), job.frames)
    if options.get("redo") is None:
        for name in ("takes", "take"):
            if options.get(name) is not None:
                raise InputError(f"--{name} without a stretch", f"--{name}", "--redo A-B as well")
        return dataclasses.replace(job, redone=history) if history else job
    if job.frames is None:
        raise InputError("a film without end cannot be redone", "--redo", "a film with an end")
    first, end = _stretch(job, str(options["redo"]))
    takes, pick = _takes(options)
    before = _upon(history, first, end, 2 * job.stride)
    upon, made = (len(history), 0) if before is None else (before.upon, before.made)
    made = max(made, *takes, pick or 0)
    history = history[:-1] if history and before is history[-1] else history
    if len(history) == REDOS:
        hint = "the same command without --redo, and then anew"
        raise InputError(f"a film redone {REDOS} times", "--redo", hint)
    redo = Redo(first, end, takes, upon, pick, made)
    return dataclasses.replace(job, redone=(*history, redo))


def told_redone(redone: Iterable[Redo]) -> list[Line]:
    """The redos of a film whose takes are chosen, as a manifest says them."""
    return [
        {"frames": [r.first, r.end], "take": r.chosen, "takes": r.made, "upon": r.upon}
        for r in redone
    ]


def read_redone(lines: Any, frames: int | None) -> tuple[Redo, ...]:
    """The redos that a manifest tells; InputError if they are not those of a film of so many frames."""
    lines = list(lines) if isinstance(lines, tuple) else lines
    wrong = misfit(lines, [_SHAPE]) or len(lines) > REDOS
    for number, line in enumerate([] if wrong else lines):
        span = line["frames"]
        wrong = wrong or len(span) != 2 or not span[0] < span[1] <= (frames or 0)
        wrong = wrong or line["upon"] > number
    if wrong:
        what = "what the manifest says of stretches that were redone is wrong"
        raise InputError(what, "redone", "the same command without --redo: it makes the film anew")
    return tuple(
        Redo(*line["frames"], (line["take"],), line["upon"], None, line["takes"]) for line in lines
    )


def check_redo(job: Job, store: Store, options: Mapping[str, Any], place: str) -> None:
    """Refuses to redo a film that is not finished, and a take that is neither there nor to be made.

    place: of the run folder. Nothing is written.
    """
    if options.get("redo") is None:
        return
    last, there = len(job.redone) - 1, dict[int, bool]()
    tried = dataclasses.replace(
        job, redone=(*job.redone[:-1], dataclasses.replace(job.redone[-1], takes=_asked(job)))
    )
    for call, line in zip(tried.calls, plan_lines(tried, store), strict=False):
        if call.view is None and not line["cached"]:
            what = "this film is not finished, so no stretch of it can be redone"
            raise InputError(what, place, "the same command without --redo first, or its --run")
        if call.view is not None and call.view.redo == last:
            there[call.view.take] = there.get(call.view.take, True) and line["cached"]
    take = job.redone[-1].pick
    if options.get("takes") is None and take and not there[take]:
        known = [number for number, whole in there.items() if whole]
        near = min(known, key=lambda number: (abs(number - take), number), default=None)
        hint = f"--takes {take}" if near is None else f"--take {near}, or --takes {take}"
        raise InputError(f"take {take} of {options['redo']} is not there", "--take", hint)


def _asked(job: Job) -> tuple[int, ...]:
    """Takes whose being there is of interest: those that were ever made, and the one that is asked for."""
    return tuple(range(1, job.redone[-1].made + 1))


def _stretch(job: Job, text: str) -> tuple[int, int]:
    """Film frames [first, end) of seconds `A-B` in which something can be made again."""
    frames = job.frames or 0
    length = frames / job.fps
    a, b = read_stretch(
        text, "--redo", length, _seconds(job, 0, min(frames, int(3 * job.fps) or 1))
    )
    first, end = nearest_frame(a, job.fps), min(nearest_frame(b, job.fps), frames)
    if any(part.free for part in parts_of(job, first, end)):
        return first, end
    wide = widened(job, min(first, frames - 1), max(end, first + 1))
    if wide is None:
        raise InputError("all of this film was given", "--redo", "a film with frames of its own")
    what = f"{text} holds no latent frame that can be made again between two that stay"
    raise InputError(what, "--redo", f"--redo {_seconds(job, *wide)}")


def _seconds(job: Job, first: int, end: int) -> str:
    return "-".join(f"{float(Fraction(frame) / job.fps):.10g}" for frame in (first, end))


def _takes(options: Mapping[str, Any]) -> tuple[tuple[int, ...], int | None]:
    """Takes to be made or found, and the one that is to be seen."""
    count, pick = options.get("takes"), options.get("take")
    most = MOST if count is None else _whole(count, "--takes", 1, MOST)
    take = None if pick is None else _whole(pick, "--take", 0, most)
    if count is None:
        return (1 if take is None else take,), take
    return tuple(range(1, most + 1)), take


def _whole(value: Any, where: str, least: int, most: int) -> int:
    try:
        number = int(str(value))
    except ValueError:
        raise InputError(
            f"'{value}' is not a whole number", where, f"{where} {least or 1}"
        ) from None
    if not least <= number <= most:
        near = least if number < least else most
        raise InputError(f"{where} {number} out of range", where, f"{where} {near}")
    return number


def _upon(history: Sequence[Redo], first: int, end: int, near: int) -> Redo | None:
    """The redo of the same stretch whose takes still fit: since then nothing has changed beside it."""
    for redo in reversed(history):
        if (redo.first, redo.end) == (first, end):
            return redo
        if redo.first < end + near and first < redo.end + near:
            return None
    return None
