"""The published systems that the survey cites, and what is known of each here. No torch."""

from __future__ import annotations

import dataclasses
import functools
import tomllib
from pathlib import Path
from typing import Any

from longtake import recipes

_FILE = Path(__file__).with_suffix(".toml")


@dataclasses.dataclass(frozen=True)
class Correction:
    """Where the survey says something else than the paper it cites."""

    key: str
    survey: str
    fact: str


@dataclasses.dataclass(frozen=True)
class Published:
    """A system of the catalogue. recipe: its name here, whether built or not; arxiv: "" where there is none."""

    key: str
    recipe: str
    name: str
    title: str
    authors: str
    venue: str
    year: int
    arxiv: str
    family: str
    paradigm: str
    controls: tuple[str, ...]
    codec: str
    claim: str
    corrections: tuple[str, ...]

    @property
    def paper(self) -> str:
        """Name, venue and year."""
        return f"{self.name}, {self.venue} {self.year}"

    @property
    def link(self) -> str:
        """Where the paper is, or ""."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""

    @property
    def built(self) -> bool:
        """Whether there is a recipe with a proof."""
        return self.recipe in provable()


@functools.cache
def published() -> tuple[Published, ...]:
    """All of them, in the survey's numbering."""
    rows = _read()["system"]
    return tuple(
        Published(
            **{
                **row,
                "controls": tuple(row["controls"]),
                "corrections": tuple(row["corrections"]),
            }
        )
        for row in rows
    )


@functools.cache
def corrections() -> dict[str, Correction]:
    """Everything the survey has wrong, by key."""
    return {row["key"]: Correction(**row) for row in _read()["correction"]}


def find(name: str) -> Published | None:
    """The system of a recipe's name or of a key such as S21; None if there is none."""
    plain = name.replace("-", "_")
    return next((p for p in published() if plain in (p.recipe, p.key)), None)


@functools.cache
def provable() -> tuple[str, ...]:
    """Names of the recipes that bring a proof; told from their text, none is imported."""
    return tuple(name for name in recipes.names() if "\nPROOF = " in recipes.source(name))


def _read() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))
