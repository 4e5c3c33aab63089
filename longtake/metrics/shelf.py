"""Metrics by name, and the one pass over a film that answers for several of them."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from longtake.errors import InputError, nearest
from longtake.metrics.clips import ClipDistance, clips_of, world_of
from longtake.metrics.colours import ColourLag
from longtake.metrics.extractors import Extractor, find_extractor
from longtake.metrics.fidelity import Beside, Nearness
from longtake.metrics.film import Frames, Meter, Stretch, stretches
from longtake.metrics.moments import Moments
from longtake.metrics.moving import Dynamic, StillFlicker
from longtake.metrics.overlength import Drift, Flicker, Frozen, Joins, Motion, Seams
from longtake.metrics.probe import Distance, Reading, default_probe
from longtake.metrics.repeating import Repetition
from longtake.metrics.revisits import LoopClosure
from longtake.metrics.scores import Score
from longtake.metrics.shots import (
    Consistency,
    PromptAgreement,
    PromptFit,
    ShotChanges,
    Told,
    sky_words,
)
from longtake.metrics.windows import Blocks, Windows

WORLD = "sky"  # the reference that stands for the world at large


@dataclasses.dataclass(frozen=True)
class Film:
    """Frames to be looked at, once.

    borders: frames at which a piece made by itself begins, where known; cuts: where a take begins.
    features: what `fvd` and `kvd` look through, a name or NAME=FILE; the built-in ones unless given.
    shots: what was asked for, where known. poses: of the camera, a row a frame, as in `LoopClosure`.
    """

    frames: Frames
    fps: float
    name: str = "film"
    borders: Collection[int] = ()
    cuts: Collection[int] = ()
    features: str = ""
    shots: tuple[Told, ...] = ()
    poses: Tensor | None = None


class Filmed(Protocol):
    """Anything that yields frames at a rate: a Take, say."""

    @property
    def fps(self) -> Any: ...

    def __iter__(self) -> Iterator[Tensor]: ...


class Watcher(Protocol):
    """Sees a film go by."""

    def see(self, stretch: Stretch) -> None: ...


Source = Film | Filmed | Tensor | str | os.PathLike[str]
Make = Callable[[Film, "Film | None"], Meter]


def _seams(film: Film, reference: Film | None) -> Meter:
    return Joins(film.borders, film.cuts) if film.borders else Seams(film.cuts)


def _distance(film: Film, reference: Film | None) -> Meter:
    return Distance(_moments(reference) if reference is not None else None)


def _moments(reference: Film) -> Moments:
    return default_probe().moments(reference.frames, reference.fps)


def _beside(kind: str, near: Callable[[], Nearness] | None = None) -> Make:
    def make(film: Film, reference: Film | None) -> Meter:
        if reference is None:
            raise InputError(f"{kind} needs a film to compare with", "--reference", "a video file")
        return Beside(kind, reference.frames, reference.fps, near() if near else None)

    return make


def _clips(statistic: str) -> Make:
    return lambda film, reference: ClipDistance(statistic, *_known(film, reference))


def _known(film: Film, reference: Film | None) -> tuple[Tensor | Moments, Extractor]:
    """Features of the reference, or of the world at large, and through what they were seen."""
    extractor = _extractor(film)
    if reference is None:
        return world_of(extractor), extractor
    return clips_of(reference.frames, reference.fps, extractor), extractor


def _extractor(film: Film) -> Extractor:
    return find_extractor("tfvd" if _clip_folder(film) else film.features or "tfvd")


def _clip_folder(film: Film) -> str:
    """The folder of `clip=FOLDER`, which is asked about prompts alone."""
    name, _, path = film.features.partition("=")
    return path if name == "clip" else ""


def _clipsim(film: Film, reference: Film | None) -> Meter:
    packaged = importlib.import_module("longtake.metrics.packaged")
    clip = packaged.Clip(_clip_folder(film) or None)
    return PromptFit(film.shots, clip.fit, clip.protocol)


def _closure(film: Film, reference: Film | None) -> Meter:
    if film.poses is None:
        raise InputError("no poses of the camera", "loop-closure", "Film(..., poses=...)")
    return LoopClosure(film.poses)


def _lpips() -> Nearness:
    packaged = importlib.import_module("longtake.metrics.packaged")
    near: Nearness = packaged.Lpips().nearness()
    return near


METRICS: Mapping[str, Make] = {
    "drift": lambda film, _: Drift(),
    "seams": _seams,
    "repetition": lambda film, _: Repetition(),
    "motion": lambda film, _: Motion(),
    "frozen": lambda film, _: Frozen(),
    "flicker": lambda film, _: Flicker(),
    "colours": lambda film, _: ColourLag(),
    "dynamic": lambda film, _: Dynamic(),
    "still-flicker": lambda film, _: StillFlicker(),
    "shot-changes": lambda film, _: ShotChanges(film.shots),
    "consistency": lambda film, _: Consistency(film.shots, _extractor(film)),
    "agreement": lambda film, _: PromptAgreement(film.shots, sky_words()),
    "clipsim": _clipsim,
    "loop-closure": _closure,
    "probe": lambda film, _: Reading(),
    "frechet": _distance,
    # The usual names of distances of clips; the protocol names the features, the built-in ones unless others are given.
    "fvd": _clips("frechet"),
    "kvd": _clips("kernel-poly3"),
    "fvd-slope": lambda film, reference: Windows(*_known(film, reference)),
    "fvd-blocks": lambda film, reference: Blocks(*_known(film, reference)),
    "psnr": _beside("psnr"),
    "ssim": _beside("ssim"),
    "ms-ssim": _beside("ms-ssim"),
    "lpips": _beside("lpips", _lpips),
}
USUAL = ("drift", "seams", "repetition", "motion", "frozen", "flicker", "colours", "probe")


@dataclasses.dataclass(frozen=True)
class Findings:
    """One film's scores by metric, and why metrics nobody asked for by name could not tell."""

    film: Film
    scores: Mapping[str, Score]
    silent: Mapping[str, str]


