"""`data`: worlds listed, previewed, rendered with what is true of every frame, and films checked."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from longtake.brief import lay_shots
from longtake.brief.numbers import read_fps, read_frames, read_seed
from longtake.cli.base import Verbs, Voice, verb
from longtake.cli.lawful import check, read_settings
from longtake.cli.progress import clock
from longtake.cli.sets import is_spec, miniature, preview_set, sets, shards, supplement
from longtake.controls import Shot, Storyboard
from longtake.errors import InputError
from longtake.prompts.storyboard import read_size, read_storyboard

if TYPE_CHECKING:
    from longtake.worlds import World
    from longtake.worlds.sky import Moment, Script

_CHUNK = 40  # frames rendered together
_CHANGE = 15.0  # seconds from one change of a drawn script to the next, about
_SIDE = (128, 128)
_MOST = 256  # numbers a frame that a line of truth may hold of one kind


@dataclasses.dataclass(frozen=True)
class Reel:
    """A stretch of film that one world renders from its own beginning."""

    world: World
    first: int  # film frame
    frames: int


@verb(
    "data",
    (
        "longtake data",
        "longtake data render sky --seconds 30 --size 128x128 --seed 3 --out sky.mp4",
    ),
    kind=Verbs,
    short_help="List, preview, render and check worlds and datasets.",
    invoke_without_command=True,
)
@click.pass_context
def data(ctx: click.Context, voice: Voice) -> None:
    """List worlds, or render, preview and check them, and datasets. Without a verb: the worlds."""
    if ctx.invoked_subcommand is not None:
        return
    from longtake import worlds

    for name in sorted({**worlds.WORLDS, **worlds.ENGINES}):
        kind = worlds.find(name)
        title = (kind.__doc__ or "").partition("\n")[0]
        laws, settings = dict(kind.LAWS), worlds.knobs(name)
        voice.line({"name": name, "title": title, "knobs": settings, "laws": laws})
        voice.say(f"{name:<10}{title}")


def _world_options(function: Any) -> Any:
    texts = (
        ("--seconds", "S", "Length. [30]"),
        ("--frames", "N", "Length in frames, exactly."),
        ("--fps", "F", "Frames a second. [10]"),
        ("--size", "WxH", "Width and height. [128x128]"),
        ("--seed", "N", "What chance starts from. [0]"),
        ("--prompt", "TEXT", "sky: what it should be like; script: what should happen."),
        ("--script", "FILE.toml", "sky: a storyboard to follow, shot by shot."),
    )
    function = _set_option(function)
    for name, metavar, text in reversed(texts):
        function = click.option(name, metavar=metavar, help=text)(function)
    return function


def _set_option(function: Any) -> Any:
    text = "Turn a knob of the world; `longtake data --json` lists them."
    return click.option("--set", "sets", multiple=True, metavar="KNOB=VALUE", help=text)(function)


@verb(
    "render",
    (
        "longtake data render sky --seconds 30 --size 128x128 --seed 3 --out sky.mp4",
        "longtake data render digits --set count=3 --frames 600 --out d.mp4 --truth d.jsonl",
    ),
)
@click.argument("world")
@_world_options
@click.option("--out", required=True, metavar="FILE", help="As `generate --out`.")
@click.option(
    "--truth",
    metavar="FILE.jsonl",
    help="Also what is true of every frame, whole pictures left out.",
)
def render(voice: Voice, world: str, out: str, truth: str | None, **values: Any) -> None:
    """Render the WORLD into a film."""
    from longtake.video import VideoWriter, check_out
    from longtake.video.files import STDOUT

    check_out(out)
    if out == STDOUT:
        raise InputError("only generate writes to stdout", "--out -", "film.mp4")
    _check_truth(truth)
    fps, size, reels = _reels(world, values)
    frames, began = sum(reel.frames for reel in reels), time.monotonic()
    voice.line({"event": "planned", "frames": frames, "size": size, "fps": float(fps)})
    with VideoWriter(out, size=size, fps=fps) as writer, _truth_file(truth) as facts:
        for reel, places in _chunks(reels):
            writer.write(reel.world.render(places))
            _note(facts, reel, places)
            voice.line({"event": "decoded", "frames": _film(reel, places)})
    seconds = time.monotonic() - began
    speed = f"{frames / max(seconds, 1e-9):.0f} frames/s"
    voice.line({"event": "done", "out": out, "frames": frames, "seconds": round(seconds, 3)})
    voice.say(f"{out}: {frames} frames in {clock(seconds)} ({speed})")


@verb(
    "preview",
    (
        "longtake data preview sky --out sheet.png",
        "longtake data preview sky --prompt 'dawn over a city' --seed 4 --out dawn.png",
        "longtake data preview ucf101:ucf --out sheet.png",
    ),
)
@click.argument("world", metavar="WORLD|SPEC")
@_world_options
@click.option("--out", required=True, metavar="FILE.png", help="The sheet.")
def preview(voice: Voice, world: str, out: str, **values: Any) -> None:
    """Lay 24 frames spread over the WORLD's film, or of the dataset SPEC, onto one sheet."""
    from longtake.api import check_sheet
    from longtake.video import contact_sheet

    check_sheet(Path(out))
    if is_spec(world):
        preview_set(voice, world, out, read_seed(_either(values["seed"], 0)))
        return
    fps, _, reels = _reels(world, values)
    frames = sum(reel.frames for reel in reels)
    count = min(24, frames)
    places = [n * frames // count for n in range(count)]
    cells = []
    for place in places:
        reel = max((r for r in reels if r.first <= place), key=lambda r: r.first)
        cells.append(reel.world.render([place - reel.first])[0])
    labels = [f"{float(place / fps):.1f} s" for place in places]
    contact_sheet(cells, out, columns=6, labels=labels)
    voice.line({"event": "done", "out": out, "frames": count})
    voice.say(f"{out}: {count} of {frames} frames")


def _reels(name: str, values: dict[str, Any]) -> tuple[Fraction, tuple[int, int], list[Reel]]:
    from longtake import worlds

    kind = worlds.find(name)
    if name != "sky":
        return _plain_reel(name, values)
    read_settings("sky", values["sets"])
    board = read_storyboard(values["script"]) if values["script"] is not None else None
    if board is not None and values["prompt"] is not None:
        raise InputError("both --prompt and --script", "longtake data", "one of them")
    fps = read_fps(_either(values["fps"], board and board.fps, 10))
    size = read_size(_either(values["size"], board and board.size, _SIDE))
    seed = read_seed(_either(values["seed"], board and board.seed, 0))
    frames = read_frames(values["seconds"], values["frames"], fps)
    if board is None:
        seconds = 30.0 if frames is None else float(frames / fps)
        board = Storyboard((Shot(values["prompt"] or "", seconds),))
    takes = _takes(board, fps, frames)
    reels = []
    for number, (first, count, shots) in enumerate(takes):
        script = _script(shots, fps, seed + number, count)
        reels.append(
            Reel(kind(script, seed=seed + number, size=size, fps=float(fps)), first, count)
        )
    return fps, size, reels


def _plain_reel(name: str, values: dict[str, Any]) -> tuple[Fraction, tuple[int, int], list[Reel]]:
    """The one stretch of a world that follows no storyboard."""
    from longtake import worlds

    settings = read_settings(name, values["sets"])
    if values["script"] is not None:
        raise InputError(f"{name} follows no storyboard", "--script", "sky, which does")
    if values["prompt"] is not None:
        if "text" not in worlds.knobs(name):
            raise InputError(f"{name} takes no prompt", "--prompt", "sky or script, which do")
        settings["text"] = values["prompt"]
    fps = read_fps(_either(values["fps"], 10))
    size = read_size(_either(values["size"], _SIDE))
    seed = read_seed(_either(values["seed"], 0))
    frames = read_frames(values["seconds"], values["frames"], fps)
    frames = round(30 * fps) if frames is None else frames
    world = worlds.make(name, seed=seed, size=size, fps=float(fps), **settings)
    return fps, size, [Reel(world, 0, frames)]


def _takes(
    board: Storyboard, fps: Fraction, frames: int | None
) -> list[tuple[int, int, list[tuple[int, str]]]]:
    """First film frame, length, and (frame within the take, prompt) of every shot, per take."""
    spans = lay_shots(board.shots, fps, frames)
    if spans[-1].end is None:
        raise InputError("this cannot go on for ever", "--script", "--seconds 3600")
    for n, span in enumerate(spans, 1):
        if span.shot.pins:
            raise InputError("a world takes no pictures", f"shot {n}", "generate, which does")
    starts = [0, *(n for n, span in enumerate(spans) if n and span.shot.cut)]
    takes = []
    for a, b in itertools.zip_longest(starts, starts[1:]):
        part = spans[a:b]
        first = part[0].first
        shots = [(span.first - first, span.shot.prompt) for span in part]
        takes.append((first, (part[-1].end or first) - first, shots))
    return takes


def _script(shots: list[tuple[int, str]], fps: Fraction, seed: int, frames: int) -> Script:
    """A sky's script: drawn where nothing was asked for, else read out of the prompts."""
    import numpy as np

    from longtake.worlds.sky import Change, draw_script
    from longtake.worlds.sky.script import draw_moment

    rng = np.random.default_rng(seed)
    if len(shots) == 1 and not shots[0][1]:
        seconds = float(frames / fps)
        changes = max(0, min(int(seconds / _CHANGE), int(seconds / 2) - 1))
        return draw_script(rng, seconds=seconds, changes=changes)
    moment, script = draw_moment(rng), []
    for first, prompt in shots:
        moment = _asked(prompt, moment)
        script.append(Change(float(first / fps), moment))
    return tuple(script)


def _asked(prompt: str, before: Moment) -> Moment:
    """The state a prompt asks for; what it leaves unsaid stays as it was."""
    if not prompt.strip():
        return before
    said = {name: value for name, (value, _) in _encoder().understood(prompt).items()}
    return dataclasses.replace(before, **said)


@functools.cache
def _encoder() -> Any:
    from longtake.prompts.text import WordEncoder

    return WordEncoder()


def _chunks(reels: list[Reel]) -> Iterator[tuple[Reel, range]]:
    for reel in reels:
        for start in range(0, reel.frames, _CHUNK):
            yield reel, range(start, min(start + _CHUNK, reel.frames))


def _film(reel: Reel, places: range) -> list[int]:
    return [reel.first + places.start, reel.first + places.stop]


def _note(facts: IO[str] | None, reel: Reel, places: range) -> None:
    """One line a frame: its number on the film and all that the world knows of it."""
    if facts is None:
        return
    truth = reel.world.truth(places)
    known = {name: v.tolist() for name, v in truth.items() if v[0].numel() <= _MOST}
    moment, caption = (getattr(reel.world, name, None) for name in ("moment", "caption"))
    for n, place in enumerate(places):
        line = {"frame": reel.first + place, **{name: row[n] for name, row in known.items()}}
        if moment is not None:
            line["moment"] = dataclasses.asdict(moment(place))
        if caption is not None:
            line["caption"] = caption(place)
        facts.write(json.dumps(line) + "\n")


@contextlib.contextmanager
def _truth_file(truth: str | None) -> Iterator[IO[str] | None]:
    """The file appears whole, when all is written."""
    if truth is None:
        yield None
        return
    fresh = Path(f"{truth}.{os.getpid()}.part")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            yield file
        os.replace(fresh, truth)
    finally:
        fresh.unlink(missing_ok=True)


def _check_truth(truth: str | None) -> None:
    if truth is None:
        return
    place = Path(truth)
    parent = place.absolute().parent
    if place.suffix != ".jsonl":
        raise InputError("truth is written as .jsonl", f"--truth {truth}", f"{place.stem}.jsonl")
    if place.is_dir() or not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError("cannot be written", f"--truth {truth}", "a file in an existing folder")


def _either(*values: Any) -> Any:
    return next(value for value in values if value is not None)


assert isinstance(data, click.Group)
data.add_command(render)
data.add_command(preview)
data.add_command(check)
data.add_command(sets)
data.add_command(miniature)
data.add_command(shards)
data.add_command(supplement)
