"""The sky probe: reads from a film what the sky world's attributes are, window by window.

Protocol "sky-probe-v1": 8 frames 0.2 s apart, the middle square at 64x64; a small network trained
on the world's own truth (`tools/train_probe.py`), with blur, noise and compression, so that it
reads generated films too. Its penultimate layer gives the features of "frechet-probe-v1".
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from longtake.errors import InputError, nearest
from longtake.metrics.distances import frechet
from longtake.metrics.film import Frames, Stretch, stretches
from longtake.metrics.moments import Moments
from longtake.metrics.net import FRAMES, SPACING, WIDTH, ProbeNet, shrink
from longtake.metrics.scores import Score

WEIGHTS = Path(__file__).parent.parent / "weights" / "probe.safetensors"
PROTOCOL = "sky-probe-v1"
FRECHET_PROTOCOL = "frechet-probe-v1"
SPAN = (FRAMES - 1) * SPACING  # seconds from a window's first frame to its last
PASSAGE = 1.5  # seconds a change of the world takes: nearer than half of it nothing is certain
_DAY = {"dawn": ("dawn",), "day": ("morning", "noon", "afternoon"), "dusk": ("dusk",)}
PHASES: Mapping[str, tuple[str, ...]] = {**_DAY, "night": ("night",)}


@dataclasses.dataclass(frozen=True)
class Look:
    """What the probe saw around `at` seconds: shares by attribute (classes), and features (64)."""

    at: float
    shares: Mapping[str, Tensor]
    features: Tensor


class Probe:
    """Reads attributes of the sky world; "phase" is the time of day in four classes.

    attributes: classes by name, in the order of control vectors.
    """

    def __init__(self, weights: str | os.PathLike[str] = WEIGHTS) -> None:
        tensors, notes = _read(Path(weights))
        self.attributes: dict[str, tuple[str, ...]] = {
            name: tuple(classes) for name, classes in json.loads(notes["attributes"]).items()
        }
        reference = {k[6:]: v for k, v in tensors.items() if k.startswith("world.")}
        self.world = Moments.of_tensors(reference)  # features of the world at large
        net = {k: v.float() for k, v in tensors.items() if not k.startswith("world.")}
        self.net = ProbeNet(sum(map(len, self.attributes.values())))
        self.net.load_state_dict(net)
        self.net.eval().requires_grad_(False)

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """All that can be read: the attributes and "phase"."""
        return {"phase": tuple(PHASES), **self.attributes}

    def looks(self, frames: Frames, fps: float, hop: float = SPACING) -> Iterator[Look]:
        """A look every `hop` seconds, in constant memory; a film shorter than a window gives one.

        Raises InputError under 5 frames/s or under 3 frames: the wind needs motion.
        """
        cutter = Cutter(hop)
        for stretch in stretches(frames, fps):
            yield from self.look(cutter.see(stretch))
        yield from self.look(cutter.rest())

    def look(self, windows: Sequence[tuple[float, Tensor]]) -> list[Look]:
        """What windows show, (middle in seconds, (8, 3, 64, 64) in 0..1) each."""
        if not windows:
            return []
        features, shares = self.see(torch.stack([window for _, window in windows]))
        return [
            Look(at, {name: share[row] for name, share in shares.items()}, features[row])
            for row, (at, _) in enumerate(windows)
        ]

    def read(
        self, frames: Frames, fps: float, hop: float = SPAN
    ) -> dict[str, list[tuple[str, float]]]:
        """Per attribute the most likely class and its probability, one a window."""
        found: dict[str, list[tuple[str, float]]] = {name: [] for name in self.classes}
        for look in self.looks(frames, fps, hop):
            for name, classes in self.classes.items():
                share, place = look.shares[name].max(0)
                found[name].append((classes[int(place)], float(share)))
        return found

    def features(
        self, frames: Frames, fps: float, hop: float = 0.5
    ) -> Iterator[tuple[float, Tensor]]:
        """(seconds, (64,)) every `hop` seconds: for Frechet distances."""
        return ((look.at, look.features) for look in self.looks(frames, fps, hop))

    def moments(self, frames: Frames, fps: float, hop: float = 0.5) -> Moments:
        """The moments of a film's features."""
        moments = Moments(WIDTH)
        for _, features in self.features(frames, fps, hop):
            moments.add(features[None])
        return moments

    def agreement(
        self, frames: Frames, fps: float, wanted: Any, hop: float = SPAN
    ) -> dict[str, float]:
        """Per attribute, the share of windows whose class is the wanted one; also "phase".

        wanted: a state (an object or mapping with attributes by name; those it lacks are not
        judged), a script (changes with `at` and `moment`), or controls, (t, classes), a row a
        frame. Windows in a passage from one state to the next are not judged.
        """
        script = _Wanted(wanted, fps, self.attributes)
        hits = {name: [0, 0] for name in self.classes}
        for look in self.looks(frames, fps, hop):
            for name, right in script.at(look.at).items():
                classes = self.classes[name]
                if right not in classes:
                    raise InputError(f"unknown {name} '{right}'", PROTOCOL, nearest(right, classes))
                hits[name][0] += classes[int(look.shares[name].argmax())] == right
                hits[name][1] += 1
        return {name: right / seen for name, (right, seen) in hits.items() if seen}

    def see(self, windows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Features (b, 64), and probabilities by attribute, of windows (b, 8, 3, 64, 64) in 0..1."""
        with torch.inference_mode():
            features, logits = self.net(windows)
        parts = logits.split([len(classes) for classes in self.attributes.values()], 1)
        shares = {name: part.softmax(1) for name, part in zip(self.attributes, parts, strict=True)}
        hours = dict(zip(self.attributes["time"], shares["time"].unbind(1), strict=True))
        phases = [
            sum(hours[hour] for hour in hours_ if hour in hours) for hours_ in PHASES.values()
        ]
        return features, {"phase": torch.stack(phases, 1), **shares}  # type: ignore[arg-type]


class Cutter:
    """Cuts a film into windows of 8 frames, `hop` seconds apart, as it goes by."""

    def __init__(self, hop: float) -> None:
        self.hop, self.fps = hop, 0.0
        self._held: deque[Tensor] = deque()
        self._last = -1  # the newest frame's number
        self._number = 0  # of the next window

    def see(self, stretch: Stretch) -> list[tuple[float, Tensor]]:
        """(middle in seconds, (8, 3, 64, 64) in 0..1) of the windows that are complete now."""
        if stretch.fps * SPACING < 1 - 1e-6:
            raise InputError(f"{stretch.fps:g} frames/s", PROTOCOL, "5 frames/s or more")
        self.fps = stretch.fps
        windows = []
        for frame in shrink(stretch.frames):
            self._held.append(frame)
            self._last += 1
            if len(self._held) > self._length:
                self._held.popleft()
            while self._begin + self._length - 1 <= self._last:
                middle = self._begin / self.fps + SPAN / 2
                if self._begin + self._length - 1 == self._last:
                    windows.append((middle, self._pick(self._length - 1)))
                self._number += 1
        return windows

    def rest(self) -> list[tuple[float, Tensor]]:
        """The one window of a film too short for a whole one, its last frame repeated."""
        if self._number:
            return []
        if self._last < 2:
            raise InputError(f"a film of {self._last + 1} frames", PROTOCOL, "3 frames or more")
        return [(self._last / self.fps / 2, self._pick(self._last))]

    @property
    def _length(self) -> int:
        return round(SPAN * self.fps) + 1

    @property
    def _begin(self) -> int:
        return round(self._number * self.hop * self.fps)

    def _pick(self, last: int) -> Tensor:
        places = [min(round(n * SPACING * self.fps), last) for n in range(FRAMES)]
        return torch.stack([self._held[place] for place in places])


class _Wanted:
    """What a film is asked to show at any time."""

    def __init__(self, wanted: Any, fps: float, attributes: Mapping[str, Sequence[str]]) -> None:
        self.fps, self.attributes = fps, attributes
        self.controls = wanted if isinstance(wanted, Tensor) else None
        self.changes: list[tuple[float, Any]] = []
        if self.controls is not None:
            width = sum(map(len, attributes.values()))
            if wanted.ndim != 2 or wanted.shape[1] != width:
                what = f"controls of shape {tuple(wanted.shape)}"
                raise InputError(what, PROTOCOL, f"(frames, {width})")
        elif isinstance(wanted, (list, tuple)):
            self.changes = [(change.at, change.moment) for change in wanted]
        else:
            self.changes = [(0.0, wanted)]

    def at(self, seconds: float) -> dict[str, str]:
        """Classes by attribute; none in a passage, nor for what nobody asked."""
        if self.controls is not None:
            return self._of_controls(self.controls, seconds)
        margin = (SPAN + PASSAGE) / 2
        if any(at and abs(at - seconds) < margin for at, _ in self.changes):
            return {}
        state = [moment for at, moment in self.changes if at <= seconds][-1]
        found = {}
        for name in ("phase", *self.attributes):
            value = state.get(name) if isinstance(state, Mapping) else getattr(state, name, None)
            if value is not None:
                found[name] = str(value)
        if "time" in found:
            found["phase"] = _phase(found["time"])
        return found

    def _of_controls(self, controls: Tensor, seconds: float) -> dict[str, str]:
        reach = SPAN / 2 * self.fps
        low, high = (round(seconds * self.fps + side * reach) for side in (-1, 1))
        rows = controls[max(low, 0) : high + 1]
        parts = rows.split([len(classes) for classes in self.attributes.values()], 1)  # type: ignore[no-untyped-call]
        found = {}
        for (name, classes), part in zip(self.attributes.items(), parts, strict=True):
            if len(part) and float(part.min(0).values.max()) > 0.99:
                found[name] = classes[int(part[0].argmax())]
        if "time" in found:
            found["phase"] = _phase(found["time"])
        return found


def _phase(hour: str) -> str:
    return next((phase for phase, hours in PHASES.items() if hour in hours), hour)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and notes of a weight file."""
    hint = "tools/train_probe.py, which makes it"
    try:
        with safe_open(path, "pt") as file:
            names, notes = list(file.keys()), file.metadata() or {}
            if "attributes" not in notes:
                raise InputError("not a probe's weights", str(path), hint)
            return {name: file.get_tensor(name) for name in names}, notes
    except FileNotFoundError:
        raise InputError("no weights", str(path), hint) from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"cannot read it: {error}", str(path), hint) from None


