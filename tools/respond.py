"""What each metric answers to: films harmed at rising strengths, and the rank correlation of its value with that.

    python tools/respond.py --out work/respond.json                  # films of worlds, seeds no weights have seen
    python tools/respond.py --take real.mp4:23.2:24 --take real.mp4:127:24 --out work/real.json
    python tools/respond.py --page work/respond.json work/real.json  # docs/metrics.md

A take is a file, the second at which it begins and frames a second: FRAMES without a cut or a fade, which are
harmed; `tfvd` compares with the same unharmed: real scenes are too few, and too unlike, for others to stand for them. Which harm a metric should see (SEES), and which
it cannot but answer (FOLLOWS), was written down before it was run. A cell is Spearman's correlation
of value and strength within a film, the mean over films: 1 where it rises every time, 0 where it stays or
goes either way. A course stays where it never leaves the unharmed film's value by STEP of what the
metric's own harm does. `tfvd` is of all films together, in worlds from other films of the same ones.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from longtake.errors import InputError
from longtake.metrics import Clips, Dynamic, StillFlicker, find_extractor, frechet
from longtake.metrics.colours import ColourLag
from longtake.metrics.film import Meter, stretches
from longtake.metrics.overlength import Drift, Flicker, Frozen, Joins, Seams
from longtake.metrics.repeating import AGAIN, Repetition

ROOT = Path(__file__).parent.parent
FPS, FRAMES = 10, 220
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
WORLDS = ("sky", "walker", "push", "digits")
SEED = 31001  # of the first film; no weights have seen it
FILMS = 12  # of worlds, and as many others
HOP = 12  # frames from clip to clip
ALREADY = {
    "repetition": AGAIN
}  # a film with more than that of itself is left out of the own harm's cell
ENOUGH, NONE = 0.95, 0.3  # of a correlation: seen, and not seen
STEP = 0.1  # of what a metric's own harm does at full strength: less is no answer

Harm = Callable[[Tensor, float, torch.Generator, int], Tensor]
"""A film (FRAMES, 3, h, w) and so many frames a second, harmed by a strength from 0 to 1."""


def blur(film: Tensor, strength: float, dice: torch.Generator, fps: int) -> Tensor:
    """Up to 7 pixels wide."""
    return film.lerp(avg_pool2d(film, 7, 1, 3, count_include_pad=False), strength)


def noise(film: Tensor, strength: float, dice: torch.Generator, fps: int) -> Tensor:
    """Up to 20 levels."""
    return film + 20 * strength * torch.randn(film.shape, generator=dice)


def shuffle(film: Tensor, strength: float, dice: torch.Generator, fps: int) -> Tensor:
    """The frames of a share of all seconds, in another order."""
    order, seconds = torch.arange(FRAMES), FRAMES // fps
    for second in torch.randperm(seconds, generator=dice)[: round(strength * seconds)]:
        frames = torch.arange(fps) + int(second) * fps
        order[frames] = frames[torch.randperm(fps, generator=dice)]
    return film[order]


def freeze(film: Tensor, strength: float, dice: torch.Generator, fps: int) -> Tensor:
    """The last part, up to 45% of the film: it begins at none of BORDERS."""
    found, begin = film.clone(), FRAMES - round(0.45 * strength * FRAMES)
    found[begin:] = found[begin : begin + 1]
    return found


def drop(film: Tensor, strength: float, dice: torch.Generator, fps: int) -> Tensor:
    """Up to half of the frames, at random places: the film becomes shorter."""
    gone = torch.randperm(FRAMES, generator=dice)[: round(strength * FRAMES / 2)]
    kept = torch.ones(FRAMES, dtype=torch.bool)
    kept[gone] = False
    return film[kept]


def colour(film: Tensor, strength: float, dice: torch.Generator, fps: int) -> Tensor:
    """Red up and blue down by up to 40%, slowly."""
    ramp = torch.linspace(0, 0.4 * strength, FRAMES)[:, None, None, None]
    return film * (1 + ramp * torch.tensor([1.0, 0.0, -1.0])[:, None, None])


def loop(film: Tensor, strength: float, dice: torch.Generator, fps: int) -> Tensor:
    """The last part, up to three quarters, repeats the two seconds before it."""
    found, lag = film.clone(), 2 * fps
    begin = max(FRAMES - round(strength * FRAMES * 3 / 4), lag)
    for frame in range(begin, FRAMES):
        found[frame] = found[frame - lag]
    return found


def seam(film: Tensor, strength: float, dice: torch.Generator, fps: int) -> Tensor:
    """Half-way all there is leaps aside, by up to a quarter of the width.

    A mirror image would be no harm to a figure that stands in the middle, and a ghost that fades in
    also takes motion away from what it covers.
    """
    found, half = film.clone(), FRAMES // 2
    found[half:] = found[half:].roll(round(strength * film.shape[-1] / 4), -1)
    return found


HARMS: Mapping[str, Harm] = {
    harm.__name__: harm for harm in (blur, noise, shuffle, freeze, drop, colour, loop, seam)
}
BORDERS = tuple(range(22, FRAMES, 22))  # where pieces of a film may join: `joins` is told
METERS: Mapping[str, Callable[[], Meter]] = {
    "drift": Drift,
    "seams": Seams,
    "joins": lambda: Joins(BORDERS),
    "repetition": Repetition,
    "frozen": Frozen,
    "flicker": Flicker,
    "still-flicker": StillFlicker,
    "dynamic": Dynamic,
    "colours": ColourLag,
}
SEES: Mapping[str, Mapping[str, int]] = {  # 1: rises, -1: falls; a metric's own harm first
    "drift": {"colour": 1},
    "seams": {"seam": 1},
    "joins": {"seam": 1},
    "repetition": {"loop": 1},
    "frozen": {"freeze": 1},
    "flicker": {"noise": 1, "shuffle": 1},
    "still-flicker": {"noise": 1},
    "dynamic": {"freeze": -1, "shuffle": 1, "drop": 1},
    "colours": {"colour": -1},
    "tfvd": {"blur": 1, "noise": 1, "shuffle": 1, "freeze": 1, "drop": 1, "colour": 1},
}
FOLLOWS: Mapping[
    str, Mapping[str, int]
] = {  # from what a metric measures, though it is not for that
    "drift": {"loop": -1},  # a film's own drift ends
    "seams": {"drop": 1, "loop": 1, "shuffle": 1, "noise": -1},  # leaps in time; leaps drown
    "repetition": {"shuffle": -1, "drop": -1, "freeze": -1},  # a film's own rhythm is lost
    "frozen": {"noise": -1, "shuffle": -1, "colour": -1},  # a film's own held frames differ
    "flicker": {"blur": -1, "freeze": -1, "drop": 1, "loop": 1, "seam": 1},  # it sees motion, too
    "still-flicker": {"shuffle": 1},  # slow change becomes quick
    "dynamic": {"seam": 1},  # a leap is motion
    "colours": {"loop": 1, "freeze": 1},  # frames far apart become one
}


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """The correlation of ranks, equals sharing theirs; 0 where either does not change."""
    x, y = (ranks(values) for values in (a, b))
    x, y = x - x.mean(), y - y.mean()
    power = float(x.square().sum() * y.square().sum()) ** 0.5
    return float((x * y).sum()) / power if power else 0.0


def ranks(values: Sequence[float]) -> Tensor:
    """Of values, equals sharing the mean of theirs; what differs by rounding is equal."""
    given = torch.tensor(values, dtype=torch.float64)
    near = 1e-9 * (1 + given.abs().max())
    above = (given[:, None] - given > near).double().sum(1)
    alike = ((given[:, None] - given).abs() <= near).double().sum(1)
    return above + (alike - 1) / 2


@dataclasses.dataclass(frozen=True)
class Take:
    """Frames (t, 3, 64, 64), floats, and how many of them make a second."""

    frames: Tensor
    fps: int = FPS


def of_worlds() -> tuple[list[Take], list[Take]]:
    """FRAMES each of FILMS films, and of as many others. The sky's weather stands."""
    from longtake.worlds import make
    from longtake.worlds.sky import Change, Moment, Sky

    films = []
    for number in range(2 * FILMS):
        name, seed = WORLDS[number % len(WORLDS)], SEED + number
        still = Sky((Change(0.0, Moment()),), seed=seed, size=(64, 64), fps=FPS)
        world = still if name == "sky" else make(name, seed=seed, size=(64, 64), fps=FPS)
        films.append(Take(world.render(range(FRAMES)).float()))
    return films[:FILMS], films[FILMS:]


