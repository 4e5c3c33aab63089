"""`train`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from longtake import recipes
from longtake.brief import Brief, Options, job_of
from longtake.cli.base import Voice, resumable, verb
from longtake.cli.film import options_of
from longtake.cli.progress import clock
from longtake.errors import InputError, nearest
from longtake.lab.catalogue import provable
from longtake.lab.home import home, weights_of
from longtake.models.pretrained.folder import is_pipeline
from longtake.models.pretrained.hub import is_hub_id


@verb(
    "train",
    (
        "longtake train skies --data sky --run skies.training",
        "longtake train skies --data sky --minutes 30 --json",
        "longtake train Wan2.1-T2V-1.3B-Diffusers --data folder:videos --run sees.training",
    ),
    short_help="Train a recipe, or teach a pretrained pipeline.",
)
@click.argument("name")
@click.option("--data", metavar="SPEC", help="What to learn from: a world, as in sky.")
@click.option("--run", type=click.Path(path_type=Path), metavar="DIR", help="Checkpoints, curve.")
@click.option("--steps", type=click.IntRange(1), metavar="N", help="Steps in all.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop by the clock.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="What chance starts from.")
@click.option(
    "--price", type=click.FloatRange(0), metavar="MONEY", help="Of an hour: tells cost, too."
)
@click.option("--charts", type=click.Path(path_type=Path), metavar="DIR", help="For TensorBoard.")
@click.option("--set", "sets", multiple=True, metavar="KNOB=VALUE", help="Other settings.")
def train(
    voice: Voice,
    name: str,
    run: Path | None,
    charts: Path | None,
    price: float | None,
    sets: tuple[str, ...],
    **given: Any,
) -> None:
    """Train the recipe NAME, whose file has a function `train`; goes on from its last checkpoint.

    NAME may be the folder or the hub id of a diffusers pipeline: it is taught to observe any frames, by a LoRA.
    """
    if is_pipeline(Path(name)) or (is_hub_id(name) and not Path(name).exists()):
        sets, name = (f"folder={name}", *sets), "pretrained"
    recipe = recipes.find(name)
    learn = getattr(inspect.getmodule(recipe), "train", None)
    if learn is None:
        raise InputError(f"'{name}' cannot be trained", "longtake train", _trainable(name))
    none = {"images": (), "videos": (), "sets": sets}
    texts = dict.fromkeys(("model", "scheme", "seconds", "frames", "fps", "size", "seed"))
    settings = options_of({**texts, "device": None, "strength": None, **none}).get("settings", {})
    known = inspect.signature(learn).parameters
    if run is None and "run" in known and known["run"].default is inspect.Parameter.empty:
        run = Path(f"{name.partition(':')[0]}.training")
    asked = {**given, "run": run, **settings}
    asked = {key: value for key, value in asked.items() if value is not None}
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
    _follow(curve, voice, price)


def train_at_first_use(brief: Brief, options: Options, voice: Voice) -> None:
    """Trains a built-in recipe whose weights are its proof's and not there yet; says first how long it takes.

    InputError for a film that could not be made afterwards.
    """
    name = options.get("model", "").replace("-", "_")
    if name not in provable():
        return
    module = importlib.import_module(f"longtake.recipes.{name}")
    arm = module.PROOF.system or name
    if "weights" in options.get("settings", {}) or weights_of(home(name), arm).is_file():
        return
    job_of(brief, options)
    minutes = clock(60 * module.PROOF.minutes)
    voice.note(f"{name} is trained before its first film: at most {minutes} on two cores, once")
    resumable()
    _follow(module.train(), voice)


def _follow(events: Iterable[Any], voice: Voice, price: float | None = None) -> None:
    """A training's curve, with the time left; price: of an hour, for what it costs so far and to the end."""
    for event in events:
        line = event.line()
        if price is not None and "left" in line:
            cost = {"cost": line["seconds"], "cost_left": line["left"]}
            line |= {name: round(seconds * price / 3600, 4) for name, seconds in cost.items()}
        voice.line(line)
        if not voice.json:
            told = {k: clock(v) if k in ("seconds", "left") else v for k, v in line.items()}
            voice.note("  ".join(f"{k} {v}" for k, v in told.items() if k != "event"))


def _trainable(name: str) -> str:
    return "a recipe whose file has a function train(data, run, ...)" if name else "skies"
