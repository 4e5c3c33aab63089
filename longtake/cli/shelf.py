"""`systems`: what can be made films with, the knobs of each, and the published systems with their proofs."""

from __future__ import annotations

import click

from longtake import recipes
from longtake.brief.systems import knobs_of
from longtake.cli.base import Voice, verb
from longtake.errors import InputError
from longtake.lab import catalogue, results
from longtake.lab.catalogue import Published

_ROW = "{:<5}{:<35}{:<22}{:<24}{:<42}{}"


@verb(
    "systems",
    ("longtake systems", "longtake systems skies --json"),
    short_help="List systems, their proofs and their knobs.",
)
@click.argument("name", required=False)
def systems(voice: Voice, name: str | None) -> None:
    """List the built-in and the published systems, or the knobs of NAME.

    NAME: a system, FILE.py:FUNCTION, or a published one's key such as S21.
    """
    if name is None:
        _generable(voice)
        _published(voice)
        return
    known = catalogue.find(name)
    if known is not None:
        if known.recipe not in recipes.names():
            raise InputError(f"{known.name} is not yet built", "longtake systems", recipes.DEFAULT)
        name = known.recipe
        _told(voice, known)
    for knob in knobs_of(recipes.find(name)):
        text = repr(knob.default) if knob.default is not None else "-"
        voice.line({"knob": knob.name, "default": _plain(knob.default), "kind": knob.kind})
        voice.say(f"--set {knob.name}={text:<16} {knob.kind}")


def _generable(voice: Voice) -> None:
    """A line for every recipe."""
    for known in recipes.names():
        default = known == recipes.DEFAULT
        voice.line({"name": known, "title": recipes.title(known), "default": default})
        voice.say(f"{known:<20}{recipes.title(known)}{' (the default)' if default else ''}")


def _published(voice: Voice) -> None:
    """A line for every published system."""
    voice.say("\n" + _ROW.format("", "paper", "family", "paradigm", "controls", "proof"))
    for known in catalogue.published():
        runs = results.records(known.recipe)
        told = results.status(runs, built=known.built)
        voice.line(
            {
                "published": known.key,
                "recipe": known.recipe,
                "paper": known.paper,
                "title": known.title,
                "family": known.family,
                "paradigm": known.paradigm,
                "controls": list(known.controls),
                "codec": known.codec,
                "claim": known.claim,
                "status": told,
                "runs": len(runs),
                "held": sum(run.holds for run in runs),
            }
        )
        controls = ", ".join(known.controls) or "none"
        cut = controls if len(controls) < 41 else f"{controls[:38]}..."
        voice.say(
            _ROW.format(known.key, known.paper, known.family, known.paradigm, cut, told).rstrip()
        )


def _told(voice: Voice, known: Published) -> None:
    """For people: the paper, its claim and what came of it."""
    runs = results.records(known.recipe)
    voice.say(f"{known.key} {known.paper}: {known.title}")
    voice.say(f"{known.claim}")
    voice.say(f"proof: {results.status(runs, built=known.built)}\n")


def _plain(value: object) -> object:
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
