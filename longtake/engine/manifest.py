"""A film's manifest: what the file is, what was asked, and what it was made with. No torch here.

It lies beside the film, `film.mp4.manifest.json` (`frames.manifest.json` for a folder `frames` of
PNGs), and holds no times and no absolute paths: the same film has the same manifest. Its fields:

    film       sha256, bytes, frames, fps (as a fraction), size; for a folder sha256 is that of what
               `sha256sum *.png` prints there
    seed       what chance started from
    asked      model, scheme, settings, device, shots (half-open film frames, prompt, cut, pins),
               images, videos, strength, repair (only where steps were to be repaired), redone (only
               where stretches were: film frames, the take that is seen, how many there are, upon
               how many of the others it lies); pins are relative to the manifest's folder
    made       system, schemes, models (a mapping per stage, by role), codecs, encoder, given clips,
               machine, versions: names and fingerprints
    scores     open: name to value
    stretch    how many film frames a stretch has; the last may have fewer
    stretches  sha256 of each stretch's pixels as made, before any coding: uint8, frame after frame,
               each (3, h, w), RGB
    steps      in order: stage, key, targets, observed
    digest     of all the above, so that a changed manifest is known
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.engine.decode import Frames
from longtake.engine.desk import Order
from longtake.engine.job import Given, Job
from longtake.engine.redo import settled_on
from longtake.errors import InputError, MachineError
from longtake.keys import canonical, fingerprint
from longtake.steps import spans

if TYPE_CHECKING:
    from torch import Tensor

Line = dict[str, Any]

FORMAT = "longtake-film"
VERSION = 1
STRETCH = 32  # film frames under one digest
LARGEST = 64 << 20  # bytes of a manifest that are read; the longest films need about as much
_FRAMES = range(1, 10_000_001)
_SIDES = range(1, 65_536)


def manifest_path(film: str | os.PathLike[str]) -> Path:
    """Where the manifest of a film lies: beside it, `film.mp4.manifest.json`."""
    place = Path(film)
    return place.with_name(f"{place.name}.manifest.json")


class Witness:
    """Sees a film being made, its steps in any order and its frames in film order.

    It keeps a digest a stretch and a line a step, and nothing of the pixels.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._rows: dict[int, Line] = {}
        self._digests: list[Any] = []

    def settle(self, order: Order) -> None:
        """Notes a call that will run or was found finished."""
        call = order.call
        self._rows[call.number] = row(call.stage, order.key.key, call.step.targets, order.observed)

    def see(self, frames: Frames) -> None:
        """Takes the frames that follow on those before."""
        for number, pixels in split(frames):
            if number == len(self._digests):
                self._digests.append(hashlib.sha256())
            self._digests[number].update(_bytes(pixels))

    @property
    def stretches(self) -> list[str]:
        """The digest of every stretch seen so far."""
        return [digest.hexdigest() for digest in self._digests]

    def choose(self, take: int) -> Job:
        """Notes which take of the stretch that was made again is seen; the job of that film."""
        redone = settled_on(self._job.redone, take)
        self._job = dataclasses.replace(self._job, redone=redone)
        return self._job

    def manifest(self, film: Path, asked: Mapping[str, Any], version: str) -> Line:
        """The manifest of the finished film. version: of longtake."""
        job = self._job
        sha256, size = film_digest(film)
        seen = {call.number for call in job.calls}  # takes that were not chosen are no part of it
        told = {
            "format": FORMAT,
            "version": VERSION,
            "film": {
                "sha256": sha256,
                "bytes": size,
                "frames": job.frames,
                "fps": str(job.fps),
                "size": list(job.size),
            },
            "seed": job.seed,
            "asked": dict(asked),
            "made": made_with(job, version),
            "scores": {},
            "stretch": STRETCH,
            "stretches": self.stretches,
            "steps": [self._rows[number] for number in sorted(self._rows) if number in seen],
        }
        return {**told, "digest": own_digest(told)}


def split(frames: Frames) -> Iterator[tuple[int, Tensor]]:
    """The pixels (t, 3, h, w) that belong to each stretch, with the stretch's number."""
    first, end = frames.first, frames.first + len(frames.pixels)
    while first < end:
        number = first // STRETCH
        stop = min((number + 1) * STRETCH, end)
        yield number, frames.pixels[first - frames.first : stop - frames.first]
        first = stop


