"""From what the user asks for to a Job: shots on a timeline, pinned media, a system. Nothing is written.

No torch until a picture or a video is to be read.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, TypedDict

from longtake.brief.drafts import draft_of, drafted_job
from longtake.brief.media import given_of, span_of, stretch_of
from longtake.brief.numbers import (
    LONGEST,
    has_no_end,
    nearest_frame,
    read_fps,
    read_frames,
    read_number,
    read_repair,
    read_seed,
)
from longtake.brief.redo import redone_job
from longtake.brief.systems import load_system
from longtake.controls import Cue, Pin, Shot, Storyboard
from longtake.engine.job import Given, Job
from longtake.errors import InputError, nearest
from longtake.prompts.storyboard import LAST, read_pin, read_size, read_storyboard
from longtake.schemes import SCHEMES, PerShot
from longtake.system import System

DEFAULT_SECONDS = 60.0

Brief = str | os.PathLike[str] | Storyboard


class Options(TypedDict, total=False):
    """What may be asked besides the brief; texts are read as on the command line."""

    model: str | System
    scheme: str
    settings: Mapping[str, Any]  # a recipe's knobs
    device: str
    seconds: float | str
    frames: int | str
    fps: Fraction | float | str
    size: tuple[int, int] | str
    seed: int | str
    images: tuple[str, ...]  # [TIME=]FILE
    videos: tuple[str, ...]
    strength: float | str
    repair: str  # off, report (the default) or repair
    redo: str  # A-B, seconds: that stretch of a finished film is made again
    takes: int | str  # so many takes of it, of which the best is chosen
    take: int | str  # the take to see, whatever the scores say; 0: as it was before
    draft: bool  # keyframes alone, and blends of them
    # the film that keeps the keyframes of its draft, which is in this file
    from_draft: str | os.PathLike[str] | bool
    redone: Sequence[
        Mapping[str, Any]
    ]  # what the film has been redone in before, as manifests say it


@dataclasses.dataclass(frozen=True)
class Span:
    """A shot on the film: frames `first` to `end`, half open (None: the shot does not end)."""

    first: int
    end: int | None
    shot: Shot


def job_of(brief: Brief, options: Options) -> Job:
    """The job a brief and its options ask for; raises InputError before anything is written."""
    unknown = next((name for name in options if name not in Options.__annotations__), None)
    if unknown is not None:
        raise InputError(
            f"unknown option '{unknown}'", "options", nearest(unknown, Options.__annotations__)
        )
    asked = read_brief(brief, options)
    system = system_of(options)
    fps = read_fps(_first(options.get("fps"), asked and asked.fps, system.fps))
    size = read_size(_first(options.get("size"), asked and asked.size, system.size))
    seed = read_seed(_first(options.get("seed"), asked and asked.seed, 0))
    strength, remade = _read_strength(options), options.get("strength") is not None
    wanted, endless = _read_length(options, fps)
    if wanted is None and remade and not endless:
        wanted = span_of(*stretch_of(_pins(options, "video")[0].path), fps, LONGEST)[1]
    board = asked or _storyboard(str(brief), system, _seconds(wanted, fps))
    spans = lay_shots(_going_on(board.shots) if endless else board.shots, fps, wanted)
    if spans[-1].end is None:
        _check_endless(system, options)
    job = Job(
        system=system,
        frames=spans[-1].end,
        size=size,
        fps=fps,
        seed=seed,
        cues=tuple(_cue(span, fps) for span in spans),
        cuts=tuple(span.first for span in spans[1:] if span.shot.cut),
        strength=strength,
        device=options.get("device", "") or "cpu",
        repair=read_repair(options.get("repair") or "report"),
    )
    if remade:
        job = dataclasses.replace(job, source=_source(job, options))
        return redone_job(drafted_job(_joining(job, spans), options), options)
    given = _given(job, spans, options)
    _check_apart(given, fps, job.frames)
    cues = tuple(_cue(span, fps, given) for span in spans)
    job = _joining(dataclasses.replace(job, cues=cues, given=given), spans)
    return redone_job(drafted_job(job, options), options)


def is_endless(brief: Brief, options: Options) -> bool:
    """Whether a film without end is asked for, by `seconds` or by a storyboard's last shot."""
    seconds, frames = options.get("seconds"), options.get("frames")
    if seconds is not None or frames is not None:
        return has_no_end(seconds)
    board = read_brief(brief, options)
    return board is not None and has_no_end(board.shots[-1].seconds)


