"""`verify`: a film held against its manifest, and stretches of it rendered again."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from longtake import __version__
from longtake.brief import Options, job_of, system_of
from longtake.brief.notes import asking
from longtake.brief.numbers import read_stretch
from longtake.cli.base import Voice, verb
from longtake.cli.film import options_of
from longtake.engine.manifest import (
    STRETCH,
    film_digest,
    fps_of,
    made_with,
    manifest_path,
    own_digest,
    pixel_digest,
    plan_digests,
    read_manifest,
    split,
)
from longtake.errors import ClaimError, InputError, LongtakeError

if TYPE_CHECKING:
    from torch import Tensor

    from longtake.api import Order

Line = dict[str, Any]

LOOK = 1.0  # grey levels, of 0 to 255, that frames of the same look differ by on average
VERDICTS = ("equal", "same look", "different")  # from best to worst
_SHOWN = 80  # characters of a value that a line for people shows


@verb(
    "verify",
    (
        "longtake verify film.mp4",
        "longtake verify film.mp4 --replay 10-12",
        "longtake verify film.mp4 --replay 0-4 --model mine.py:mine",
    ),
    short_help="Hold a film against its manifest.",
)
@click.argument("film")
@click.option("--replay", metavar="A-B", help="Render these seconds again and compare.")
@click.option("--model", metavar="NAME|FILE.py:FUNC|FOLDER", help="What made it, if not built in.")
@click.option("--set", "sets", multiple=True, metavar="KNOB=VALUE", help="A knob to turn anew.")
@click.option("--device", metavar="NAME", help="Where to replay; where it was made if absent.")
def verify(voice: Voice, film: str, replay: str | None, **values: Any) -> None:
    """Hold FILM against the manifest beside it, and say what has changed since it was made.

    --replay renders the stretches of 32 frames that hold these seconds from nothing, with all they
    depend on, and says of each whether it is equal, of the same look, or different. Exit code 1
    if the film is not what its manifest says, or a stretch is different.
    """
    place = film_at(film)
    manifest = read_manifest(place)
    span = None if replay is None else read_span(replay, manifest)
    said = said_of(values)
    checks = checked(place, manifest)
    failed = [name for name, check in checks.items() if not check["holds"]]
    differs, why = differences(place, manifest, said, whole=not failed)
    told = {"event": "verified", "film": film, "holds": not failed, "checks": checks}
    voice.line({**told, "differs": differs, "unknown": why})
    _say(voice, film, manifest, failed, checks, differs, why)
    if failed and (span is None or "manifest" in failed):
        what = f"not what the manifest says: {', '.join(failed)}"
        raise ClaimError(what, film, "the same generate command again")
    if span is not None:
        worst = _replay(voice, place, manifest, said, span)
        if worst == VERDICTS[-1]:
            raise ClaimError("a replay gives a different film", film, "what has changed since")
        if failed:
            raise ClaimError(f"not what the manifest says: {', '.join(failed)}", film)


def film_at(film: str) -> Path:
    """The path of a film that can be read; InputError for what is none by its name and kind."""
    from longtake.video import OUT_SUFFIXES
    from longtake.video.files import check_in

    place = Path(film)
    if not os.path.isdir(place):
        check_in(place)
        if place.suffix.lower() not in OUT_SUFFIXES:
            own = place.name.removesuffix(".manifest.json")
            hint = own if own != place.name else f"one of {' '.join(OUT_SUFFIXES)}, or a folder"
            raise InputError("not a film", film, hint)
    elif not any(map(os.path.isfile, place.glob("*.png"))):
        raise InputError("a folder without frames", film, "a folder of PNGs, or a film's file")
    return place


def read_span(text: str, manifest: Mapping[str, Any]) -> tuple[Fraction, Fraction]:
    """Seconds A and B of `A-B`, inside the film."""
    length = manifest["film"]["frames"] / fps_of(manifest)
    return read_stretch(text, "--replay", length, f"0-{float(min(length, 2)):g}")


def checked(film: Path, manifest: Mapping[str, Any]) -> dict[str, Line]:
    """What can be held against a manifest without any model, each with `holds`, `was` and `is`."""
    from longtake.video.files import blamed

    told = manifest["film"]
    with blamed(film, "cannot read the film", "a readable copy"):
        digest, count = film_digest(film)
    found = {
        "manifest": (manifest["digest"], own_digest(manifest)),
        "file": (told["sha256"], digest),
        "bytes": (told["bytes"], count),
    }
    found |= _pictured(film, told, digest == told["sha256"])
    return {name: {"holds": a == b, "was": a, "is": b} for name, (a, b) in found.items()}


def _pictured(film: Path, told: Mapping[str, Any], holds: bool) -> dict[str, tuple[Any, Any]]:
    """Frames and size as the file shows them; None where it cannot be read."""
    from longtake.video import probe, read_frames

    frames: int | None = None
    size: list[int] | None = None
    try:
        info = probe(film)
        size = [info.width, info.height]
        # frames of the very file that was written were counted then; others' claims are not believed
        frames = (info.frames or told["frames"]) if holds else 0
        for _ in () if holds else read_frames(film, size=(16, 16)):
            frames += 1
    except InputError:
        frames = None
    return {"frames": (told["frames"], frames), "size": (told["size"], size)}


def differences(
    film: Path, manifest: Line, said: Options, *, whole: bool
) -> tuple[dict[str, Line], str]:
    """What a replay would do otherwise than then, by name; and why some of it is not known.

    whole: whether the film is what the manifest says: only then its plan is laid out.
    """
    try:
        brief, options = asking(manifest, film.parent, said, str(film))
    except InputError as error:
        return {}, str(error)
    if said:
        _ = system_of(options)  # what is wrong with the user's own words is the user's to hear
    try:
        job = job_of(brief, options)
        made = json.loads(json.dumps(made_with(job, __version__)))
        pairs = {name: (manifest["made"].get(name), value) for name, value in made.items()}
        if whole:
            pairs["plan"] = plan_digests(job, manifest["steps"])
        why = ""
    except (LongtakeError, MemoryError) as error:
        pairs, why = {}, str(error) or "out of memory"
    return {name: {"was": a, "is": b} for name, (a, b) in pairs.items() if a != b}, why


@dataclasses.dataclass(frozen=True)
class Replayed:
    """A stretch that was rendered again, film frames [first, end).

    apart: mean difference from the film's own frames in grey levels, and coding: what coding the
    replayed frames costs by itself; None where they are equal as made, or the film cannot be read.
    """

    frames: tuple[int, int]
    verdict: str
    apart: float | None = None
    coding: float | None = None

    def line(self, fps: Fraction) -> Line:
        """As JSON, with its seconds."""
        fields = dataclasses.asdict(self)
        for name in ("apart", "coding"):
            fields[name] = None if fields[name] is None else round(fields[name], 4)
        return {**fields, "seconds": [round(float(n / fps), 4) for n in self.frames]}


def replayed(film: Path, manifest: Line, order: Order, only: tuple[int, int]) -> Iterator[Replayed]:
    """Frames [first, end), which are whole stretches, rendered from nothing and compared."""
    import torch

    from longtake.engine import Frames, render

    parts: list[Tensor] = []
    for item in render(order.job, order.store, order.executor, only=only):
        if not isinstance(item, Frames):
            continue
        for number, pixels in split(item):
            parts.append(pixels)
            first = number * STRETCH
            end = min(first + STRETCH, manifest["film"]["frames"])
            if sum(map(len, parts)) == end - first:
                yield compared(film, manifest, number, torch.cat(parts))
                parts = []


def compared(film: Path, manifest: Line, number: int, pixels: Tensor) -> Replayed:
    """The verdict on a stretch's replayed pixels, (t, 3, h, w) uint8."""
    first = number * STRETCH
    frames = (first, first + len(pixels))
    if pixel_digest(pixels) == manifest["stretches"][number]:
        return Replayed(frames, VERDICTS[0])
    fps = fps_of(manifest)
    try:
        own = _stored(film, frames, fps)
    except LongtakeError:
        return Replayed(frames, VERDICTS[2])
    if own.shape != pixels.shape:
        return Replayed(frames, VERDICTS[2])
    apart, coding = _apart(own, pixels), _apart(_coded(film, pixels, fps), pixels)
    # a film's file is coded: even the frames as made are some way from its own
    verdict = VERDICTS[1] if apart <= coding + LOOK else VERDICTS[2]
    return Replayed(frames, verdict, apart, coding)