def pixel_digest(pixels: Tensor) -> str:
    """The digest of a stretch, (t, 3, h, w) uint8."""
    return hashlib.sha256(_bytes(pixels)).hexdigest()


def row(stage: int, key: str, targets: Sequence[int], observed: Sequence[int]) -> Line:
    """A step's line; indices are short texts, because a long film has many steps."""
    told = {"targets": " ".join(spans(targets)), "observed": " ".join(spans(observed))}
    return {"stage": stage, "key": key, **told}


def made_with(job: Job, version: str) -> Line:
    """Names and fingerprints of everything that shapes pixels, besides what was asked."""
    system = job.system
    given = (*job.given, *(() if job.source is None else (job.source,)))
    return {
        "system": system.name,
        "schemes": [_scheme(stage.scheme) for stage in system.stages],
        "models": [
            {role: part.spec.fingerprint for role, part in sorted(stage.models.items())}
            for stage in system.stages
        ],
        "codecs": [stage.codec.spec.fingerprint for stage in system.stages],
        "encoder": "" if system.encoder is None else system.encoder.fingerprint,
        "given": [_given(clip) for clip in given],
        "machine": job.machine,
        "versions": {
            "longtake": version,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("torch", "av")},
        },
    }


def plan_digests(job: Job, steps: Sequence[Line]) -> tuple[str, str]:
    """Of the steps that a manifest tells, and of those that the job has now.

    What a call observes that chooses as it runs is left out: it is known only when it has run.
    """
    chooses = {n for n, call in enumerate(job.calls) if call.step.choose is not None}
    now = [row(call.stage, "", call.step.targets, call.step.observed) for call in job.calls]
    both = []
    for lines in (steps, now):
        told = (
            [line["stage"], line["targets"], "" if n in chooses else line["observed"]]
            for n, line in enumerate(lines)
        )
        both.append(fingerprint(list(told)))
    return both[0], both[1]


def film_digest(film: Path) -> tuple[str, int]:
    """SHA-256 and bytes of a film's file, or of the PNGs of its folder."""
    if not os.path.isdir(film):
        return _file_digest(film), film.stat().st_size
    digest, size = hashlib.sha256(), 0
    for file in sorted(filter(os.path.isfile, film.glob("*.png"))):
        digest.update(f"{_file_digest(file)}  {file.name}\n".encode())
        size += file.stat().st_size
    return digest.hexdigest(), size


def own_digest(manifest: Mapping[str, Any]) -> str:
    """Of everything a manifest says but this."""
    told = {name: value for name, value in manifest.items() if name != "digest"}
    return hashlib.sha256(canonical(told).encode()).hexdigest()


def write_manifest(film: Path, manifest: Mapping[str, Any]) -> None:
    """Puts the manifest beside its film, whole or not at all; MachineError if the disk refuses."""
    place = manifest_path(film)
    part = place.with_name(f"{place.name}.part")
    try:
        with part.open("w", encoding="ascii") as file:
            file.writelines(_lines(manifest))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, place)
    except OSError as error:
        _forget(part)
        what = f"the film stands, but its manifest cannot be written: {error.strerror}"
        raise MachineError(what, str(place), "the same command again") from None


