"""Judges a model of the sky by the probe: prints a table as JSON lines, leaves contact sheets.

    python tools/judge_skies.py --out judged                      # all parts, the built-in model
    python tools/judge_skies.py --out judged --part prompts --limit 8 --set steps=4
    python tools/judge_skies.py --out judged --world              # the world itself: what perfect looks like

Parts, and what --limit counts: prompts (wordings), story (storyboards of each kind), long (frames),
photo (pictures), speed (frames), same (frames). Every line holds a part, a quantity, its value and
over how many it was taken.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import click
import numpy as np
import torch
from torch import Tensor

import longtake
from longtake.controls import Pin, Shot, Storyboard
from longtake.metrics import (
    Film,
    Frozen,
    Joins,
    Moments,
    Motion,
    Probe,
    Repetition,
    measure,
    psnr,
    step_borders,
    windowed,
)
from longtake.metrics.film import Stretch
from longtake.metrics.probe import PASSAGE, PHASES, SPAN, Cutter, Look
from longtake.video import VideoWriter, contact_sheet, read_image, write_image
from longtake.worlds.sky import ATTRIBUTES, Change, Moment, Sky
from longtake.worlds.sky.captions import tell
from longtake.worlds.sky.script import alter, draw_moment

FPS = 10


@dataclasses.dataclass(frozen=True)
class Told:
    """A shot: the state wanted, its wording, and the classes that the wording leaves possible."""

    moment: Moment
    prompt: str
    says: Mapping[str, tuple[str, ...]]
    seconds: float
    cut: bool = False
    pins: tuple[Pin, ...] = ()


class Maker(Protocol):
    """Makes films of shots."""

    def film(self, shots: Sequence[Told], seed: int) -> Film: ...

    def save(self, shots: Sequence[Told], seed: int, path: Path) -> None: ...


@dataclasses.dataclass(frozen=True)
class Model:
    """Films by a model, over the library's face."""

    name: str
    size: tuple[int, int]
    settings: Mapping[str, str]

    def take(self, shots: Sequence[Told], seed: int) -> Any:
        """What `longtake.generate` gives."""
        parts = tuple(Shot(s.prompt, s.seconds, s.pins, s.cut) for s in shots)
        board = Storyboard(parts, seed=seed, fps=FPS, size=self.size)
        return longtake.generate(board, model=self.name, settings=dict(self.settings))

    def film(self, shots: Sequence[Told], seed: int) -> Film:
        """The film, made while it is iterated."""
        take = self.take(shots, seed)
        return Film(take, FPS, "film", step_borders(take.job), tuple(take.job.cuts))

    def save(self, shots: Sequence[Told], seed: int, path: Path) -> None:
        """The film as a file."""
        self.take(shots, seed).save(path)


@dataclasses.dataclass(frozen=True)
class World:
    """Films of the world itself, by the same names: pins are met because the seed is the pin's."""

    size: tuple[int, int]

    def film(self, shots: Sequence[Told], seed: int) -> Film:
        """The world's own frames; borders every 32 frames, where nothing happens."""
        count = round(sum(shot.seconds for shot in shots) * FPS)
        return Film(self._frames(shots, seed), FPS, "film", range(32, count, 32))

    def save(self, shots: Sequence[Told], seed: int, path: Path) -> None:
        """The film as a file."""
        with VideoWriter(path, size=self.size, fps=FPS) as writer:
            for frames in self._frames(shots, seed):
                writer.write(frames)

    def _frames(self, shots: Sequence[Told], seed: int) -> Iterator[Tensor]:
        takes: list[list[Told]] = []
        for shot in shots:
            if shot.cut or not takes:
                takes.append([])
            takes[-1].append(shot)
        for number, take in enumerate(takes):
            starts = np.cumsum([0, *(shot.seconds for shot in take)])
            script = tuple(Change(float(at), s.moment) for at, s in zip(starts, take, strict=False))
            sky = Sky(script, seed=seed + 1000 * number, size=self.size, fps=FPS)
            count = round(float(starts[-1]) * FPS)
            for begin in range(0, count, 40):
                yield sky.render(range(begin, min(begin + 40, count)))


