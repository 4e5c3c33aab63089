"""`systems`: what can be made films with, and the knobs of each."""

from __future__ import annotations

import click

from longtake import recipes
from longtake.brief.systems import knobs_of
from longtake.cli.base import Voice, verb


@verb(
    "systems",
    ("longtake systems", "longtake systems skies --json"),
    short_help="List systems and their knobs.",
)
@click.argument("name", required=False)
def systems(voice: Voice, name: str | None) -> None:
    """List the built-in systems, or the knobs of NAME (a system or FILE.py:FUNCTION)."""
    if name is None:
        for known in recipes.names():
            default = known == recipes.DEFAULT
            voice.line({"name": known, "title": recipes.title(known), "default": default})
            voice.say(f"{known:<20}{recipes.title(known)}{' (the default)' if default else ''}")
        return
    for knob in knobs_of(recipes.find(name)):
        text = repr(knob.default) if knob.default is not None else "-"
        voice.line({"knob": knob.name, "default": _plain(knob.default), "kind": knob.kind})
        voice.say(f"--set {knob.name}={text:<16} {knob.kind}")


def _plain(value: object) -> object:
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