def read_manifest(film: Path) -> Line:
    """The manifest beside a film; InputError unless it is whole, of this format and well formed.

    Nothing it says is believed here: only kinds and ranges are checked.
    """
    place = manifest_path(film)
    again = "the same generate command again: it writes one"
    if not os.path.isfile(place):
        raise InputError("no manifest beside the film", str(place), again)
    try:
        with place.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        what = f"the manifest cannot be read: {error.strerror}"
        raise InputError(what, str(place), "a readable file") from None
    if len(data) > LARGEST:
        what = f"a manifest of more than {LARGEST >> 20} MiB"
        raise InputError(what, str(place), again)
    try:
        found = json.loads(data, parse_constant=_refuse)
        canonical(found)  # what is nested too deeply to be written again is not ours
    except (ValueError, RecursionError):  # a number of 5000 digits is a plain ValueError
        raise InputError("the manifest is not JSON", str(place), again) from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError("not the manifest of a film", str(place), again)
    version = found.get("version")
    if type(version) is int and version > VERSION:
        what = f"a manifest of version {version}"
        hint = f"a newer longtake: this one reads version {VERSION}"
        raise InputError(what, str(place), hint)
    wrong = misfit(found, _SHAPE)
    if not wrong and len(found["stretches"]) != -(-found["film"]["frames"] // found["stretch"]):
        wrong = "stretches"
    if wrong:
        raise InputError(f"the manifest's '{wrong}' is missing or wrong", str(place), again)
    return found


def misfit(value: Any, shape: Any) -> str:
    """The name of the first part of a JSON value that is not of a shape, "" if all are.

    A shape is a mapping of names, a list of one shape, a range of whole numbers, a pattern of
    text, a test, or a type.
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return "."
        for name, inner in shape.items():
            wrong = misfit(value[name], inner) if name in value else "."
            if wrong:
                return f"{name}.{wrong}".rstrip(".")
        return ""
    if isinstance(shape, list):
        if not isinstance(value, list):
            return "."
        return next(filter(None, (misfit(item, shape[0]) for item in value)), "")
    if isinstance(shape, range):
        fits = type(value) is int and value in shape
    elif isinstance(shape, re.Pattern):
        fits = isinstance(value, str) and shape.fullmatch(value) is not None
    elif isinstance(shape, type):
        fits = type(value) is shape
    else:
        fits = shape(value)
    return "" if fits else "."


def fps_of(manifest: Mapping[str, Any]) -> Fraction:
    """Frames a second of the film."""
    return Fraction(manifest["film"]["fps"])


def _pair(kind: range) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, list)
        and len(value) == 2
        and all(type(number) is int and number in kind for number in value)
    )


_SHA256 = re.compile("[0-9a-f]{64}")
_SHAPE = {
    "version": range(1, VERSION + 1),
    "film": {
        "sha256": _SHA256,
        "bytes": range(1 << 62),
        "frames": _FRAMES,
        "fps": re.compile(r"[1-9]\d{0,8}(/[1-9]\d{0,8})?", re.ASCII),
        "size": _pair(_SIDES),
    },
    "seed": range(1 << 63),
    "asked": {
        "model": lambda value: value is None or isinstance(value, str),
        "scheme": str,
        "settings": dict,
        "device": str,
        "shots": [
            {
                "frames": _pair(range(_FRAMES.stop)),
                "prompt": str,
                "cut": bool,
                "images": [str],
                "videos": [str],
            }
        ],
        "images": [str],
        "videos": [str],
        "strength": lambda value: value is None or type(value) in (int, float),
    },
    "made": dict,
    "scores": dict,
    "stretch": range(STRETCH, STRETCH + 1),
    "stretches": [_SHA256],
    "steps": [
        {
            "stage": range(1 << 31),
            "key": re.compile("[0-9a-f]{32}"),
            "targets": str,
            "observed": str,
        }
    ],
    "digest": _SHA256,
}


def _bytes(pixels: Tensor) -> Any:
    return pixels.contiguous().numpy().data


def _file_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _given(clip: Given) -> Line:
    return {"frames": [clip.frame, clip.end], "digest": clip.digest}


def _scheme(scheme: Any) -> Line:
    """A scheme's name and, where it shows them, its knobs."""
    name = {"name": type(scheme).__name__}
    if not dataclasses.is_dataclass(scheme):
        return name
    try:
        return {**name, **json.loads(canonical(scheme))}
    except TypeError:  # it holds something that is no value
        return name


def _lines(manifest: Mapping[str, Any]) -> Iterator[str]:
    """JSON with a line for every field, stretch and step."""
    lead = "{\n"
    for name, value in manifest.items():
        yield f"{lead} {json.dumps(name)}: "
        if isinstance(value, list):
            yield "[" + ",".join(f"\n  {json.dumps(item)}" for item in value) + "\n ]"
        else:
            yield json.dumps(value)
        lead = ",\n"
    yield "\n}\n"


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _forget(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError:
        pass
