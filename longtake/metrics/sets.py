"""Sets of videos against sets of videos, by the protocols of the literature, one clip of each in memory."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longtake.errors import InputError
from longtake.keys import file_fingerprint
from longtake.metrics.cached import kept
from longtake.metrics.clips import distance
from longtake.metrics.distances import frechet
from longtake.metrics.extractors import Extractor, find_extractor, short_of
from longtake.metrics.moments import Moments
from longtake.metrics.protocols import BY_POSITION, ONE_CLIP, SHORT_SIDE, Protocol, find_protocol
from longtake.metrics.scores import Score
from longtake.metrics.sources import Video, videos_of

_STATISTICS = ("frechet", "kernel-poly3")
_BATCH = 8  # clips looked at together

Places = Iterable[str | os.PathLike[str]]


def score_sets(
    videos: Places, reference: Places, protocol: str, *, features: str = "", seed: int = 0
) -> Score:
    """How far a set of videos is from another, by a protocol's title, "tfvd-set" say.

    videos, reference: files, folders of pictures, folders of videos, and shards (.tar). Of each video
    one clip is taken, where `seed` says, or frames at every position; where a set has more videos
    than the protocol wants, so many are drawn. For Frechet distances memory does not grow with
    the set, and what was seen of a set is kept (`cached`). InputError for sets too small for the
    protocol, and for other features than it names.
    """
    wanted = find_protocol(protocol)
    if wanted.statistic not in _STATISTICS or wanted.clips not in (ONE_CLIP, BY_POSITION):
        what = f"{protocol} is not of one clip a video ({wanted.clips})"
        raise InputError(what, "--protocol", "tfvd-set, or fvd2048_16f")
    spec = features or short_of(wanted.features)
    extractor = find_extractor(spec)
    if extractor.name != wanted.features:
        what = f"{protocol} looks through {wanted.features}, not {extractor.name}"
        raise InputError(what, "--features", f"--features {short_of(wanted.features)}")
    sides = [
        _drawn(videos_of(places), number, side, wanted, seed + place)
        for place, (places, number, side) in enumerate(
            ((videos, wanted.samples, "samples"), (reference, wanted.real, "reference"))
        )
    ]
    if wanted.statistic == "kernel-poly3":  # needs all rows
        rows = [
            torch.cat(list(features_of(side, extractor, wanted, seed + place)))
            for place, side in enumerate(sides)
        ]
        return distance(rows[0], rows[1], wanted)
    seen = moments_of if wanted.clips == ONE_CLIP else moments_by_position
    weights = file_fingerprint(Path(spec.partition("=")[2])) if _is_file(spec) else ""
    known = []
    for place, side in enumerate(sides):
        parts: list[Any] = [wanted.name, weights, seed + place, [v.digest() for v in side]]
        known.append(kept(parts, lambda: seen(side, extractor, wanted, seed + place)))  # noqa: B023
    return (_whole if wanted.clips == ONE_CLIP else _by_position)(*known, wanted)


def _is_file(spec: str) -> bool:
    return os.path.isfile(spec.partition("=")[2])


def _whole(samples: list[Moments], real: list[Moments], protocol: Protocol) -> Score:
    """Of the even and the odd videos of both sides; `floor` is between the reference's own halves."""
    floor = frechet(*real) if min(half.count for half in real) > 1 else None
    found = distance(_joined(samples), _joined(real), protocol)
    return found if floor is None else found.with_detail(floor=floor)


def _joined(halves: list[Moments]) -> Moments:
    whole = Moments(halves[0].width)
    for half in halves:
        whole.merge(half)
    return whole


def _by_position(samples: list[Moments], real: list[Moments], protocol: Protocol) -> Score:
    """The mean of the distances at each position (Avg-FID of NUWA-XL), as far as both sides reach."""
    course = [frechet(*pair) for pair in zip(samples, real, strict=False)]
    name = protocol.of(samples[0].count, real[0].count).name
    detail = {
        "videos": samples[0].count,
        "reference_videos": real[0].count,
        "positions": [n * protocol.stride for n in range(len(course))],
        "distances": [round(value, 5) for value in course],
    }
    return Score(sum(course) / len(course), name, "low", detail=detail)