@functools.lru_cache(maxsize=1)
def default_probe() -> Probe:
    """The built-in probe, read once."""
    return Probe()


class Reading:
    """As a meter: which sky a film shows, and how sure the probe is of it."""

    def __init__(self, probe: Probe | None = None) -> None:
        self.probe, self._cutter = probe or default_probe(), Cutter(SPAN)
        self._sums: dict[str, Tensor] = {}
        self._count, self._sure = 0, 0.0

    def see(self, stretch: Stretch) -> None:
        self._weigh(self.probe.look(self._cutter.see(stretch)))

    def _weigh(self, looks: Iterable[Look]) -> None:
        for look in looks:
            self._count += 1
            tops = [float(share.max()) for share in look.shares.values()]
            self._sure += sum(tops) / len(tops)
            for name, share in look.shares.items():
                self._sums[name] = self._sums[name] + share if name in self._sums else share

    def score(self) -> Score:
        """The mean probability of the likeliest classes; the detail holds the classes over all."""
        self._weigh(self.probe.look(self._cutter.rest()))
        classes = self.probe.classes
        read = {name: classes[name][int(total.argmax())] for name, total in self._sums.items()}
        return Score(self._sure / self._count, PROTOCOL, "high", detail={"read": read})


class Distance:
    """As a meter: Frechet distance of a film's probe features from a reference.

    reference: the world at large unless given.
    """

    def __init__(self, reference: Moments | None = None, probe: Probe | None = None) -> None:
        self.probe, self._cutter = probe or default_probe(), Cutter(0.5)
        self.reference = reference or self.probe.world
        self._film = Moments(WIDTH)

    def see(self, stretch: Stretch) -> None:
        self._weigh(self.probe.look(self._cutter.see(stretch)))

    def _weigh(self, looks: Iterable[Look]) -> None:
        for look in looks:
            self._film.add(look.features[None])

    def score(self) -> Score:
        self._weigh(self.probe.look(self._cutter.rest()))
        detail = {"windows": self._film.count, "reference_windows": self.reference.count}
        return Score(frechet(self._film, self.reference), FRECHET_PROTOCOL, "low", detail=detail)