def of_files(told: Sequence[str]) -> list[Take]:
    """FRAMES from each place in a file on."""
    from longtake.video import read_video

    films = []
    for text in told:
        path, begin, rate = text.rsplit(":", 2)
        start, seconds = float(begin), FRAMES / int(rate)
        read = read_video(path, fps=int(rate), size=(64, 64), start=start, seconds=seconds)
        films.append(Take(read[:FRAMES].float(), int(rate)))
    return films


def rows_of(take: Take) -> Tensor:
    """Features of a film's clips."""
    clips = Clips(find_extractor("tfvd"), hop=HOP)
    for stretch in stretches(take.frames, take.fps):
        clips.see(stretch)
    return clips.course()[1]


def values_of(take: Take) -> dict[str, float | None]:
    """What every meter says."""
    meters = {name: make() for name, make in METERS.items()}
    for stretch in stretches(take.frames, take.fps):
        for meter in meters.values():
            meter.see(stretch)
    found: dict[str, float | None] = {}
    for name, meter in meters.items():
        try:
            found[name] = float(meter.score().value)
        except InputError:
            found[name] = None
    return found


def harmed(take: Take, number: int, harm: Harm, strength: float) -> Take:
    """A film of bytes."""
    dice = torch.Generator().manual_seed(number)
    made = harm(take.frames, strength, dice, take.fps)
    return Take(made.clamp(0, 255).round().byte(), take.fps)