def used_files(brief: Brief, options: Options) -> list[Path]:
    """Files the film is made of: the storyboard's, those pinned on the command line, its draft."""
    pins = [pin for kind in ("image", "video") for pin in _pins(options, kind)]
    files = [stretch_of(pin.path)[0] for pin in pins]
    files += [Path(draft) for draft in (draft_of(options),) if draft is not None]
    board = read_brief(brief, options)
    if board is not None:
        files += [stretch_of(pin.path)[0] for shot in board.shots for pin in shot.pins]
    return files


def system_of(options: Options) -> System:
    """The system the options name."""
    model = options.get("model", "")
    return load_system(
        model,
        settings=options.get("settings", {}),
        scheme=options.get("scheme", ""),
        device=options.get("device", ""),
    )


def read_brief(brief: Brief, options: Options) -> Storyboard | None:
    """The storyboard, or None for a prompt."""
    if isinstance(brief, Storyboard):
        if not brief.shots:
            raise InputError("a storyboard without shots", "brief", "at least one shot")
        return brief
    text = os.fspath(brief)
    if text.lower().endswith(".toml"):
        return read_storyboard(text)
    if not text.strip() and not options.get("images") and not options.get("videos"):
        raise InputError("an empty brief", "BRIEF", '"a calm sea at dawn"')
    return None


def lay_shots(shots: tuple[Shot, ...], fps: Fraction, frames: int | None) -> tuple[Span, ...]:
    """Shots on whole frames. `frames` cuts the film off there, or lets its last shot go on till then.

    Only the last shot may be one of infinitely many seconds; the film is then as long as `frames`.
    """
    spans: list[Span] = []
    time, first = Fraction(0), 0
    for number, shot in enumerate(shots, 1):
        if has_no_end(shot.seconds):
            if number < len(shots):
                raise InputError(f"shot {number} of {len(shots)} has no end", "seconds", LAST)
            spans.append(Span(first, None, shot))
            break
        time += Fraction(str(shot.seconds))
        end = nearest_frame(time, fps)
        if end <= first:
            hint = f"{float(1 / fps):g} s or more"
            what = f"a shot of {shot.seconds:g} s holds no frame at {float(fps):g} fps"
            raise InputError(what, f"shot {number}", hint)
        spans.append(Span(first, end, shot))
        first = end
    if frames is not None:
        spans = [span for span in spans if span.first < frames]
        spans[-1] = dataclasses.replace(spans[-1], end=frames)
    last = spans[-1].end or spans[-1].first
    if last > LONGEST:
        raise InputError(f"a film of {last} frames", "--seconds", f"at most {LONGEST}")
    return tuple(spans)


def _read_length(options: Options, fps: Fraction) -> tuple[int | None, bool]:
    """Frames asked for (None: as the brief says), and whether the film goes on for ever instead."""
    seconds, frames = options.get("seconds"), options.get("frames")
    if has_no_end(seconds) and frames is None:
        return None, True
    return read_frames(seconds, frames, fps), False


def _going_on(shots: tuple[Shot, ...]) -> tuple[Shot, ...]:
    """The shots, of which the last never ends."""
    return (*shots[:-1], dataclasses.replace(shots[-1], seconds=math.inf))


def _check_endless(system: System, options: Options) -> None:
    """Refuses what an endless film cannot be."""
    if options.get("strength") is not None:
        what = "an endless film cannot follow a video"
        raise InputError(what, "--strength", "a film with an end: no --seconds inf")
    for stage in system.stages:
        if not getattr(stage.scheme, "endless", False):
            name = getattr(stage.scheme, "name", type(stage.scheme).__name__)
            able = ", ".join(sorted(n for n, kind in SCHEMES.items() if kind.endless))
            raise InputError("this scheme cannot make an endless film", f"--scheme {name}", able)


def _joining(job: Job, spans: tuple[Span, ...]) -> Job:
    """The job, with shots that flow on from the one before as borders of a scheme that joins shots.

    Borders or a length of shots that were stated for the scheme itself stay as they are.
    """
    flowing = [span.first for span in spans[1:] if not span.shot.cut]
    scheme = job.system.stages[0].scheme
    if not flowing or not isinstance(scheme, PerShot) or scheme.borders or scheme.shot:
        return job
    borders = tuple(sorted({_border(job, frame) for frame in flowing}))
    told = job.system.with_scheme(dataclasses.replace(scheme, borders=borders))
    return dataclasses.replace(job, system=told)


