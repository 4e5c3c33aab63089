"""`train`, and verbs this version does not have."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click

from longtake import recipes
from longtake.cli.base import Voice, absent, resumable, verb
from longtake.cli.film import options_of
from longtake.errors import InputError, nearest


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
@click.option("--charts", type=click.Path(path_type=Path), metavar="DIR", help="For TensorBoard.")
@click.option("--set", "sets", multiple=True, metavar="KNOB=VALUE", help="Other settings.")
def train(
    voice: Voice,
    name: str,
    run: Path | None,
    charts: Path | None,
    sets: tuple[str, ...],
    **given: Any,
) -> None:
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
    curve = learn(**asked)
    if charts is not None:
        from longtake.train import charted

        curve = charted(curve, charts)
    for event in curve:
        voice.line(event.line())
        if not voice.json:
            voice.note("  ".join(f"{k} {v}" for k, v in event.line().items() if k != "event"))


def _trainable(name: str) -> str:
    return "a recipe whose file has a function train(data, run, ...)" if name else "skies"


@verb("prove", ("longtake prove NAME --seed 1", "longtake prove NAME --json"))
@click.argument("names", nargs=-1)
@click.option("--seed", metavar="N", help="What chance starts from.")
@click.option("--scale", metavar="cpu|gpu", help="How large.")
def prove(voice: Voice, names: tuple[str, ...], seed: str | None, scale: str | None) -> None:
    """Check a published system's claim by experiment. Not part of this version."""
    absent("'prove'", "longtake systems")