def answered(films: Sequence[Take], others: Sequence[Take]) -> dict[str, Any]:
    """Values by metric and harm, a row a film; of `tfvd` one row, from the others; and its bias among those."""
    reference = torch.cat([rows_of(film) for film in others])
    clean = [rows_of(film) for film in films]
    told: dict[str, dict[str, Any]] = {name: {} for name in (*METERS, "tfvd")}
    plain = [values_of(film) for film in films]
    for name, harm in HARMS.items():
        courses, rows = [[values] for values in plain], [clean]
        for strength in LEVELS[1:]:
            made = [harmed(film, number, harm, strength) for number, film in enumerate(films)]
            for course, film in zip(courses, made, strict=True):
                course.append(values_of(film))
            rows.append([rows_of(film) for film in made])
        distances = [frechet(torch.cat(row), reference) for row in spread(rows)]
        for metric in METERS:
            told[metric][name] = [[values[metric] for values in course] for course in courses]
        told["tfvd"][name] = [distances]
        click.echo(f"{name}: {json.dumps([round(value, 2) for value in distances])}", err=True)
    bias = {}
    every = reference[torch.randperm(len(reference), generator=torch.Generator().manual_seed(0))]
    for count in (4, 8, 16, 32, 64, 128):
        if 2 * count <= len(every):
            bias[count] = round(frechet(every[:count], every[-count:]), 3)
    return {"films": len(films), "values": told, "bias": bias}


