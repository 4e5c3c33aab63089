"""The phrases by attribute, role and class, read from their blocks of text."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterator, Mapping

from longtake.errors import InputError, nearest
from longtake.worlds.sky.captions import phrases, skywords
from longtake.worlds.sky.state import ATTRIBUTES

Says = Mapping[str, tuple[str, ...]]  # attribute -> the classes that a text leaves possible


@dataclasses.dataclass(frozen=True)
class Phrase:
    """A phrase, what it says, and what it says weakly: unless the text says otherwise."""

    text: str
    says: Says
    weakly: Says


def parse(block: str) -> Iterator[tuple[str, str, Phrase]]:
    """(attribute, role, phrase) for each phrase of a block written as `phrases` describes."""
    says: dict[str, tuple[str, ...]] = {}
    weakly: dict[str, tuple[str, ...]] = {}
    attribute = role = ""
    for line in block.strip().splitlines():
        if line.startswith("["):
            *readings, role = line.strip("[]").split()
            says, weakly = _readings(readings)
            attribute = next(iter(says))
            continue
        for entry in line.split(";"):
            text, _, extra = (part.strip() for part in entry.partition("|"))
            more, less = _readings(extra.split())
            yield attribute, role, Phrase(text, {**says, **more}, {**weakly, **less})


def _readings(
    items: Collection[str],
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    strong: dict[str, tuple[str, ...]] = {}
    weak: dict[str, tuple[str, ...]] = {}
    for item in items:
        into, mark = (strong, "=") if "=" in item else (weak, "~")
        name, _, classes = item.partition(mark)
        if name not in ATTRIBUTES or not set(classes.split("/")) <= set(ATTRIBUTES[name]):
            raise InputError(f"unknown reading '{item}'", "captions", nearest(name, ATTRIBUTES))
        into[name] = tuple(classes.split("/"))
    return strong, weak


Bank = Mapping[tuple[str, str, str], tuple[Phrase, ...]]  # (attribute, role, class) -> phrases


@functools.cache
def bank() -> Bank:
    """All phrases, found by attribute, role and class."""
    found: dict[tuple[str, str, str], list[Phrase]] = {}
    for block in (phrases.TIME, phrases.LAND, skywords.COVER, skywords.KIND, skywords.WIND):
        _file(block, found)
    for block in (skywords.SPEED, skywords.WEATHER):
        _file(block, found)
    return {key: tuple(listed) for key, listed in found.items()}


def _file(block: str, into: dict[tuple[str, str, str], list[Phrase]]) -> None:
    for attribute, role, phrase in parse(block):
        for name in phrase.says[attribute]:
            into.setdefault((attribute, role, name), []).append(phrase)


@functools.cache
def hints(attribute: str, name: str) -> dict[str, frozenset[str]]:
    """What every phrase for this class hints at: for other attributes, the classes suggested."""
    told = [
        p.weakly for key, listed in bank().items() if key[::2] == (attribute, name) for p in listed
    ]
    shared = {other for other in ATTRIBUTES if all(other in weakly for weakly in told)}
    return {other: frozenset(c for weakly in told for c in weakly[other]) for other in shared}