def moments_of(
    videos: Sequence[Video], extractor: Extractor, protocol: Protocol, seed: int
) -> list[Moments]:
    """Of one random clip of each video: those of even and of odd videos."""
    halves, first = [Moments(extractor.width) for _ in range(2)], 0
    for rows in features_of(videos, extractor, protocol, seed):
        halves[first % 2].add(rows[::2])
        halves[1 - first % 2].add(rows[1::2])
        first += len(rows)
    return halves


def moments_by_position(
    videos: Sequence[Video], extractor: Extractor, protocol: Protocol, seed: int
) -> list[Moments]:
    """Of frame 0, stride, twice that and so on, at most `frames` of them; as far as every video reaches."""
    found: list[Moments] = []
    shortest = protocol.frames
    for each in videos:
        rows = _positions(each, extractor, protocol, shortest)
        shortest = len(rows)
        found += [Moments(extractor.width) for _ in range(shortest - len(found))]
        for moments, row in zip(found, rows, strict=False):
            moments.add(row[None])
    return found[:shortest]


def _positions(video: Video, extractor: Extractor, protocol: Protocol, most: int) -> Tensor:
    """Features (p, d) of a video's frames at the protocol's positions."""
    reading = importlib.import_module("longtake.video")  # shelves do not import each other
    with video.opened() as place:
        stride = protocol.stride
        frames = list(islice(reading.read_frames(place), 0, (most - 1) * stride + 1, stride))
    clips = extractor.prepare(_cropped(torch.stack(frames), protocol))[:, None]
    return torch.cat([extractor.features(part).float().cpu() for part in clips.split(_BATCH)])


def features_of(
    videos: Sequence[Video], extractor: Extractor, protocol: Protocol, seed: int
) -> Iterator[Tensor]:
    """Features of one random clip of each video, some rows (n, d) at a time.

    InputError names a video that is too short.
    """
    dice = torch.Generator().manual_seed(seed)
    for begin in range(0, len(videos), _BATCH):
        clips = [_clip(video, protocol, dice) for video in videos[begin : begin + _BATCH]]
        seen = [extractor.prepare(clip) for clip in clips]
        alike = len({clip.shape for clip in seen}) == 1
        groups = [torch.stack(seen)] if alike else [clip[None] for clip in seen]
        yield torch.cat([extractor.features(group).float().cpu() for group in groups])


def _clip(video: Video, protocol: Protocol, dice: torch.Generator) -> Tensor:
    """(frames, 3, h, w) uint8."""
    with video.opened() as place:
        return _cut(place, video.name, protocol, dice)


def _cut(place: Path, name: str, protocol: Protocol, dice: torch.Generator) -> Tensor:
    video = importlib.import_module("longtake.video")
    info = video.probe(place)
    count = info.frames or int(info.seconds * info.fps)
    span = (protocol.frames - 1) * protocol.stride + 1
    if count < span:
        raise InputError(f"{count} frames", name, f"{span} frames or more")
    first = int(torch.randint(count - span + 1, (1,), generator=dice))
    frames = list(islice(video.read_frames(place), first, first + span, protocol.stride))
    if len(frames) < protocol.frames:
        raise InputError(f"{count} frames claimed, fewer there", name, "a whole copy")
    return _cropped(torch.stack(frames), protocol)


def _cropped(clip: Tensor, protocol: Protocol) -> Tensor:
    if protocol.crop != SHORT_SIDE:
        return clip
    height, width = clip.shape[-2:]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    return clip[..., top : top + short, left : left + short]


def _drawn(
    places: list[Video], wanted: int, side: str, protocol: Protocol, seed: int
) -> list[Video]:
    """As many as the protocol wants, in order; all where it leaves that open."""
    if len(places) < max(wanted, 2):
        what = f"{len(places)} videos of the {side}, and {protocol.title} wants {max(wanted, 2)}"
        raise InputError(what, "--protocol", "more videos, or --protocol tfvd-set")
    if not wanted:
        return places
    dice = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(places), generator=dice)[:wanted].sort().values
    return [places[n] for n in chosen.tolist()]
