"""Plans laid on film frames, and what a frame was made of. No torch, unless media are pinned."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, cast

from longtake.brief import Options, job_of
from longtake.brief.notes import lasting, remembered
from longtake.brief.redo import check_redo, read_redone
from longtake.cli.figures import expected
from longtake.engine.job import Job
from longtake.engine.manifest import manifest_path
from longtake.engine.store import Folder
from longtake.engine.why import explain, plan_lines
from longtake.errors import InputError
from longtake.prompts.storyboard import parse_storyboard
from longtake.studio.films import Film, Shelf, digest
from longtake.studio.limits import TAKES
from longtake.studio.worker import picture_name

Line = dict[str, Any]
Spans = list[list[int]]
_KEPT = 8  # jobs at hand, whose plans are long to make


@dataclasses.dataclass
class _Planned:
    """A job, and its steps' keys as they are under one state of the run folder's journal."""

    job: Job
    stamp: tuple[int, int] | None = None
    keys: Mapping[int, str] = dataclasses.field(default_factory=dict)

    def lines(self, store: Folder) -> list[Line]:
        """A line a step, as `plan_lines` has them."""
        stamp = _stamp(store)
        found = [line for line in plan_lines(self.job, store) if "step" in line]
        self.keys, self.stamp = {line["step"]: line["key"] for line in found}, stamp
        return found

    def keyed(self, store: Folder) -> Mapping[int, str]:
        """Keys by the steps' numbers: long to work out, and only what ran since may change them."""
        if not self.keys or _stamp(store) != self.stamp:
            self.lines(store)
        return self.keys


def _stamp(store: Folder) -> tuple[int, int] | None:
    place = store.path / "journal.jsonl"
    told = place.stat() if place.is_file() else None
    return None if told is None else (told.st_size, told.st_mtime_ns)


