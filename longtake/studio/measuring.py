"""A finished film's scores over time: drift, seams, agreement with its prompts; measured by a child process.

    python -m longtake.studio.measuring FILM

prints them as JSON. Its manifest says where the film cuts, and what was asked of which frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.engine.manifest import read_manifest
from longtake.errors import InputError, MachineError
from longtake.studio.films import Film, write_whole

if TYPE_CHECKING:
    from longtake.metrics import Meter
    from longtake.metrics.film import Stretch

Line = dict[str, Any]
AGREEMENT = "agreement"
WAITING = 4  # films that are measured or wait for that, of all users


class Measuring:
    """Measures one film at a time, and each film once until another stands in its place."""

    def __init__(self) -> None:
        self._turn, self.waiting = asyncio.Semaphore(1), 0
        self._child: asyncio.subprocess.Process | None = None

    def close(self) -> None:
        """Ends what is being measured."""
        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()

    async def of(self, film: Film) -> Line:
        """The scores of the film that stands there, as `measured` has them; FileNotFoundError if none does."""
        self.waiting += 1
        try:
            async with self._turn:
                told = film.out.stat()
                stamp = [told.st_mtime_ns, told.st_size]
                known = _kept(film)
                if known.get("of") != stamp:
                    known = {"of": stamp, **await self._measured(film.out)}
                    if film.folder.is_dir():  # it may have been deleted meanwhile
                        write_whole(film.scores, json.dumps(known))
                return {name: value for name, value in known.items() if name != "of"}
        finally:
            self.waiting -= 1

    async def _measured(self, place: Path) -> Line:
        words = (sys.executable, "-m", "longtake.studio.measuring", str(place))
        self._child = child = await asyncio.create_subprocess_exec(
            *words, stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
        try:
            out, _ = await child.communicate()
            found: Line = json.loads(out)
        except ValueError:
            raise MachineError("the film could not be measured", place.name, "again") from None
        finally:
            self.close()
        if "error" in found:
            raise InputError(found["error"], place.name, "a longer film")
        return found


def _kept(film: Film) -> Line:
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads(film.scores.read_text(encoding="utf-8")))
    return {}


def measured(place: Path) -> Line:
    """One pass over a film: scores by metric, moments that they point at, curves over time.

    shots: [first frame, share of what its prompt asks for that is seen, or None] of each. silent:
    why metrics could not tell.
    """
    from longtake.metrics import Film as Watched
    from longtake.metrics import PromptAgreement, Told, examine
    from longtake.metrics.shots import sky_words
    from longtake.metrics.watching import Watch, points_of
    from longtake.video import probe, read_frames

    asked: list[Mapping[str, Any]] = read_manifest(place)["asked"]["shots"]
    shots = tuple(Told(shot["frames"][0], shot["prompt"], shot["cut"]) for shot in asked)
    cuts = [shot.first for shot in shots if shot.cut and shot.first]
    fps, watch = float(probe(place).fps), Watch()
    agreement = _Lenient(PromptAgreement(shots, sky_words()))
    film = Watched(read_frames(place), fps, place.name, cuts=cuts, shots=shots)
    found = examine(film, watchers=(watch, agreement))
    scores, silent = dict(found.scores), dict(found.silent)
    parts: list[float | None] = [None] * len(shots)
    try:
        scores[AGREEMENT] = agreement.score()
        parts = list(scores[AGREEMENT].detail["shots"])
    except InputError as error:
        silent[AGREEMENT] = str(error)
    at, curves = watch.curves()
    return {
        "object": "scores",
        "frames": watch.frames,
        "fps": fps,
        "scores": {
            name: {
                "value": score.value if math.isfinite(score.value) else None,
                "protocol": score.protocol,
                "better": score.better,
                "verdict": score.verdict,
            }
            for name, score in scores.items()
        },
        "silent": silent,
        "points": [
            {"at": point.at, "until": point.until, "metric": point.metric, "text": point.text}
            for point in points_of(found.scores)
        ],
        "curves": {
            "at": _short(at),
            **{name: _short(means) for name, (means, _) in curves.items()},
        },
        "shots": [[shot.first, part] for shot, part in zip(shots, parts, strict=True)],
    }


class _Lenient:
    """A meter beside others, whose refusal is told when it is asked, not while they see the film."""

    def __init__(self, meter: Meter) -> None:
        self._meter, self._refusal = meter, None

    _refusal: InputError | None

    def see(self, stretch: Stretch) -> None:
        """Passes on what goes by, until the first refusal."""
        if self._refusal is None:
            try:
                self._meter.see(stretch)
            except InputError as error:
                self._refusal = error

    def score(self) -> Any:
        """The meter's score, or its refusal."""
        if self._refusal is not None:
            raise self._refusal
        return self._meter.score()


def _short(values: list[float]) -> list[float]:
    return [round(value, 4) for value in values]


def main(place: str) -> None:
    """Prints a film's scores, or `{"error": ..}`."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with contextlib.suppress(OSError):
        os.nice(10)  # films that are being made come first
    try:
        found = measured(Path(place))
    except InputError as error:
        found = {"error": error.what}
    with out:
        json.dump(found, out)


if __name__ == "__main__":
    main(sys.argv[1])
