"""`data check`: a film, or a world's own rendering, held against the world's laws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from longtake.brief.numbers import read_fps, read_frames, read_seed
from longtake.cli.base import Voice, verb
from longtake.cli.sets import check_set, is_spec
from longtake.errors import ClaimError, InputError, nearest
from longtake.prompts.storyboard import read_size

if TYPE_CHECKING:
    from torch import Tensor

    from longtake.worlds.laws import Lawful

_CHUNK = 40  # frames rendered together
_SHOWN = 20  # violations named to people


@verb(
    "check",
    (
        "longtake data check film.mp4 --world digits",
        "longtake data check push --frames 1000 --seed 3",
        "longtake data check ucf101:ucf",
    ),
)
@click.argument("target", metavar="FILE|NAME|SPEC")
@click.option("--world", metavar="NAME", help="Whose laws a FILE is held against.")
@click.option("--seconds", metavar="S", help="How much to check. [a FILE: all; a NAME: 30]")
@click.option("--frames", metavar="N", help="The same in frames.")
@click.option("--seed", metavar="N", help="The world's seed; of a FILE, maze and sky need it. [0]")
@click.option("--fps", metavar="F", help="NAME: frames a second. [10]")
@click.option("--size", metavar="WxH", help="NAME: width and height. [128x128]")
@click.option("--set", "sets", multiple=True, metavar="KNOB=VALUE", help="A knob of the world.")
@click.option("--clips", metavar="N", help="SPEC: how many clips to decode. [all]")
def check(voice: Voice, target: str, world: str | None, clips: str | None, **values: Any) -> None:
    """Hold a FILE, or what the world NAME renders, against the world's laws, or find what is wrong with
    the dataset SPEC (KIND:PATH); exit 1 if anything is.
    """
    if world is None and is_spec(target):
        check_set(voice, target, clips)
        return
    from longtake.worlds.laws import check as judge

    if clips is not None:
        raise InputError("--clips is of a dataset", "longtake data check", "--frames")
    if world is None:
        lawful, frames = _rendered(target, values)
    else:
        lawful, frames = _filmed(target, world, values)
    verdict = judge(lawful, frames)
    rates = verdict.per_thousand()
    for found in verdict.violations:
        fields = {"frame": found.frame, "law": found.law, "what": found.what}
        voice.line({"event": "violation", **fields})
    for found in verdict.violations[:_SHOWN]:
        voice.say(f"frame {found.frame}: {found.law}: {found.what}")
    if len(verdict.violations) > _SHOWN:
        voice.say(f"... and {len(verdict.violations) - _SHOWN} more")
    laws = {law: rates.get(law, 0.0) for law in [*lawful.LAWS, "all"]}
    voice.line({"event": "checked", "frames": verdict.frames, "per_thousand": laws})
    told = ", ".join(f"{law} {rate:.3g}" for law, rate in laws.items())
    voice.say(f"{target}: {verdict.frames} frames; violations per 1,000 frames: {told}")
    if verdict.violations:
        count = len({found.frame for found in verdict.violations})
        first = verdict.violations[0]
        what = f"{count} of {verdict.frames} frames break a law"
        raise ClaimError(what, f"first at frame {first.frame}: {first.what}")


def _rendered(name: str, values: dict[str, Any]) -> tuple[Lawful, Iterator[Tensor]]:
    """A world and its own frames."""
    from longtake import worlds

    if name not in {**worlds.WORLDS, **worlds.ENGINES} and (
        Path(name).exists() or "." in name or "/" in name
    ):
        raise InputError("a file is checked against a world", name, "--world digits")
    fps = read_fps(values["fps"] if values["fps"] is not None else 10)
    size = read_size(values["size"] if values["size"] is not None else (128, 128))
    count = read_frames(values["seconds"], values["frames"], fps) or round(30 * fps)
    world = _lawful(name, values, size, fps)

    def frames() -> Iterator[Tensor]:
        for start in range(0, count, _CHUNK):
            yield from world.render(range(start, min(start + _CHUNK, count)))

    return world, frames()


def _filmed(path: str, name: str, values: dict[str, Any]) -> tuple[Lawful, Iterator[Tensor]]:
    """A world of a file's size and rate, and the file's frames."""
    from itertools import islice

    from longtake import worlds
    from longtake.video import probe
    from longtake.video import read_frames as frames_of

    for option in ("fps", "size"):
        if values[option] is not None:
            raise InputError(f"a file has its own {option}", f"--{option}", f"no --{option}")
    if name in ("maze", "sky") and values["seed"] is None:
        what = "a maze is checked against its own map, a sky against its own pictures"
        raise InputError(what, "data check", "--seed 0")
    worlds.find(name)
    info = probe(path)
    count = read_frames(values["seconds"], values["frames"], info.fps)
    return _lawful(name, values, (info.width, info.height), info.fps), islice(
        frames_of(path), count
    )


def _lawful(name: str, values: dict[str, Any], size: tuple[int, int], fps: Fraction) -> Any:
    from longtake import worlds
    from longtake.worlds.laws import Lawful

    worlds.find(name)
    settings = read_settings(name, values["sets"])
    seed = read_seed(values["seed"] if values["seed"] is not None else 0)
    world = worlds.make(name, seed=seed, size=size, fps=float(fps), **settings)
    if not isinstance(world, Lawful):
        raise InputError(f"{name} has no laws that pixels show", "data check", "--world digits")
    return world


def read_settings(name: str, sets: Sequence[str]) -> dict[str, Any]:
    """A world's knobs as text, by name; InputError for one that it does not have."""
    from longtake import worlds

    known = worlds.knobs(name)
    settings: dict[str, Any] = {}
    for text in sets:
        key, mark, value = text.partition("=")
        if not mark or key not in known:
            hint = nearest(key, known) if known else f"no --set: {name} has no knobs"
            raise InputError(f"{name} has no knob '{key}'", f"--set {text}", hint)
        settings[key] = value
    return settings