class Insight:
    """Answers about films; used from several threads."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._jobs: OrderedDict[str, _Planned] = OrderedDict()
        self._lock = threading.Lock()

    def redo(self, film: Film, asked: Mapping[str, Any]) -> Line:
        """What the engine is asked to make a stretch again; InputError for one that cannot be, or a take."""
        unknown = next((name for name in asked if name not in ("seconds", "takes", "take")), None)
        if unknown is not None:
            raise InputError(f"unknown key '{unknown}'", "the request", "seconds, takes, take")
        span = asked.get("seconds")
        pair = isinstance(span, list) and len(span) == 2
        if not pair or not all(type(at) in (int, float) and 0 <= at < 1e7 for at in span):
            raise InputError("no stretch to make again", "seconds", "[2.0, 4.5]")
        found: Line = {"redo": "-".join(f"{Decimal(repr(at)):f}" for at in span)}
        for name in ("takes", "take"):
            if name in asked:
                if type(asked[name]) is not int or not 0 <= asked[name] <= TAKES:
                    raise InputError(f"{name} is no number up to {TAKES}", name, "3")
                found[name] = asked[name]
        brief = parse_storyboard(film.text(), folder=film.board)
        own = self._shelf.options(film.asked())
        options = remembered(brief, cast(Options, {**own, **found}), film.out)
        job = job_of(brief, options)
        check_redo(job, Folder(film.run), options, "this film")
        return found

    def _planned(
        self, film: Film, text: str | None = None, *, draft: bool = False, redone: bool = False
    ) -> _Planned:
        """The job that a film's storyboard, or another one for it, asks for, or its draft.

        redone: with those stretches that were made again and would stay so, if the film that stands
        there has any.
        """
        asked = film.asked()
        text = film.text() if text is None else text
        options = json.dumps(self._shelf.options(asked, draft), sort_keys=True)
        media = [(file.name, file.stat().st_mtime_ns) for file in film.files()]
        place = manifest_path(film.out)
        known = os.path.getmtime(place) if redone and os.path.isfile(place) else 0
        name = digest(f"{film.id} {options} {media} {known} {text}")
        with self._lock:
            found = self._jobs.get(name)
        if found is None:
            if known:
                plain = self._planned(film, text)
                board = parse_storyboard(text, folder=film.board)
                told = lasting(board, self._shelf.options(asked), film.out).get("redone", ())
                redone = read_redone(told, plain.job.frames)
                found = _Planned(dataclasses.replace(plain.job, redone=redone)) if told else plain
            else:
                found = _Planned(self._shelf.check(film, text, asked, draft))
        with self._lock:
            self._jobs[name] = found
            self._jobs.move_to_end(name)
            while len(self._jobs) > _KEPT:
                self._jobs.popitem(last=False)
        return found

    def plan(self, film: Film, text: str | None = None, draft: bool = False) -> Line:
        """The steps that would run now and why, in film frames, with what earlier runs know of them.

        text: a storyboard that has not been saved. draft: those of the film's draft.
        """
        planned = self._planned(film, text, draft=draft, redone=not draft)
        job = planned.job
        store = Folder(film.run)
        records = list(store.records())
        known = {line["key"]: line for line in records}
        pictures = {p.name for p in film.pictures.iterdir()} if film.pictures.is_dir() else set()
        steps, waves, where = [], 0, Places(job)
        for line, call in zip(planned.lines(store), job.calls, strict=True):
            record = known.get(line["key"], {})
            step = {
                "step": line["step"],
                "wave": line["wave"],
                "role": line["role"],
                "stage": call.stage,
                "frames": where.spans(line["targets"]),
                "observed": where.spans(line["observed"]),
                "cached": line["cached"],
                "why": line["why"],
            }
            if "take" in line:
                step["take"] = line["take"]
            if line["cached"] and record:
                step["scores"] = record.get("scores", {})
                step["fault"] = record.get("faults", "")
                name = picture_name(record["key"])
                step["picture"] = name if name in pictures else None
            steps.append(step)
            waves = max(waves, 1 + line["wave"])
        to_run = sum(not step["cached"] for step in steps)
        return {
            "object": "plan",
            "frames": job.frames,
            "fps": float(job.fps),
            "size": list(job.size),
            "system": job.system.name,
            "scheme": getattr(job.system.stages[0].scheme, "name", ""),
            "shots": [[round(float(cue.start * float(job.fps))), cue.prompt] for cue in job.cues],
            "given": where.spans(job.given_indices),
            "waves": waves,
            "to_run": to_run,
            "cached": len(steps) - to_run,
            "edited_digest": digest(film.text() if text is None else text),
            **dataclasses.asdict(expected(job, to_run, records, self._shelf.figures)),
            "steps": steps,
        }

    def frame(self, film: Film, number: int) -> Line:
        """What film frame `number` was made of; InputError for one that the film does not have."""
        planned = self._planned(film, redone=True)
        job = planned.job
        frames = job.frames or 0
        if not 0 <= number < frames:
            raise InputError(f"no frame {number}", "frames", f"0 to {frames - 1}")
        where = Places(job)
        take = [take for take in job.takes if take.first <= number][-1]
        index = take.index(number, job.stride)
        shot = max(n for n, cue in enumerate(job.cues) if round(cue.start * job.fps) <= number)
        found: Line = {
            "object": "frame",
            "frame": number,
            "seconds": float(number / job.fps),
            "shot": shot + 1,
            "prompt": job.cues[shot].prompt,
            "seed": job.seed,
            "step": None,
        }
        if index in job.given_indices:
            given, offset = job.given_indices[index]
            return {**found, "given": {"frame": given.frame, "frames": given.frames, "at": offset}}
        last = len(job.system.stages) - 1
        # a stretch that was made again lies above what was there before
        *_, call = (c for c in job.calls if c.stage == last and index in c.step.targets)
        found["step"], found["frames"] = call.number, where.spans(call.step.targets)
        store = Folder(film.run)
        try:
            told = explain(store, call.number, planned.keyed(store)[call.number])
        except InputError:
            return {**found, "made": None}
        made = {
            **{name: told[name] for name in ("key", "stored", "changed", "seed", "prompts")},
            **{name: told[name] for name in ("attempt", "scores", "faults", "seconds", "parts")},
            "observed": [
                {
                    "frames": where.spans([seen["index"]])[0] if where.has(seen["index"]) else None,
                    "step": seen["step"],
                }
                for seen in told["observed"]
            ],
            "ancestry": {
                "depth": told["ancestry"]["depth"],
                "steps": told["ancestry"]["steps"][:500],
                "count": len(told["ancestry"]["steps"]),
            },
            "picture": picture_name(told["key"]),
        }
        return {**found, "made": made}


class Places:
    """Indices as film frames."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._takes = job.takes
        self._place = 0

    def has(self, index: int) -> bool:
        """Whether the film still has such an index; an earlier storyboard's may be past its end."""
        last = self._takes[-1]
        return 0 <= index < last.start + (last.length or 0)

    def spans(self, indices: Iterable[int]) -> Spans:
        """Half-open runs of film frames [first, end) that the indices hold."""
        found: Spans = []
        for index in sorted(indices):
            first, end = self._frames(index)
            if found and found[-1][1] == first:
                found[-1][1] = end
            elif first < end:
                found.append([first, end])
        return found

    def _frames(self, index: int) -> tuple[int, int]:
        takes, place = self._takes, self._place
        while place and takes[place].start > index:
            place -= 1
        while place + 1 < len(takes) and takes[place + 1].start <= index:
            place += 1
        self._place, take = place, takes[place]
        first = self._job.first_frame(take, index)
        stop = take.first + (take.frames or 0)
        return max(first, take.first), min(first + self._job.stride, stop)
