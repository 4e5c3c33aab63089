"""`train` and `score`; and verbs this version does not have."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click

from longtake import recipes
from longtake.cli.base import Voice, absent, resumable, verb
from longtake.cli.film import options_of
from longtake.errors import ClaimError, InputError, nearest


@verb(
    "train",
    (
        "longtake train skies --data sky --run skies.training",
        "longtake train skies --data sky --minutes 30 --json",
    ),
    short_help="Train a recipe.",
)
@click.argument("name")
@click.option("--data", metavar="SPEC", help="What to learn from: a world, as in sky.")
@click.option("--run", type=click.Path(path_type=Path), metavar="DIR", help="Checkpoints, curve.")
@click.option("--steps", type=click.IntRange(1), metavar="N", help="Steps in all.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop by the clock.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="What chance starts from.")
@click.option("--set", "sets", multiple=True, metavar="KNOB=VALUE", help="Other settings.")
def train(voice: Voice, name: str, run: Path | None, sets: tuple[str, ...], **given: Any) -> None:
    """Train the recipe NAME, whose file has a function `train`; goes on from its last checkpoint."""
    recipe = recipes.find(name)
    learn = getattr(inspect.getmodule(recipe), "train", None)
    if learn is None:
        raise InputError(f"'{name}' cannot be trained", "longtake train", _trainable(name))
    none = {"images": (), "videos": (), "sets": sets}
    texts = dict.fromkeys(("model", "scheme", "seconds", "frames", "fps", "size", "seed"))
    settings = options_of({**texts, "device": None, "strength": None, **none}).get("settings", {})
    asked = {**given, "run": run or Path(f"{name.partition(':')[0]}.training"), **settings}
    asked = {key: value for key, value in asked.items() if value is not None}
    known = inspect.signature(learn).parameters
    free = any(p.kind is p.VAR_KEYWORD for p in known.values())
    for key in asked:
        if key not in known and not free:
            raise InputError(f"training {name} knows no '{key}'", "--set", nearest(key, known))
    for key, parameter in known.items():
        needed = (
            parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        )
        if needed and key not in asked:
            raise InputError(f"no --{key}", "longtake train", f"--{key} ...")
    resumable()
    for event in learn(**asked):
        voice.line(event.line())
        if not voice.json:
            voice.note("  ".join(f"{k} {v}" for k, v in event.line().items() if k != "event"))


@verb(
    "score",
    (
        "longtake score film.mp4 --reference sky",
        "longtake score a.mp4 b.mp4 --metric drift --metric seams --json",
    ),
)
@click.argument("videos", nargs=-1, required=True)
@click.option("--reference", metavar="SPEC", help="What the videos are compared with.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Only these.")
@click.option("--report", metavar="FILE.html", help="Also a page.")
@click.option("--fail-if", "bounds", multiple=True, metavar="NAME>VALUE", help="Exit 1 if so.")
def score(
    voice: Voice,
    videos: tuple[str, ...],
    reference: str | None,
    metrics: tuple[str, ...],
    report: str | None,
    bounds: tuple[str, ...],
) -> None:
    """Measure VIDEOS; `sky` as --reference stands for the built-in world."""
    if report is not None:
        absent("'--report'", "--json")
    limits = [_bound(text) for text in bounds]
    from longtake import api

    scores = api.score(videos, reference=reference, metrics=metrics)
    for name, value in scores.items():
        voice.line({"event": "scored", "metric": name, **value.line()})
        voice.say(f"{name:<14}{value.value:<12.5g}{value.verdict:<10}{value.protocol}")
    for name, sign, limit in limits:
        if name not in scores:
            raise InputError(f"no score '{name}'", "--fail-if", nearest(name, scores))
        number = scores[name].value
        if number > limit if sign == ">" else number < limit:
            raise ClaimError(f"{name} is {number:g}", f"--fail-if {name}{sign}{limit:g}")


def _bound(text: str) -> tuple[str, str, float]:
    for sign in "><":
        name, mark, value = text.partition(sign)
        if mark:
            try:
                return name.strip(), sign, float(value)
            except ValueError:
                break
    raise InputError(f"'{text}' is not a bound", "--fail-if", "--fail-if 'drift>0.1'")


def _trainable(name: str) -> str:
    return "a recipe whose file has a function train(data, run, ...)" if name else "skies"


@verb("prove", ("longtake prove NAME --seed 1", "longtake prove NAME --json"))
@click.argument("names", nargs=-1)
@click.option("--seed", metavar="N", help="What chance starts from.")
@click.option("--scale", metavar="cpu|gpu", help="How large.")
def prove(voice: Voice, names: tuple[str, ...], seed: str | None, scale: str | None) -> None:
    """Check a published system's claim by experiment. Not part of this version."""
    absent("'prove'", "longtake systems")
