"""How the takes look of a stretch that was made again: a small film of each, and what those are made of."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longtake.engine.job import Job
from longtake.engine.store import Store
from longtake.engine.why import plan_lines
from longtake.keys import fingerprint

Line = dict[str, Any]
BESIDE = 1.0  # seconds of film on either side of a stretch by which its takes are seen


def show_takes(job: Job, choice: Mapping[str, Any], store: Store, folder: Path) -> None:
    """A small film of every take of the stretch that was last made again, `BESIDE` seconds around it.

    0.mp4 is how it was before. choice: the event that told which one is shown. Films that are there already, of the same clips, stay as they are.
    """
    redo, marks = job.redone[-1], marks_of(job, store)
    known = told_takes(folder).get("marks", [])
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    for take, mark in enumerate(marks):
        place = fresh / f"{take}.mp4"
        if known[take : take + 1] == [mark] and (folder / place.name).is_file():
            shutil.copyfile(folder / place.name, place)
        else:
            shown = dataclasses.replace(job, redone=(*job.redone[:-1], redo.taking(take)))
            _film(shown, store, place)
    told = {"frames": [redo.first, redo.end], "shown": _shown(job), "takes": redo.made}
    told |= {"take": choice["take"], "scores": choice["scores"], "marks": marks}
    (fresh / "takes.json").write_text(json.dumps(told), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(fresh, folder)


def forget_takes(job: Job, store: Store, folder: Path) -> None:
    """Takes of a film that is made anew are no more, unless they are still what they show."""
    before = told_takes(folder)
    if not before or not job.redone or before.get("marks") != marks_of(job, store):
        shutil.rmtree(folder, ignore_errors=True)


def marks_of(job: Job, store: Store) -> list[str]:
    """A mark for every take of the last redo, 0 included: as long as it stays, so does how the take looks."""
    last, redo, shown = len(job.redone) - 1, job.redone[-1], _shown(job)
    every = dataclasses.replace(redo, takes=tuple(range(1, redo.made + 1)), pick=None)
    whole = dataclasses.replace(job, redone=(*job.redone[:-1], every))
    seen, top = _seen(job, *shown), len(job.system.stages) - 1
    keys: dict[int, list[str]] = {take: [] for take in range(redo.made + 1)}
    for call, line in zip(whole.calls, plan_lines(whole, store), strict=False):
        if call.stage == top and any(index in seen for index in call.step.targets):
            again = call.view is not None and call.view.redo == last
            keys[call.view.take if again and call.view else 0].append(line["key"])
    codec = job.system.stages[-1].codec.spec.fingerprint
    return [fingerprint([codec, shown, keys[0], own if take else []]) for take, own in keys.items()]


def _shown(job: Job) -> list[int]:
    """The film frames [first, end) by which the takes of the last redo are seen."""
    redo, beside = job.redone[-1], round(BESIDE * job.fps)
    return [max(0, redo.first - beside), min(redo.end + beside, job.frames or 0)]


def _seen(job: Job, first: int, end: int) -> range:
    """The indices that film frames [first, end) are decoded from, at most."""
    spec = job.system.stages[-1].codec.spec
    ends = [[take for take in job.takes if take.first <= frame][-1] for frame in (first, end - 1)]
    low = ends[0].index(first, job.stride) - spec.context[0]
    high = ends[1].index(end - 1, job.stride) + spec.context[1]
    return range(ends[0].start if spec.streams else low, high + 1)


def told_takes(folder: Path) -> Line:
    """What `takes.json` says; nothing if there are no takes."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((folder / "takes.json").read_text(encoding="utf-8"))
        return dict(found)
    return {}


def _film(job: Job, store: Store, place: Path) -> None:
    from longtake.engine import Frames, Serial, render
    from longtake.video import VideoWriter

    first, end = _shown(job)
    with VideoWriter(place, size=job.size, fps=job.fps) as writer:
        for item in render(job, store, Serial(), only=(first, end)):
            if isinstance(item, Frames):
                writer.write(item.pixels)