def _border(job: Job, frame: int) -> int:
    """The first index of `frame`'s take that hears the shot which begins there: its middle is in it."""
    take = [take for take in job.takes if take.first <= frame][-1]
    before = frame - take.first + take.skip  # frames of the take that come first
    return take.start + max(0, -((job.stride - 2 * before) // (2 * job.stride)))


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _read_strength(options: Options) -> float:
    value = options.get("strength")
    if value is None:
        return 1.0
    strength = read_number(value, "--strength", 0.0, 1.0)
    pins = _pins(options, "video")
    if len(pins) != 1 or pins[0].at != 0.0 or options.get("images"):
        what = "--strength re-renders exactly one whole video, without images"
        raise InputError(what, "--strength", "--strength 0.6 --video film.mp4")
    return strength


def _seconds(frames: int | None, fps: Fraction) -> float:
    return DEFAULT_SECONDS if frames is None else float(frames / fps)


def _storyboard(prompt: str, system: System, seconds: float) -> Storyboard:
    clean = prompt.encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip()
    if system.planner is not None:
        return Storyboard(system.planner.plan(clean, seconds))
    return Storyboard((Shot(clean, seconds),))


def _cue(span: Span, fps: Fraction, given: Sequence[Given] = ()) -> Cue:
    stop = None if span.end is None else float(span.end / fps)
    shot, end = span.shot, math.inf if span.end is None else span.end
    pictured = any(still.still and span.first <= still.frame < end for still in given)
    return Cue(float(span.first / fps), stop, shot.prompt, shot.cut, shot.seed, pictured)


def _pins(options: Options, kind: str) -> list[Pin]:
    texts = options.get("images", ()) if kind == "image" else options.get("videos", ())
    return [read_pin(os.fspath(text), kind, f"--{kind}") for text in texts]


def _source(job: Job, options: Options) -> Given:
    pin = _pins(options, "video")[0]
    source = given_of(pin, 0, job.size, job.system.canvas(job.size), job.fps, limit=LONGEST)
    assert job.frames is not None
    if source.frames < job.frames:
        what = f"the video holds {source.frames} frames, the film {job.frames}"
        raise InputError(what, "--strength", f"--frames {source.frames}")
    return source


def _given(job: Job, spans: tuple[Span, ...], options: Options) -> tuple[Given, ...]:
    whole = Span(0, spans[-1].end, Shot("", 0.0))
    placed = [(pin, whole) for kind in ("image", "video") for pin in _pins(options, kind)]
    placed += [(pin, span) for span in spans for pin in span.shot.pins]
    found = [_place(pin, span, job) for pin, span in placed]
    return tuple(sorted(found, key=lambda given: given.frame))


def _place(pin: Pin, span: Span, job: Job) -> Given:
    """A pin's media, set on the film inside `span`."""
    where, end, first = f"--{pin.kind} {pin.path}", span.end, span.first
    if end is None:
        if pin.at == "end":
            what = f"'{pin.path}' is pinned where a shot ends that does not"
            raise InputError(what, where, f"0={pin.path}")
        end = LONGEST
    length = end - first
    if not isinstance(pin.at, str):
        first += math.floor(Fraction(str(pin.at)) * job.fps + Fraction(1, 10**6))
        if first >= end:
            what = f"{pin.at:g} s is past the end at {float(length / job.fps):g} s"
            raise InputError(what, where, f"end={pin.path}")
    given = given_of(pin, first, job.size, job.system.canvas(job.size), job.fps, limit=length)
    if pin.at == "end":
        given = dataclasses.replace(given, frame=end - given.frames)
    if given.frame + given.frames > end or given.frame < span.first:
        what = f"the video's {given.frames} frames from frame {given.frame} on pass frame {end}"
        raise InputError(what, where, f"a film of {given.frame + given.frames} frames or more")
    for cut in job.cuts:
        if given.frame < cut < given.frame + given.frames:
            raise InputError(f"the video crosses the cut at frame {cut}", where, "cut = false")
    return given


def _check_apart(given: tuple[Given, ...], fps: Fraction, frames: int | None) -> None:
    for before, after in zip(given, given[1:], strict=False):
        if after.frame < before.end:
            last = min(before.end, after.end) - 1
            many = f"frames {after.frame} to {last} are"
            what = f"{many if last > after.frame else f'frame {last} is'} pinned twice"
            free = frames is None or before.end < frames
            hint = f"a time from {float(before.end / fps):g} s on" if free else "one of the two"
            raise InputError(what, "--image, --video", hint)


__all__ = [
    "DEFAULT_SECONDS",
    "Brief",
    "Options",
    "Span",
    "is_endless",
    "job_of",
    "lay_shots",
    "system_of",
    "used_files",
]