@dataclasses.dataclass(frozen=True)
class Desk:
    """Where judging happens."""

    maker: Maker
    probe: Probe
    out: Path
    size: tuple[int, int]
    seed: int
    photos: tuple[Path, ...] = ()

    def said(self, moment: Moment, seed: int, attributes: Sequence[str] | None = None) -> Told:
        """A wording of a state that tells `attributes` (None: a random few)."""
        text, says = tell(moment, random.Random(f"{self.seed}/{seed}"), attributes)
        return Told(moment, text, says, 6.0)

    def rng(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, number, 99])

    def note(self, name: str, line: Mapping[str, Any]) -> None:
        """Adds a line to a log beside the sheets."""
        with (self.out / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def row(part: str, quantity: str, value: float, over: int, **more: Any) -> dict[str, Any]:
    """A line of the table."""
    return {"part": part, "quantity": quantity, "value": value, "over": over, **more}


class Hits:
    """Right answers by attribute."""

    def __init__(self) -> None:
        self.right, self.seen = defaultdict[str, int](int), defaultdict[str, int](int)

    def add(self, name: str, right: bool) -> None:
        self.right[name] += right
        self.seen[name] += 1

    def rows(self, part: str, quantity: str) -> Iterator[dict[str, Any]]:
        for name in ("phase", *ATTRIBUTES):
            if self.seen[name]:
                share = self.right[name] / self.seen[name]
                yield row(part, f"{quantity} {name}", share, self.seen[name])


def average(looks: Sequence[Look]) -> dict[str, Tensor]:
    """Mean shares by attribute."""
    names = looks[0].shares
    return {name: torch.stack([look.shares[name] for look in looks]).mean(0) for name in names}


def allowed(says: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """What may be read, for attributes on which anything was said; with "phase" if time was."""
    found = {name: says[name] for name in says if len(says[name]) < len(ATTRIBUTES[name])}
    if "time" in found:
        phases = tuple(p for p, hours in PHASES.items() if set(hours) & set(found["time"]))
        found["phase"] = phases
    return found


def prompts(desk: Desk, limit: int = 24) -> Iterator[dict[str, Any]]:
    """Short films of many wordings: is what was said what is seen?"""
    hits, cells, labels = Hits(), [], []
    for n in range(limit):
        told = desk.said(draw_moment(desk.rng(n)), n)
        frames = gathered(desk.maker.film([told], n))
        shares = average(list(desk.probe.looks(frames, FPS)))
        read = {k: desk.probe.classes[k][int(v.argmax())] for k, v in shares.items()}
        wanted = allowed(told.says)
        wrong = [name for name, classes in wanted.items() if read[name] not in classes]
        for name in wanted:
            hits.add(name, name not in wrong)
        desk.note("prompts", {"prompt": told.prompt, "said": wanted, "read": read, "wrong": wrong})
        cells += [frames[len(frames) // 3], frames[-1]]
        labels += [f"{n}", " ".join(wrong)[:24] or "as said"]
    contact_sheet(cells, desk.out / "prompts.png", columns=8, labels=labels)
    yield from hits.rows("prompts", "as said:")


def gathered(film: Film) -> Tensor:
    """All frames of a short film."""
    return torch.cat([f if f.ndim == 4 else f[None] for f in film.frames])


def board(desk: Desk, number: int, cut: bool, shots: int = 6, seconds: float = 8.0) -> list[Told]:
    """A storyboard in which every shot differs from the one before in something."""
    rng, moment, told = desk.rng(1000 + number), None, []
    for n in range(shots):
        moment = draw_moment(rng) if moment is None else alter(rng, moment)
        shot = desk.said(moment, 100 * number + n, tuple(ATTRIBUTES))
        told.append(dataclasses.replace(shot, seconds=seconds, cut=cut and n > 0))
    return told


def story(desk: Desk, limit: int = 2) -> Iterator[dict[str, Any]]:
    """Storyboards, flowing and cut: is each shot what it should be, and does it change on time?"""
    for cut in (False, True):
        kind = "cut" if cut else "flowing"
        hits, delays = Hits(), defaultdict[str, list[float]](list)
        for number in range(limit):
            shots = board(desk, number, cut)
            frames = gathered(desk.maker.film(shots, number))
            looks = list(desk.probe.looks(frames, FPS, hop=0.2))
            _shots(desk, shots, looks, hits, delays)
            step = len(frames) // 48 or 1
            sheet = desk.out / f"story-{kind}-{number}.png"
            contact_sheet(frames[::step][:48], sheet, columns=8)
        yield from hits.rows("story", f"{kind}, shot as said:")
        every = [delay for listed in delays.values() for delay in listed]
        for name, listed in (*delays.items(), ("all", every)):
            if listed:
                on_time = sum(abs(delay) <= 1 for delay in listed) / len(listed)
                seen = sorted(d for d in listed if math.isfinite(d))
                middle = seen[len(seen) // 2] if seen else None
                text = f"{kind}, change within 1 s: {name}"
                yield row("story", text, on_time, len(listed), median_delay=middle)


def _shots(
    desk: Desk,
    shots: Sequence[Told],
    looks: Sequence[Look],
    hits: Hits,
    delays: Mapping[str, list[float]],
) -> None:
    margin, begin = (SPAN + PASSAGE) / 2 + 0.05, 0.0
    for n, shot in enumerate(shots):
        end = begin + shot.seconds
        inside = [look for look in looks if begin + margin <= look.at <= end - margin]
        read = {k: int(v.argmax()) for k, v in average(inside).items()}
        wanted = {**vars(shot.moment), "phase": shot.moment.phase}
        right = {k: desk.probe.classes[k][read[k]] == wanted[k] for k in desk.probe.classes}
        for name, good in right.items():
            hits.add(name, good)
        before = {} if n == 0 else {**vars(shots[n - 1].moment), "phase": shots[n - 1].moment.phase}
        changed = [name for name in before if before[name] != wanted[name] and name != "time"]
        for name in changed:
            classes = desk.probe.classes[name]
            pair = (classes.index(before[name]), classes.index(wanted[name]))
            delays[name].append(delay(looks, name, pair, begin))
        wrong = [name for name, good in right.items() if not good]
        late = {name: round(delays[name][-1], 2) for name in changed}
        desk.note("story", {"shot": n, "prompt": shot.prompt, "wrong": wrong, "delay": late})
        begin = end


def delay(looks: Sequence[Look], name: str, pair: tuple[int, int], at: float) -> float:
    """Seconds from `at` to where the new class overtakes the old; infinite if it does not.

    The moment that best parts old from new within 4 s on either side, wrong for a quarter at most.
    """
    near = [look for look in looks if abs(look.at - at) <= 4]
    new = [float(look.shares[name][pair[1]] - look.shares[name][pair[0]]) > 0 for look in near]
    errors = [sum(new[:k]) + sum(not late for late in new[k:]) for k in range(len(new) + 1)]
    best = min(range(len(errors)), key=errors.__getitem__)
    if best in (0, len(new)) or errors[best] > len(new) / 4:
        return math.inf
    return (near[best - 1].at + near[best].at) / 2 - at


class Seen:
    """As a meter: the probe's features over a film, and frames now and then."""

    def __init__(self, probe: Probe, every: int) -> None:
        self.probe, self.every, self._cutter = probe, every, Cutter(0.5)
        self.features: list[tuple[float, Tensor]] = []
        self.cells: list[Tensor] = []

    def see(self, stretch: Stretch) -> None:
        looks = self.probe.look(self._cutter.see(stretch))
        self.features += [(look.at, look.features) for look in looks]
        for n, frame in enumerate(stretch.frames, stretch.first):
            if n % self.every == 0:
                self.cells.append(frame.clone())

    def score(self) -> Any:
        """Nothing of its own."""


def long(desk: Desk, limit: int = 6000) -> Iterator[dict[str, Any]]:
    """A film of 600 and one of 6,000 frames: does it stay in the world, in motion, and seamless?"""
    for frames in sorted({min(600, limit), min(6000, limit)}):
        moment = dataclasses.replace(draw_moment(desk.rng(7)), weather="dry")
        told = desk.said(moment, 7, tuple(ATTRIBUTES))
        film = desk.maker.film([dataclasses.replace(told, seconds=frames / FPS)], 7)
        seen = Seen(desk.probe, max(1, frames // 48))
        meters = (seen, Joins(film.borders), Motion(), Repetition(), Frozen())
        _, joins, motion, repetition, frozen = measure(film.frames, FPS, meters)
        name = f"{frames} frames"
        contact_sheet(seen.cells[:48], desk.out / f"long-{frames}.png", columns=8)
        window = min(60.0, frames / FPS / 3)
        course = windowed(seen.features, reference(desk, moment), window=window)
        second, last = course.distances[1], course.distances[-1]
        yield row("long", f"{name}, frechet of second window", second, frames)
        yield row("long", f"{name}, frechet of last window", last, frames, course=course.distances)
        yield row(
            "long",
            f"{name}, last over second",
            last / max(second, 1e-9),
            frames,
            slope=course.slope,
        )
        yield row("long", f"{name}, join ratio", joins.value, frames, **joins.detail)
        yield row("long", f"{name}, motion ratio", motion.value, frames, **motion.detail)
        more = {"verdict": repetition.verdict, **repetition.detail}
        yield row("long", f"{name}, repetition", repetition.value, frames, **more)
        yield row("long", f"{name}, frozen share", frozen.value, frames)


def reference(desk: Desk, moment: Moment, takes: int = 24, seconds: float = 8.0) -> Moments:
    """Features of the world in the same state, of seeds no model was trained on."""
    moments = Moments(64)
    for n in range(takes):
        sky = Sky((Change(0.0, moment),), seed=5_000_000 + n, size=desk.size, fps=FPS)
        first = 600 * (n % 4)
        frames = sky.render(range(first, first + round(seconds * FPS)))
        moments.merge(desk.probe.moments(frames, FPS))
    return moments


def photo(desk: Desk, limit: int = 4) -> Iterator[dict[str, Any]]:
    """Films that begin with a picture, and films between two clips."""
    nearness, ratios, kept, sharp, cells = [], [], [], [], []
    for n in range(limit):
        moment = draw_moment(desk.rng(300 + n))
        told = desk.said(moment, 300 + n, tuple(ATTRIBUTES))
        own = dataclasses.replace(told, seconds=4.0)
        truth = gathered(World(desk.size).film([own], 300 + n))
        path = desk.out / f"photo-{n}.png"
        write_image(truth[0], path)
        path = desk.photos[n % len(desk.photos)] if desk.photos else path
        pinned = dataclasses.replace(own, seconds=12.0, pins=(Pin(0.0, str(path), "image"),))
        frames = gathered(desk.maker.film([pinned], 300 + n))
        fitted = read_image(path, size=desk.size)
        nearness.append(psnr(frames[0], fitted))
        kept.append(_alike(frames[-1], frames[0]))
        sharp.append(_detail(frames[-1]) / _detail(frames[0]))
        ratio, between = _linked(desk, own, truth, n)
        ratios.append(ratio)
        cells += [fitted, *frames[:: len(frames) // 4][:5], *between]
    contact_sheet(cells, desk.out / "photo.png", columns=12)
    yield row("photo", "PSNR of first frame, worst", min(nearness), limit, each=nearness)
    yield row(
        "photo", "land after 12 s like that of the picture, worst", min(kept), limit, each=kept
    )
    yield row("photo", "detail after 12 s over the picture's", median(sharp), limit, each=sharp)
    yield row("photo", "largest jump near a join over inside", max(ratios), limit, each=ratios)


def _alike(a: Tensor, b: Tensor) -> float:
    """Correlation of the lowest thirds of two frames (3, h, w): where photographs have their land."""
    low = a.shape[1] * 2 // 3
    return float(torch.corrcoef(torch.stack([f[:, low:].float().flatten() for f in (a, b)]))[0, 1])


def _detail(frame: Tensor) -> float:
    """Mean difference of neighbours in a frame (3, h, w)."""
    values = frame.float()
    return float(values.diff(dim=1).abs().mean() + values.diff(dim=2).abs().mean())


def _linked(desk: Desk, own: Told, truth: Tensor, n: int) -> tuple[float, list[Tensor]]:
    """Two seconds given, four made, two given: the largest jump within 3 frames of a join, over the median."""
    length = 2 * FPS
    told = dataclasses.replace(own, seconds=8.0)
    tail = gathered(World(desk.size).film([told], 300 + n))[-length:]
    pins = []
    for at, clip in ((0.0, truth[:length]), ("end", tail)):
        path = desk.out / f"clip-{n}-{at}.mp4"
        with VideoWriter(path, size=desk.size, fps=FPS, quality="lossless") as writer:
            writer.write(clip)
        pins.append(Pin(at, str(path), "video"))
    frames = gathered(desk.maker.film([dataclasses.replace(told, pins=tuple(pins))], 300 + n))
    jumps = (frames[1:].float() - frames[:-1].float()).abs().mean((1, 2, 3))
    borders = (length, len(frames) - length)
    near = [float(jumps[max(0, b - 4) : b + 3].max()) for b in borders]
    return max(near) / max(float(jumps.median()), 0.05), list(frames[:: len(frames) // 6][:6])


def speed(desk: Desk, limit: int = 300) -> Iterator[dict[str, Any]]:
    """Frames a second from prompt to file; the second film finds weights in memory."""
    told = dataclasses.replace(desk.said(Moment(), 3), seconds=limit / FPS)
    for n, name in enumerate(("first film", "second film")):
        began = time.monotonic()
        desk.maker.save([told], n, desk.out / f"speed-{n}.mp4")
        rate = limit / (time.monotonic() - began)
        threads = torch.get_num_threads()
        yield row("speed", f"frames/s to a file, {name}", rate, limit, threads=threads)


def same(desk: Desk, limit: int = 60) -> Iterator[dict[str, Any]]:
    """One seed, one film, byte for byte; another seed, another film."""
    told = dataclasses.replace(desk.said(Moment(), 4), seconds=limit / FPS)
    digests = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        path = desk.out / f"same-{name}.mp4"
        desk.maker.save([told], seed, path)
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    yield row("same", "same seed, same bytes", float(digests[0] == digests[1]), limit)
    yield row("same", "other seed, other bytes", float(digests[0] != digests[2]), limit)


PARTS: Mapping[str, Callable[..., Iterator[dict[str, Any]]]] = {
    part.__name__: part for part in (prompts, story, long, photo, speed, same)
}


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Sheets and logs.")
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), help="Only these.")
@click.option("--limit", type=click.IntRange(1), help="How many, or how long; see above.")
@click.option("--model", default="skies", help="As in `longtake generate`.")
@click.option("--set", "sets", multiple=True, metavar="KNOB=VALUE", help="The model's knobs.")
@click.option("--world", is_flag=True, help="Judge the world itself.")
@click.option("--photo", "photos", multiple=True, type=click.Path(path_type=Path, exists=True))
@click.option("--size", default="128x128")
@click.option("--seed", default=0)
@click.option("--threads", type=int, help="Threads for torch.")
def main(
    out: Path,
    parts: tuple[str, ...],
    limit: int | None,
    model: str,
    sets: tuple[str, ...],
    world: bool,
    photos: tuple[Path, ...],
    size: str,
    seed: int,
    threads: int | None,
) -> None:
    """Judge a model of the sky."""
    if threads:
        torch.set_num_threads(threads)
    width, height = (int(side) for side in size.split("x"))
    out.mkdir(parents=True, exist_ok=True)
    settings = dict(text.split("=", 1) for text in sets)
    maker: Maker = World((width, height)) if world else Model(model, (width, height), settings)
    desk = Desk(maker, Probe(), out, (width, height), seed, photos)
    for part in parts or PARTS:
        for line in PARTS[part](desk, **({} if limit is None else {"limit": limit})):
            click.echo(json.dumps(_plain(line)))
            desk.note("table", _plain(line))


def _plain(value: Any) -> Any:
    """Fit for JSON: no infinities, no long fractions."""
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


if __name__ == "__main__":
    main()