def score(
    films: Source | Sequence[Source],
    *,
    reference: Source | None = None,
    metrics: Sequence[str] = (),
    fps: float = 10.0,
    features: str = "",
) -> dict[str, Score]:
    """Scores by metric name, from one pass over each film; of several films by `NAME:metric`.

    films: video files, Takes, tensors (t, 3, h, w) uint8 at `fps`, or Films. reference: "sky" for
    the world at large, or a film. features: what `fvd` and `kvd` look through, as in
    `find_extractor`. Without `metrics`: all that need no reference, and with one "frechet" and
    "fvd" too; of these, what a film is too short for is left out.
    """
    found: dict[str, Score] = {}
    listed = _listed(films)
    for place, source in enumerate(listed, 1):
        film = dataclasses.replace(film_of(source, fps), features=features)
        head = f"{film.name}:" if len(listed) > 1 else ""
        if any(name.startswith(head) for name in found):
            head = f"{film.name}#{place}:"
        scores = examine(film, reference, metrics).scores
        found |= {head + name: each for name, each in scores.items()}
    return found


def examine(
    film: Film,
    reference: Source | None = None,
    metrics: Sequence[str] = (),
    watchers: Sequence[Watcher] = (),
) -> Findings:
    """One pass over a film for all of its scores; watchers see it go by as well."""
    for name in metrics:
        if name not in METRICS:
            raise InputError(f"unknown metric '{name}'", "metrics", nearest(name, METRICS))
    names = list(dict.fromkeys(metrics)) or usual(reference)
    meters = {name: METRICS[name](film, _reference(reference, film)) for name in names}
    silent: dict[str, InputError] = {}
    for stretch in stretches(film.frames, film.fps):
        for name in [name for name in meters if name not in silent]:
            with _heard(name, silent, metrics):
                meters[name].see(stretch)
        for watcher in watchers:
            watcher.see(stretch)
    scores = {}
    for name in [name for name in meters if name not in silent]:
        with _heard(name, silent, metrics):
            scores[name] = meters[name].score()
    if not scores:
        raise next(iter(silent.values()))
    return Findings(film, scores, {name: str(error) for name, error in silent.items()})


def usual(reference: object) -> list[str]:
    """The metrics told where none is named."""
    return [*USUAL, *(["frechet", "fvd"] if reference is not None else [])]


@contextlib.contextmanager
def _heard(name: str, silent: dict[str, InputError], asked: Collection[str]) -> Iterator[None]:
    """What a metric that nobody asked for cannot tell is noted; of one asked for, it is an error."""
    try:
        yield
    except InputError as error:
        if name in asked:
            raise
        silent[name] = error


def _listed(films: Source | Sequence[Source]) -> list[Any]:
    many: Any = [films] if isinstance(films, (str, os.PathLike, Tensor, Film)) else films
    listed = list(many) if isinstance(many, (list, tuple)) else [many]
    if not listed:
        raise InputError("no films", "score", "a video file")
    return listed


def _reference(reference: Source | None, film: Film) -> Film | None:
    if reference is None or (isinstance(reference, str) and reference == WORLD):
        return None
    return film_of(reference, film.fps)


def film_of(source: Source, fps: float = 10.0) -> Film:
    """A film of whatever stands for one."""
    if isinstance(source, Film):
        return source
    if isinstance(source, Tensor):
        return Film(source, fps)
    if isinstance(source, (str, os.PathLike)):
        return _opened(Path(source))
    job, name = getattr(source, "job", None), type(source).__name__.lower()
    if job is None:
        return Film(source, float(source.fps), name)
    return Film(source, float(source.fps), name, step_borders(job), tuple(job.cuts))


def told(shots: Sequence[Any], fps: float) -> tuple[Told, ...]:
    """A storyboard's shots (prompt, seconds, cut) as a film of this rate should show them."""
    found, begin = [], 0.0
    for shot in shots:
        found.append(Told(round(begin * fps), shot.prompt, shot.cut))
        begin += shot.seconds
    return tuple(found)


def _opened(path: Path) -> Film:
    """A video file. The video shelf is found by name, for shelves do not import each other."""
    video = importlib.import_module("longtake.video")
    info = video.probe(path)
    return Film(video.read_frames(path), float(info.fps), path.name)


def step_borders(job: Any) -> tuple[int, ...]:
    """Film frames at which neighbouring frames of one take come from different steps of a job's plan."""
    writer = {i: n for n, step in enumerate(job.plans[-1].steps) for i in step.targets}
    borders = []
    for take in job.takes:
        for index in range(take.start + 1, take.start + take.length):
            frame = job.first_frame(take, index)
            apart = writer.get(index, -1) != writer.get(index - 1, -1)
            if apart and take.first < frame < take.first + take.frames:
                borders.append(frame)
    return tuple(borders)