def spread(rows: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    """As many clips of each film at every strength, evenly spread over what is left of it.

    The distance depends on the number of clips, and on what of a film they show.
    """
    counts = [min(len(clips) for clips in film) for film in zip(*rows, strict=True)]
    return [
        [
            clips[torch.linspace(0, len(clips) - 1, count).round().long()]
            for clips, count in zip(row, counts, strict=True)
        ]
        for row in rows
    ]


def step_of(metric: str, courses: Mapping[str, Any]) -> float:
    """Less than that is no answer: STEP of what a metric's own harm does to the middle film."""
    own = [known(row)[1] for row in courses[next(iter(SEES[metric]))]]
    sizes = sorted(max(row) - min(row) for row in own if row)
    return STEP * sizes[len(sizes) // 2] if sizes else 0.0


def correlated(values: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Of `answered`: the cells of the table. Strengths at which a metric could not tell are left out."""
    table: dict[str, dict[str, float]] = {}
    for metric, courses in values.items():
        step = step_of(metric, courses)
        table[metric] = {}
        for harm, rows in courses.items():
            least = 0.0 if harm in SEES[metric] else step
            pairs = [pair for pair in map(known, rows) if len(pair[0]) >= 3]
            if harm == next(iter(SEES[metric])):
                pairs = [pair for pair in pairs if pair[1][0] <= ALREADY.get(metric, math.inf)]
            cells = [spearman(*pair) if moves(pair[1], least) else 0.0 for pair in pairs]
            table[metric][harm] = sum(cells) / len(cells) if cells else float("nan")
    return table


def sized(metric: str, harm: str, courses: Mapping[str, Any]) -> float:
    """How far a harm moves a metric at most, the middle film's, in parts of what its own harm does."""
    rows = [known(row)[1] for row in courses[harm]]
    moved = sorted(max(abs(value - row[0]) for value in row) for row in rows if row)
    whole = step_of(metric, courses) / STEP
    return moved[len(moved) // 2] / whole if moved and whole else 0.0


def known(row: Sequence[float | None]) -> tuple[list[float], list[float]]:
    """Strengths at which a metric could tell, and what it told."""
    pairs = [(level, value) for level, value in zip(LEVELS, row, strict=True) if value is not None]
    return [level for level, _ in pairs], [value for _, value in pairs]


def moves(course: Sequence[float], step: float) -> bool:
    """Whether any value is farther than a step from the unharmed film's."""
    return max(abs(value - course[0]) for value in course) > step


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """docs/metrics.md."""
    lines = ["# Metrics: what each one sees", ""]
    lines += ["Made by `python tools/respond.py --page`; do not edit. " + " ".join(INTRO.split())]
    lines += [""]
    for name, told in found.items():
        table = correlated(told["values"])
        lines += [f"## {name}: {told['films']} films", ""]
        lines += ["| metric | " + " | ".join(HARMS) + " |", "|---" * (len(HARMS) + 1) + "|"]
        for metric, row in table.items():
            cells = (marked(metric, harm, row[harm]) for harm in HARMS)
            lines.append(f"| `{metric}` | " + " | ".join(cells) + " |")
        misses, strays = told_apart(table, told["values"])
        itself = [row[0] for row in told["values"]["repetition"]["loop"]]
        left = sum(value > AGAIN for value in itself if value is not None)
        bias = ", ".join(f"{count}: {value:g}" for count, value in told["bias"].items())
        lines += [
            "",
            f"Should be seen and is not, by {ENOUGH}: {', '.join(misses) or 'none'}.",
            "",
            f"Answers to what it should not, past {NONE}: {', '.join(strays) or 'none'}.",
            "",
            f"Left out of `repetition` of loop: {left} films that repeat by themselves.",
            "",
            f"`tfvd` between so many clips and as many others of the same unharmed films: {bias}.",
            "",
        ]
    return "\n".join([*lines, "## How to read it", "", NOTES.strip(), ""])


def told_apart(
    table: Mapping[str, Mapping[str, float]], values: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Cells that should be seen and are not; cells that should be about 0 and are not, with their size."""
    misses, strays = [], []
    for metric, row in table.items():
        for harm in HARMS:
            wanted, cell = SEES[metric].get(harm, 0), f"`{metric}` of {harm} ({row[harm]:+.3f}"
            if wanted and not row[harm] * wanted >= ENOUGH:
                misses.append(cell + ")")
            free = wanted or harm in FOLLOWS.get(metric, {}) or metric == "tfvd"
            if not free and not abs(row[harm]) <= NONE:
                strays.append(f"{cell}, {sized(metric, harm, values[metric]):.0%})")
    return misses, strays


INTRO = f"""Films are harmed at five strengths; a cell is Spearman's correlation of a metric's value with the
strength within a film, the mean over films. Unless it was foretold it is 0 if the value never leaves the unharmed film's by {STEP:.0%} of
what the metric's own harm (the first of SEES) does. Bold cells should be about 1 (or -1); cells in italics follow from what the metric
measures, a sign and no size being foretold; both as written down before the run. The others should be about 0, except `tfvd` of loop and seam, of
which nothing was foretold. Behind a cell that is not: how far the middle film's value is moved at most, in parts of what the metric's own harm does."""


NOTES = """
- **A rank says which way, not how far**: past that tenth a small answer counts as much as a large one, which is why sizes stand beside the strays.
- **`seams` and `joins` are for unbroken takes**, as here: where there are cuts, the largest jump is one of them whatever is planted. Frames
  lost and loops are leaps in time, and count as seams. Seams of other kinds, planted by hand in the same worlds once: all there is becomes up to 40% darker, `seams` +0.96
  and `joins` +1.00; the leap fades in as a ghost over what was there, +0.945 and +0.99: a ghost takes motion away as well, and faint ones of small
  figures are no larger than what digits and walkers do by themselves.
- **`drift` is what a film does, not what is wrong with it**: a film that fades drifts rightly, and a planted ramp hides in that.
- **`repetition`** of a film that repeats by its nature, as a walker does, is large, and a loop planted there adds little.
- **`flicker` also answers to motion**: less of it under blur and in a freeze, more where frames are lost or out of order. `still-flicker` is
  for what stands still, and reads the deviation of grain there; it refuses films in which nothing does.
- **`dynamic` leaves out what moves less than its grain**, and takes blur for more motion: half as far as freezing half of the film takes it down.
  Compare films of like grain and sharpness alone.
- **`colours`** answers to blur and grain by a tenth of what a ramp of colour does.
- **`tfvd` sees 16 frames**, so that a loop of two seconds shows by its joins alone. Strengths are compared at equal numbers of clips from all over a film:
  where films without half of their frames were held against the first half of whole ones, dropping seemed to go unseen. In the real film it is
  held against the same takes unharmed.
- **Bias against N**: see the line below each table; compare equal numbers of clips only, as protocols' names make sure.
"""


def marked(metric: str, harm: str, value: float) -> str:
    """A cell."""
    if value != value:
        return "-"
    if harm in SEES[metric]:
        return f"**{value:+.2f}**"
    return f"*{value:+.2f}*" if harm in FOLLOWS.get(metric, {}) else f"{value:+.2f}"


@click.command()
@click.argument("results", nargs=-1, type=click.Path(path_type=Path))
@click.option("--take", "takes", multiple=True, help="FILE:SECOND:RATE, instead of worlds.")
@click.option("--out", type=click.Path(path_type=Path), help="Where figures go.")
@click.option("--page", "paged", is_flag=True, help="Make docs/metrics.md of RESULTS.")
def main(
    results: tuple[Path, ...],
    takes: tuple[str, ...],
    out: Path | None,
    paged: bool,
) -> None:
    """Measure what metrics answer to."""
    if paged:
        names = (("Worlds", "Real film") * len(results))[: len(results)]
        found = {name: json.loads(p.read_text()) for name, p in zip(names, results, strict=True)}
        (ROOT / "docs" / "metrics.md").write_text(page(found), encoding="utf-8")
        return
    torch.set_num_threads(1)
    films, others = (of_files(takes),) * 2 if takes else of_worlds()
    line = answered(films, others)
    if out is not None:
        out.write_text(json.dumps(line))


if __name__ == "__main__":
    main()