def _stored(film: Path, frames: tuple[int, int], fps: Fraction) -> Tensor:
    """A film's own frames; asked for half a frame early, because containers round times."""
    from longtake.video import read_video

    first, end = frames
    start = max(Fraction(0), (first - Fraction(1, 2)) / fps)
    seconds = (end - Fraction(1, 2)) / fps - start
    return read_video(film, start=float(start), seconds=float(seconds))


def _coded(film: Path, pixels: Tensor, fps: Fraction) -> Tensor:
    """Pixels as they come back from a file of the film's kind."""
    from longtake.video import VideoWriter, read_video

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / f"film{film.suffix.lower()}"
        with VideoWriter(place, size=(pixels.shape[3], pixels.shape[2]), fps=fps) as writer:
            writer.write(pixels)
        return read_video(place)


def _apart(a: Tensor, b: Tensor) -> float:
    """Mean difference of pixels in grey levels."""
    return (a.short() - b.short()).abs().double().mean().item()


def _replay(
    voice: Voice, film: Path, manifest: Line, said: Options, span: tuple[Fraction, Fraction]
) -> str:
    """Renders again, says how every stretch compares; the worst verdict."""
    from longtake import api
    from longtake.engine.run import needed

    brief, options = asking(manifest, film.parent, said, str(film))
    order = api.order_of(brief, options, run=None, executor="serial")
    fps, frames = fps_of(manifest), manifest["film"]["frames"]
    first = math.floor(span[0] * fps) // STRETCH * STRETCH
    only = (first, min(frames, -(-math.ceil(span[1] * fps) // STRETCH) * STRETCH))
    count = len(needed(order.job, only))
    voice.note(
        f"replaying frames {only[0]} to {only[1] - 1}: {count} of {len(order.job.calls)} steps"
    )
    found = []
    for stretch in replayed(film, manifest, order, only):
        found.append(stretch)
        voice.say(_words(stretch, fps))
    worst = max((stretch.verdict for stretch in found), key=VERDICTS.index)
    told = {"event": "replayed", "film": str(film), "seconds": [float(s) for s in span]}
    stretches = [stretch.line(fps) for stretch in found]
    voice.line({**told, "verdict": worst, "steps": count, "stretches": stretches})
    return worst


def _words(stretch: Replayed, fps: Fraction) -> str:
    a, b = (float(n / fps) for n in stretch.frames)
    text = f"{a:g} to {b:g} s: {stretch.verdict}"
    if stretch.apart is None or stretch.coding is None:
        return text if stretch.verdict == VERDICTS[0] else f"{text}; the film cannot be compared"
    levels = f"{stretch.apart:.2f} grey levels from the film's own frames"
    return f"{text}; {levels}, of which its coding explains about {stretch.coding:.2f}"


def said_of(values: Mapping[str, Any]) -> Options:
    """The user's own options, read as `generate` reads them."""
    names = ("scheme", "seconds", "frames", "fps", "size", "seed", "strength")
    none = {**dict.fromkeys(names), "images": (), "videos": ()}
    return options_of({**none, **values})


def _say(
    voice: Voice,
    film: str,
    manifest: Mapping[str, Any],
    failed: list[str],
    checks: Mapping[str, Line],
    differs: Mapping[str, Line],
    why: str,
) -> None:
    """The whole, for people: what failed in full, what changed since in one line."""
    told = manifest["film"]
    width, height = told["size"]
    what = f"{told['frames']} frames, {width}x{height}, {float(fps_of(manifest)):g} fps"
    voice.say(f"{film}: {'does not hold' if failed else 'holds'}; its manifest says {what}")
    for name in failed:
        voice.say(f"  {name:<10}was {_short(checks[name]['was'])}, is {_short(checks[name]['is'])}")
    if differs:
        voice.say(f"changed since, so that a replay may differ: {', '.join(differs)}")
        for name, pair in differs.items():
            was, now = pair["was"], pair["is"]
            voice.say(f"  {name:<10}was {_short(was)}, is {_short(now)}")
    if why:
        voice.say(f"not compared: {why}")


def _short(value: Any) -> str:
    """A value as JSON: whatever a manifest says, a terminal shows only plain characters of it."""
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


__all__ = [
    "checked",
    "compared",
    "differences",
    "film_at",
    "manifest_path",
    "replayed",
    "said_of",
    "verify",
]
