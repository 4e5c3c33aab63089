"""Films held against their storyboard: shot changes, one look within a shot, what each prompt asks for."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from longtake.errors import InputError, nearest
from longtake.metrics.extractors import Extractor
from longtake.metrics.film import Stretch
from longtake.metrics.overlength import AROUND, jumps_against_neighbours
from longtake.metrics.probe import PASSAGE, SPAN, Cutter, Probe, default_probe
from longtake.metrics.scores import Score

NEAR = 0.5  # seconds by which a change may be off and still count
CHANGE = 4.0  # times the jumps around it that make a jump a change of shot
_RATE = 1.0  # pictures a second that CLIP is asked about


@dataclasses.dataclass(frozen=True)
class Told:
    """A shot as it was asked for: from frame `first` on. cut: it begins with a hard cut."""

    first: int
    prompt: str
    cut: bool = True


class ShotChanges:
    """How well a film cuts where its storyboard does: F1 of hard cuts within half a second.

    A change is a jump over four times the median of the eight on either side; without such
    neighbours, in a film under a second, say, nothing is one. Each wanted cut takes the nearest
    found one that is free, nearest pairs first.
    """

    def __init__(self, shots: Sequence[Told]) -> None:
        self.wanted = tuple(shot.first for shot in shots if shot.cut and shot.first > 0)
        self._ratios = jumps_against_neighbours()
        self._found: list[int] = []
        self._fps, self._frames = 1.0, 0

    def see(self, stretch: Stretch) -> None:
        self._fps, self._frames = stretch.fps, stretch.first + len(stretch.frames)
        for frame, jump in zip(stretch.jumped, stretch.jumps.tolist(), strict=True):
            self._note(self._ratios.add(frame, jump))

    def _note(self, ratios: Iterable[tuple[int, float]]) -> None:
        self._found += [frame for frame, ratio in ratios if ratio > CHANGE]

    def score(self) -> Score:
        if self._frames <= AROUND:
            raise InputError(f"a film of {self._frames} frames", "shot-changes", f"{AROUND + 1}")
        self._note(self._ratios.rest())
        pairs = _matched(self.wanted, self._found, NEAR * self._fps)
        hits = len(pairs)
        both = len(self.wanted) + len(self._found)
        value = 2 * hits / both if both else 1.0
        off = [abs(a - b) / self._fps for a, b in pairs]
        taken = ({a for a, _ in pairs}, {b for _, b in pairs})
        detail = {
            "wanted": len(self.wanted),
            "found": len(self._found),
            "seconds_off": sum(off) / hits if hits else 0.0,
            "missed": [f / self._fps for f in self.wanted if f not in taken[0]],
            "extra": [f / self._fps for f in self._found if f not in taken[1]],
        }
        return Score(value, "shot-changes-f1-v1", "high", detail=detail)


def _matched(wanted: Sequence[int], found: Sequence[int], near: float) -> list[tuple[int, int]]:
    pairs = sorted((abs(a - b), a, b) for a in wanted for b in found if abs(a - b) <= near)
    left, right, kept = set(wanted), set(found), []
    for _, a, b in pairs:
        if a in left and b in right:
            left.remove(a)
            right.remove(b)
            kept.append((a, b))
    return kept


class Consistency:
    """How alike the features within a shot stay: the mean cosine over all pairs of its clips.

    With any extractor; of identity as far as its features know identity. Features are taken less the
    film's mean, for those of a network all point one way: 1 for shots of one look each, about 0
    where shots differ within as much as between. It takes two shots. Memory: a row a second.
    """

    def __init__(self, shots: Sequence[Told], extractor: Extractor) -> None:
        self.extractor = extractor
        self._firsts = sorted({0, *(shot.first for shot in shots)})
        self._frames: list[Tensor] = []
        self._rows: list[tuple[int, Tensor]] = []
        self._next = 0

    def see(self, stretch: Stretch) -> None:
        every = max(self.extractor.frames, round(stretch.fps))
        for place, frame in enumerate(self.extractor.prepare(stretch.frames)):
            number = stretch.first + place
            if number in self._firsts:  # clips never reach across
                self._next, self._frames = number, []
            if number >= self._next:
                self._frames.append(frame)
            if len(self._frames) == self.extractor.frames:
                row = self.extractor.features(torch.stack(self._frames)[None])[0]
                self._rows.append((number - self.extractor.frames + 1, row.float().cpu()))
                self._next, self._frames = self._next + every, []

    def score(self) -> Score:
        shots: dict[int, list[Tensor]] = {}
        for start, row in self._rows:
            shots.setdefault(max(f for f in self._firsts if f <= start), []).append(row)
        known = [torch.stack(rows).double() for rows in shots.values() if len(rows) > 1]
        if len(known) < 2:
            what = f"{len(known)} shots of two clips or more"
            raise InputError(what, "consistency", "a storyboard of two shots of some seconds")
        mean = torch.cat(known).mean(0)
        units = [torch.nn.functional.normalize(rows - mean, dim=1) for rows in known]
        within = [_pairwise(rows) for rows in units]
        centres = torch.stack([rows.mean(0) for rows in units])
        across = (centres.sum(0).square().sum() - centres.square().sum()) / (
            len(units) * (len(units) - 1)
        )
        detail = {"shots": [round(value, 5) for value in within], "across": float(across)}
        name = f"shot-consistency[{self.extractor.name}/{self.extractor.frames}f]-v1"
        return Score(sum(within) / len(within), name, "high", detail=detail)


def _pairwise(units: Tensor) -> float:
    """The mean cosine of different rows of length 1, or 0."""
    count = len(units)
    total = units.sum(0).square().sum() - units.square().sum()
    return float(total) / (count * (count - 1))


class PromptFit:
    """As CLIPSIM, per shot: the mean cosine of a picture a second with its shot's prompt, over all pictures.

    fit: cosines (t,) of frames (t, 3, h, w) in 0..255 with words.
    """

    def __init__(
        self, shots: Sequence[Told], fit: Callable[[Tensor, str], Tensor], protocol: str
    ) -> None:
        self.shots, self._fit, self._protocol = _some(shots), fit, protocol
        self._sums = [[0.0, 0.0] for _ in self.shots]

    def see(self, stretch: Stretch) -> None:
        every = max(1, round(stretch.fps / _RATE))
        for place, frame in enumerate(stretch.frames):
            number = stretch.first + place
            if number % every == 0:
                shot = _place(self.shots, number)
                cosine = float(self._fit(frame[None], self.shots[shot].prompt)[0])
                self._sums[shot][0] += cosine
                self._sums[shot][1] += 1

    def score(self) -> Score:
        seen = [(total, count) for total, count in self._sums if count]
        if not seen:
            raise InputError("no pictures of any shot", "clipsim", "a longer film")
        value = sum(total for total, _ in seen) / sum(count for _, count in seen)
        detail = {"shots": [round(total / count, 5) for total, count in seen]}
        return Score(value, self._protocol, "high", detail=detail)


class PromptAgreement:
    """The share of the skies a storyboard asks for that the probe sees: windows and attributes alike.

    understood: the classes a prompt asks for, by attribute. What a prompt leaves open is not judged,
    nor are windows around a change.
    """

    def __init__(
        self,
        shots: Sequence[Told],
        understood: Callable[[str], Mapping[str, str]],
        probe: Probe | None = None,
    ) -> None:
        self.shots, self.probe = _some(shots), probe or default_probe()
        self._asked = [dict(understood(shot.prompt)) for shot in self.shots]
        for name, value in (pair for asked in self._asked for pair in asked.items()):
            if value not in self.probe.classes.get(name, (value,)):
                hint = nearest(value, self.probe.classes[name])
                raise InputError(f"unknown {name} '{value}'", "agreement", hint)
        self._cutter = Cutter(SPAN)
        self._hits = [[0, 0] for _ in self.shots]
        self._fps = 1.0

    def see(self, stretch: Stretch) -> None:
        self._fps = stretch.fps
        self._weigh(self._cutter.see(stretch))

    def _weigh(self, windows: Sequence[tuple[float, Tensor]]) -> None:
        margin = (SPAN + PASSAGE) / 2
        for look in self.probe.look(windows):
            changes = (shot.first / self._fps for shot in self.shots if shot.first)
            if any(abs(look.at - change) < margin for change in changes):
                continue
            shot = _place(self.shots, round(look.at * self._fps))
            for name, wanted in self._asked[shot].items():
                if name in look.shares:
                    seen = self.probe.classes[name][int(look.shares[name].argmax())]
                    self._hits[shot][0] += seen == wanted
                    self._hits[shot][1] += 1

    def score(self) -> Score:
        self._weigh(self._cutter.rest())
        hits, judged = (sum(pair[n] for pair in self._hits) for n in (0, 1))
        if not judged:
            what = "no prompt that the probe could judge"
            raise InputError(what, "agreement", "prompts about a sky, or --metric clipsim")
        shots = [right / seen if seen else None for right, seen in self._hits]
        detail = {"judged": judged, "shots": shots}
        return Score(hits / judged, "sky-agreement-v1", "high", detail=detail)


def sky_words() -> Callable[[str], dict[str, str]]:
    """What the built-in reader of prompts finds in one."""
    # The prompts shelf is found by name, for shelves do not import each other.
    encoder: Any = importlib.import_module("longtake.prompts.text").WordEncoder()
    return lambda prompt: {name: found for name, (found, _) in encoder.understood(prompt).items()}


def _some(shots: Sequence[Told]) -> tuple[Told, ...]:
    if not shots:
        raise InputError("no prompts to hold the film against", "metrics", "--storyboard FILE.toml")
    return tuple(shots)


def _place(shots: Sequence[Told], frame: int) -> int:
    return max((n for n, shot in enumerate(shots) if shot.first <= frame), default=0)
