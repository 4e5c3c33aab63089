"""Metrics by name, and the one pass over a film that answers for several of them."""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from longtake.errors import InputError, nearest
from longtake.metrics.fidelity import Beside
from longtake.metrics.film import Frames, Meter, measure
from longtake.metrics.moments import Moments
from longtake.metrics.overlength import Drift, Flicker, Frozen, Joins, Motion, Seams
from longtake.metrics.probe import Distance, Reading, default_probe
from longtake.metrics.repeating import Repetition
from longtake.metrics.scores import Score

WORLD = "sky"  # the reference that stands for the world at large


@dataclasses.dataclass(frozen=True)
class Film:
    """Frames to be looked at, once.

    borders: frames at which a piece made by itself begins, where known; cuts: where a take begins.
    """

    frames: Frames
    fps: float
    name: str = "film"
    borders: Collection[int] = ()
    cuts: Collection[int] = ()


class Filmed(Protocol):
    """Anything that yields frames at a rate: a Take, say."""

    @property
    def fps(self) -> Any: ...

    def __iter__(self) -> Iterator[Tensor]: ...


Source = Film | Filmed | Tensor | str | os.PathLike[str]
Make = Callable[[Film, "Film | None"], Meter]


def _seams(film: Film, reference: Film | None) -> Meter:
    return Joins(film.borders, film.cuts) if film.borders else Seams(film.cuts)


def _distance(film: Film, reference: Film | None) -> Meter:
    return Distance(_moments(reference) if reference is not None else None)


def _moments(reference: Film) -> Moments:
    return default_probe().moments(reference.frames, reference.fps)


def _beside(kind: str) -> Make:
    def make(film: Film, reference: Film | None) -> Meter:
        if reference is None:
            raise InputError(f"{kind} needs a film to compare with", "--reference", "a video file")
        return Beside(kind, reference.frames, reference.fps)

    return make


METRICS: Mapping[str, Make] = {
    "drift": lambda film, _: Drift(),
    "seams": _seams,
    "repetition": lambda film, _: Repetition(),
    "motion": lambda film, _: Motion(),
    "frozen": lambda film, _: Frozen(),
    "flicker": lambda film, _: Flicker(),
    "probe": lambda film, _: Reading(),
    "frechet": _distance,
    "fvd": _distance,  # the usual name of a Frechet distance of videos; the protocol names the features
    "psnr": _beside("psnr"),
    "ssim": _beside("ssim"),
}
USUAL = ("drift", "seams", "repetition", "motion", "frozen", "flicker", "probe")


def score(
    films: Source | Sequence[Source],
    *,
    reference: Source | None = None,
    metrics: Sequence[str] = (),
    fps: float = 10.0,
) -> dict[str, Score]:
    """Scores by metric name, from one pass over each film; of several films by `NAME:metric`.

    films: video files, Takes, tensors (t, 3, h, w) uint8 at `fps`, or Films. reference: "sky" for
    the world at large, or a film. Without `metrics`: all that need no reference, and with one
    "frechet" too.
    """
    many = [films] if isinstance(films, (str, os.PathLike, Tensor, Film)) else films
    listed: list[Any] = list(many) if isinstance(many, (list, tuple)) else [many]
    names = list(metrics) or [*USUAL, *(["frechet"] if reference is not None else [])]
    for name in names:
        if name not in METRICS:
            raise InputError(f"unknown metric '{name}'", "metrics", nearest(name, METRICS))
    found: dict[str, Score] = {}
    for place, source in enumerate(listed, 1):
        film = film_of(source, fps)
        meters = [METRICS[name](film, _reference(reference, film)) for name in names]
        head = f"{film.name}:" if len(listed) > 1 else ""
        if any(name.startswith(head) for name in found):
            head = f"{film.name}#{place}:"
        scores = measure(film.frames, film.fps, meters)
        found |= {head + name: each for name, each in zip(names, scores, strict=True)}
    return found


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
