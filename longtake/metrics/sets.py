"""Sets of videos against sets of videos, by the protocols of the literature, one clip of each in memory."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from longtake.errors import InputError
from longtake.metrics.clips import distance
from longtake.metrics.extractors import Extractor, find_extractor, short_of
from longtake.metrics.protocols import ONE_CLIP, SHORT_SIDE, Protocol, find_protocol
from longtake.metrics.scores import Score

_STATISTICS = ("frechet", "kernel-poly3")
_BATCH = 8  # clips looked at together


def score_sets(
    videos: Iterable[str | os.PathLike[str]],
    reference: Iterable[str | os.PathLike[str]],
    protocol: str,
    *,
    features: str = "",
    seed: int = 0,
) -> Score:
    """How far a set of videos is from another, by a protocol's title, "tfvd-set" say.

    videos, reference: files, folders of pictures, and folders of videos. Of each video one clip is
    taken, where `seed` says; where a set has more videos than the protocol wants, so many are drawn.
    InputError for sets too small for the protocol, and for other features than it names.
    """
    wanted = find_protocol(protocol)
    if wanted.statistic not in _STATISTICS or wanted.clips != ONE_CLIP:
        what = f"{protocol} is not of one clip a video ({wanted.clips})"
        raise InputError(what, "--protocol", "tfvd-set, or fvd2048_16f")
    extractor = find_extractor(features or short_of(wanted.features))
    if extractor.name != wanted.features:
        what = f"{protocol} looks through {wanted.features}, not {extractor.name}"
        raise InputError(what, "--features", f"--features {short_of(wanted.features)}")
    samples = _drawn(_files(videos), wanted.samples, "samples", wanted, seed)
    real = _drawn(_files(reference), wanted.real, "reference", wanted, seed + 1)
    rows = features_of(samples, extractor, wanted, seed)
    return distance(rows, features_of(real, extractor, wanted, seed + 1), wanted)


def features_of(
    videos: Sequence[Path], extractor: Extractor, protocol: Protocol, seed: int
) -> Tensor:
    """Features of one random clip of each video (n, d); InputError names a video that is too short."""
    dice = torch.Generator().manual_seed(seed)
    rows = []
    for begin in range(0, len(videos), _BATCH):
        clips = [_clip(place, protocol, dice) for place in videos[begin : begin + _BATCH]]
        seen = [extractor.prepare(clip) for clip in clips]
        alike = len({clip.shape for clip in seen}) == 1
        groups = [torch.stack(seen)] if alike else [clip[None] for clip in seen]
        rows += [extractor.features(group).float().cpu() for group in groups]
    return torch.cat(rows)


def _clip(place: Path, protocol: Protocol, dice: torch.Generator) -> Tensor:
    """(frames, 3, h, w) uint8."""
    video = importlib.import_module("longtake.video")  # shelves do not import each other
    info = video.probe(place)
    count = info.frames or int(info.seconds * info.fps)
    span = (protocol.frames - 1) * protocol.stride + 1
    if count < span:
        raise InputError(f"{count} frames", str(place), f"{span} frames or more")
    first = int(torch.randint(count - span + 1, (1,), generator=dice))
    frames = list(islice(video.read_frames(place), first, first + span, protocol.stride))
    if len(frames) < protocol.frames:
        raise InputError(f"{count} frames claimed, fewer there", str(place), "a whole copy")
    clip = torch.stack(frames)
    if protocol.crop != SHORT_SIDE:
        return clip
    height, width = clip.shape[-2:]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    return clip[..., top : top + short, left : left + short]


def _files(places: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Videos in the order of their names; a folder of pictures is one video."""
    files = importlib.import_module("longtake.video.files")
    found: list[Path] = []
    for place in map(Path, places):
        if not place.is_dir() or files.frame_files(place):
            found.append(place)
            continue
        inside = [
            each
            for each in sorted(place.iterdir())
            if each.suffix.lower() in files.VIDEO_SUFFIXES
            or each.is_dir()
            and files.frame_files(each)
        ]
        if not inside:
            raise InputError("a folder without videos", str(place), "a folder of .mp4 files")
        found += inside
    return found


def _drawn(places: list[Path], wanted: int, side: str, protocol: Protocol, seed: int) -> list[Path]:
    """As many as the protocol wants, in order; all where it leaves that open."""
    if len(places) < max(wanted, 2):
        what = f"{len(places)} videos of the {side}, and {protocol.title} wants {max(wanted, 2)}"
        raise InputError(what, "--protocol", "more videos, or --protocol tfvd-set")
    if not wanted:
        return places
    dice = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(places), generator=dice)[:wanted].sort().values
    return [places[n] for n in chosen.tolist()]
