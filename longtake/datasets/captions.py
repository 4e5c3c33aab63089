"""Captions for clips that have none, or better ones: any object with `caption` will do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from torch import Tensor

from longtake.datasets.records import Layout, Record
from longtake.errors import InputError, nearest


class Captioner(Protocol):
    """Says what a stretch of a clip shows. name: who said it, for the record."""

    name: str

    def caption(self, record: Record, span: tuple[int, int], frames: Tensor) -> str:
        """frames: (t, 3, h, w) uint8, those of the stretch, small."""
        ...


class Given:
    """The clip's own first caption, or its label in words."""

    name = "given"

    def caption(self, record: Record, span: tuple[int, int], frames: Tensor) -> str:
        words = record.captions[0] if record.captions else record.label
        # ApplyEyeMakeup and apply_eye_makeup both are "apply eye makeup".
        parted = "".join(f" {c.lower()}" if c.isupper() else c for c in words)
        return words if record.captions else " ".join(parted.replace("_", " ").split())


class Truth:
    """What a world knows of its film: `a.jsonl` beside `a.mp4`, as `data render --truth` writes it."""

    name = "truth"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def caption(self, record: Record, span: tuple[int, int], frames: Tensor) -> str:
        said: list[str] = []
        for line in self._lines(record)[span[0] : span[1]]:
            words = line.get("caption") or _words(line.get("moment"))
            if isinstance(words, str) and words and words not in said[-1:]:
                said.append(words)
        return "; then ".join(said)

    def _lines(self, record: Record) -> list[dict[str, object]]:
        place = (self._layout.root / record.path).with_suffix(".jsonl")
        try:
            return [json.loads(line) for line in Path(place).read_text("utf-8").splitlines()]
        except (OSError, ValueError) as error:
            hint = f"longtake data render ... --truth {place.name}"
            raise InputError(f"no truth of {record.id}: {error}", str(place), hint) from error


class Rules:
    """What can be told from pixels alone: light, main colour, and how much and which way things move."""

    name = "rules"

    def caption(self, record: Record, span: tuple[int, int], frames: Tensor) -> str:
        colour = frames.float().mean((0, 2, 3))
        light = "dark" if colour.mean() < 70 else "bright" if colour.mean() > 170 else "even-lit"
        hue = ("red", "green", "blue")[int(colour.argmax())]
        strong = float(colour.max() - colour.mean()) > 8
        change = (frames[1:].float() - frames[:-1].float()).abs().mean() if len(frames) > 1 else 0.0
        pace = "hardly moves" if change < 1 else "moves fast" if change > 8 else "moves"
        what = f"a {light} {hue}ish scene" if strong else f"a {light} scene"
        return f"{what} that {pace}"


def find_captioner(name: str, layout: Layout) -> Captioner:
    """A captioner by name: given, truth, rules."""
    known: dict[str, Captioner] = {"given": Given(), "truth": Truth(layout), "rules": Rules()}
    if name not in known:
        raise InputError(f"no captioner: {name}", "--captions", nearest(name, known))
    return known[name]


def _words(moment: object) -> str:
    """A sky's state in words."""
    if not isinstance(moment, dict):
        return ""
    told = [
        f"{key.replace('_', ' ')} {value}"
        for key, value in moment.items()
        if isinstance(value, str)
    ]
    return ", ".join(told)
