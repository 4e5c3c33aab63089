"""Judges a film of many minutes: a storyboard of the sky, made by the command line, then watched once.

    python tools/judge_hours.py --out hours                       # 90 minutes in 100 shots, resumable
    python tools/judge_hours.py --out hours --minutes 10 --shots 12

Prints JSON lines: time and memory while it was made, then what was seen of it. A minute is held
against the world in the states that its own shots ask for, so that a story's course is no drift.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import click
from judge_skies import FPS, Desk, Hits, Model, Told, World, allowed, average, row

from longtake.controls import Shot, Storyboard
from longtake.metrics import (
    Frozen,
    Joins,
    Look,
    Moments,
    Motion,
    Probe,
    Repetition,
    Stretch,
    frechet,
    measure,
    step_borders,
)
from longtake.metrics.probe import PASSAGE, SPAN, Cutter
from longtake.prompts.storyboard import save_storyboard
from longtake.video import contact_sheet, read_frames
from longtake.worlds.sky import ATTRIBUTES
from longtake.worlds.sky.script import alter, draw_moment

TAKE = 5  # shots until a cut
AGAIN = 3  # shots of the beginning that come back at the end
WORLDS = 4  # minutes of the world that a minute of the film is held against
EVERY = 10  # minutes from one that is judged to the next
EARLY = 1_000  # frames after which memory is read first
CELLS = 96


class Watch:
    """As a meter: looks of the probe at a film, and frames now and then."""

    def __init__(self, probe: Probe, every: int) -> None:
        self.probe, self.every, self._cutter = probe, every, Cutter(0.5)
        self.looks: list[Look] = []
        self.cells: list[Any] = []

    def see(self, stretch: Stretch) -> None:
        self.looks += self.probe.look(self._cutter.see(stretch))
        self.cells += stretch.frames[-stretch.first % self.every :: self.every].clone()

    def score(self) -> None:
        """None of its own."""

    def between(self, begin: float, end: float) -> list[Look]:
        """Looks that saw nothing before or after."""
        margin = SPAN / 2 + 0.05
        return [look for look in self.looks if begin + margin <= look.at <= end - margin]


def told_shots(desk: Desk, count: int, seconds: float) -> list[Told]:
    """Shots of which each differs from the one before in something; every fifth begins a take.

    The story ends as it began, told backwards: the last minute but one asks for what the second did.
    """
    rng, told = desk.rng(5000), list[Told]()
    moment = draw_moment(rng)
    for n in range(count):
        cut = n % TAKE == 0
        moment = draw_moment(rng) if cut else alter(rng, moment)
        shot = desk.said(moment, 5000 + n, tuple(ATTRIBUTES))
        told.append(dataclasses.replace(shot, seconds=seconds, cut=cut and n > 0))
    again = min(AGAIN, count // 2)
    for n in range(again):
        told[-1 - n] = dataclasses.replace(told[n], cut=n == again - 1)
    return told


def made(desk: Desk, board: Path, film: Path, model: str) -> Iterator[dict[str, Any]]:
    """Makes the film, or goes on making it; how long that took and what memory it held."""
    words = [str(board), "--model", model, "--out", str(film), "--json"]
    began, resident = time.monotonic(), dict[int, float]()
    with subprocess.Popen(
        [sys.executable, "-m", "longtake", "generate", *words], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "decoded":
                resident[event["frames"][1]] = _resident(process.pid)
    if process.returncode:
        raise click.ClickException(f"no film: exit code {process.returncode}")
    seconds, frames = time.monotonic() - began, event["frames"]
    early = next(size for end, size in resident.items() if end >= min(EARLY, frames))
    yield row(
        "made", "seconds, minute for minute", seconds / (frames / FPS), frames, ran=event["ran"]
    )
    yield row(
        "made",
        f"MiB more than after {EARLY:,} frames, at most",
        max(resident.values()) - early,
        frames,
    )


def _resident(pid: int) -> float:
    """The most that a process has held so far, MiB (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def seen(desk: Desk, shots: Sequence[Told], film: Path, model: str) -> Iterator[dict[str, Any]]:
    """What one look at the whole film says."""
    frames = round(sum(shot.seconds for shot in shots) * FPS)
    job = Model(model, desk.size, {}).take(shots, desk.seed).job
    watch = Watch(desk.probe, max(1, frames // CELLS))
    meters = (watch, Joins(step_borders(job), job.cuts), Motion(), Repetition(), Frozen())
    _, joins, motion, repetition, frozen = measure(read_frames(film), FPS, meters)
    contact_sheet(watch.cells[:CELLS], desk.out / "hours.png", columns=12)
    yield from _courses(desk, shots, watch, frames // (60 * FPS))
    yield from _told(desk, shots, watch)
    yield row("seen", "join ratio", joins.value, frames)
    yield row("seen", "motion ratio", motion.value, frames)
    yield row("seen", "repetition", repetition.value, frames, verdict=repetition.verdict)
    yield row("seen", "frozen share", frozen.value, frames)


def _courses(
    desk: Desk, shots: Sequence[Told], watch: Watch, minutes: int
) -> Iterator[dict[str, Any]]:
    """Minutes against the world in the same states: the second, the last but one, some between."""
    course = {}
    for minute in sorted({1, *range(EVERY - 1, minutes - 1, EVERY), minutes - 2}):
        begin, end = 60.0 * minute, 60.0 * (minute + 1)
        asked, found = within(shots, begin, end), Moments(64)
        for n in range(WORLDS):
            world = World(desk.size).film(asked, 5_000_000 + 10_000 * minute + n)
            found.merge(desk.probe.moments(world.frames, FPS))
        own = Moments(64)
        for look in watch.between(begin, end):
            own.add(look.features[None])
        course[minute + 1] = frechet(own, found)
    ratio = course[minutes - 1] / course[2]
    yield row("seen", f"frechet, minute {minutes - 1} over minute 2", ratio, minutes)
    found = list(course.values())
    early, late = found[: -(-len(found) // 2)], found[len(found) // 2 :]
    ratio = fmean(late) / fmean(early)  # of more states, and so less of what a minute shows
    yield row("seen", "frechet, later minutes over earlier ones", ratio, minutes, course=course)


def within(shots: Sequence[Told], begin: float, end: float) -> list[Told]:
    """The parts of shots that lie between two times."""
    parts, at = list[Told](), 0.0
    for shot in shots:
        inside = min(end, at + shot.seconds) - max(begin, at)
        if inside > 0:
            parts.append(dataclasses.replace(shot, seconds=inside, cut=shot.cut and bool(parts)))
        at += shot.seconds
    return parts


def _told(desk: Desk, shots: Sequence[Told], watch: Watch) -> Iterator[dict[str, Any]]:
    """Shots that show what their words leave possible, by attribute."""
    hits, at = Hits(), 0.0
    for number, shot in enumerate(shots):
        looks = watch.between(at + PASSAGE / 2, at + shot.seconds - PASSAGE / 2)
        read = {k: desk.probe.classes[k][int(v.argmax())] for k, v in average(looks).items()}
        wanted = allowed(shot.says)
        for name, classes in wanted.items():
            hits.add(name, read[name] in classes)
        wrong = {name: read[name] for name, classes in wanted.items() if read[name] not in classes}
        desk.note("shots", {"shot": number, "prompt": shot.prompt, "wrong": wrong})
        at += shot.seconds
    yield from hits.rows("seen", "shot as said:")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Film, sheet and logs.")
@click.option("--minutes", default=90)
@click.option("--shots", "count", default=100)
@click.option("--model", default="skies", help="As in `longtake generate`.")
@click.option("--size", default="128x128")
@click.option("--seed", default=0)
def main(out: Path, minutes: int, count: int, model: str, size: str, seed: int) -> None:
    """Judge a long film of the sky."""
    width, height = (int(side) for side in size.split("x"))
    out.mkdir(parents=True, exist_ok=True)
    desk = Desk(World((width, height)), Probe(), out, (width, height), seed)
    shots = told_shots(desk, count, round(minutes * 60 * FPS / count) / FPS)
    parts = tuple(Shot(shot.prompt, shot.seconds, cut=shot.cut) for shot in shots)
    board, film = out / "board.toml", out / "film.mp4"
    save_storyboard(Storyboard(parts, seed=seed, fps=FPS, size=desk.size), board)
    lines = [] if film.exists() else [made(desk, board, film, model)]
    for part in (*lines, seen(desk, shots, film, model)):
        for line in part:
            click.echo(json.dumps(line))
            desk.note("table", line)


if __name__ == "__main__":
    main()
