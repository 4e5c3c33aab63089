"""`score --study`: a page on which people choose between two sets of films, and what they chose."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.errors import InputError
from longtake.metrics.preference import AGAIN, CHECK, FORMAT, Sheet, read_sheet

if TYPE_CHECKING:
    from longtake.metrics.scores import Score

SECONDS = 20.0  # of a film that are shown
SIDE = 512  # pixels of its longer side at most
_CHECKS, _REPEATS = 2, 2  # of a study, as far as it has pairs
_BLOCK = 24  # pixels of a spoiled film's squares at least
_LARGEST = 400 << 20  # bytes of a page


def page_of(first: str, second: str, title: str) -> str:
    """The whole page: films of two sets in pairs of one name (or two single files), and checks."""
    pairs = _pairs(first, second)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "shown.mp4"
        films, trials, size = [], [], 0
        for name, sides in pairs:
            trials.append({"pair": name, "films": [len(films), len(films) + 1]})
            films += [_clip(side, place) for side in sides]
            size += sum(map(len, films[-2:]))
            if size > _LARGEST:
                what = f"more than {_LARGEST >> 20} MiB of films"
                raise InputError(what, "--study", "fewer or shorter films")
        for number, (_, sides) in enumerate(pairs[:_CHECKS]):
            trials.append({"pair": f"{CHECK}{number}", "films": [2 * number, len(films)]})
            films.append(_clip(sides[0], place, spoiled=True))
    again = [{**trial, "pair": AGAIN + str(trial["pair"])} for trial in trials[:_REPEATS]]
    if len(pairs) > _REPEATS:
        trials += again
    study = {"format": FORMAT, "study": study_of(first, second), "trials": trials, "title": title}
    data = [base64.b64encode(film).decode() for film in films]
    template = importlib.resources.files("longtake.cli").joinpath("study.html")
    text = template.read_text(encoding="utf-8")
    told = json.dumps({**study, "data": data}).replace("<", "\\u003c")
    return text.replace("/*STUDY*/null", told)


def answers_of(files: Sequence[str], first: str, second: str) -> Score:
    """What people chose of the two sets' study."""
    from longtake.metrics.preference import preference

    sheets: list[Sheet] = [read_sheet(file) for file in files]
    wanted = study_of(first, second)
    for file, sheet in zip(files, sheets, strict=True):
        if sheet.study != wanted:
            what = "answers to a study of other films, or of the two in another order"
            raise InputError(what, file, "the films in the order of --study")
    return preference(sheets)


def study_of(first: str, second: str) -> str:
    """A study's name: a digest of its films' bytes in order."""
    digest = hashlib.sha256()
    for name, sides in _pairs(first, second):
        digest.update(name.encode())
        for side in sides:
            with side.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _pairs(first: str, second: str) -> list[tuple[str, tuple[Path, Path]]]:
    """Names without what would tell whose films they are."""
    places = [Path(first), Path(second)]
    if not any(place.is_dir() for place in places):
        for place in places:
            if not place.is_file():
                raise InputError("no such file", str(place), "a video, or a folder of videos")
        return [("0", (places[0], places[1]))]
    sets = [dict(_films(place)) for place in places]
    shared = sorted(set(sets[0]) & set(sets[1]))
    lost = sorted(set(sets[0]) ^ set(sets[1]))
    if not shared or lost:
        what = f"'{lost[0]}' is in one of the two folders" if lost else "no films in the folders"
        raise InputError(what, "--study", "two folders of films of the same names")
    return [(str(n), (sets[0][name], sets[1][name])) for n, name in enumerate(shared)]


def _films(place: Path) -> Iterator[tuple[str, Path]]:
    from longtake.video import VIDEO_SUFFIXES

    if not place.is_dir():
        raise InputError("a file beside a folder", str(place), "two folders, or two files")
    for file in place.iterdir():
        if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file():
            yield file.stem, file


def _clip(film: Path, place: Path, *, spoiled: bool = False) -> bytes:
    """The film's first seconds as a small MP4; spoiled, in large squares that do not move."""
    from fractions import Fraction

    import torch
    from torch.nn.functional import interpolate

    from longtake.video import VideoWriter, probe, read_frames

    info = probe(film)
    scale = min(1.0, SIDE / max(info.width, info.height))
    width, height = (max(16, round(side * scale / 2) * 2) for side in (info.width, info.height))
    rate = min(Fraction(info.fps).limit_denominator(1001), Fraction(30))
    frames = read_frames(film, fps=rate, size=(width, height), seconds=SECONDS)
    if spoiled:
        still = next(frames)[None].float()
        squares = (max(1, height // _BLOCK), max(1, width // _BLOCK))
        coarse = interpolate(interpolate(still, squares, mode="area"), (height, width))
        count = max(2, min(int(SECONDS * rate), int(info.seconds * rate)))
        frames = iter(coarse.round().byte().expand(count, -1, -1, -1))
    with VideoWriter(place, size=(width, height), fps=rate) as writer:
        while chunk := list(islice(frames, 16)):
            writer.write(torch.stack(chunk))
    return place.read_bytes()
