"""What each metric answers to: films harmed at rising strengths, and the rank correlation of its value with that.

    python tools/respond.py --out work/respond.json                  # films of worlds, seeds no weights have seen
    python tools/respond.py --film real.mp4 --begin 23.2 --begin 127 --out work/real.json   # unbroken takes
    python tools/respond.py --page work/respond.json work/real.json  # docs/metrics.md

Which harm a metric should see (SEES) was written down before it was run. A cell is Spearman's correlation
of value and strength within a film, the mean over films: 1 where it rises every time, 0 where it stays or
goes either way. A course stays where it never leaves the unharmed film's value by STEP of what the
metric's own harm does. `tfvd` is of all films together, from films of the same worlds that are unharmed.
"""

from __future__ import annotations

import json
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
from longtake.metrics.repeating import Repetition

ROOT = Path(__file__).parent.parent
FPS, FRAMES = 10, 220
RATE = 24  # of a real film: unbroken takes are short
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
WORLDS = ("sky", "walker", "push", "digits")
SEED = 9001  # of the first film; no weights have seen it
HOP = 12  # frames from clip to clip
ENOUGH, NONE = 0.95, 0.3  # of a correlation: seen, and not seen
STEP = 0.1  # of what a metric's own harm does at full strength: less is no answer

Harm = Callable[[Tensor, float, torch.Generator], Tensor]


def blur(film: Tensor, strength: float, dice: torch.Generator) -> Tensor:
    """Up to 7 pixels wide."""
    soft = avg_pool2d(film[:FRAMES], 7, 1, 3, count_include_pad=False)
    return film[:FRAMES].lerp(soft, strength)


def noise(film: Tensor, strength: float, dice: torch.Generator) -> Tensor:
    """Up to 20 levels."""
    return film[:FRAMES] + 20 * strength * torch.randn(film[:FRAMES].shape, generator=dice)


def shuffle(film: Tensor, strength: float, dice: torch.Generator) -> Tensor:
    """The frames of a share of all seconds, in another order."""
    order = torch.arange(FRAMES)
    for second in torch.randperm(FRAMES // FPS, generator=dice)[: round(strength * FRAMES / FPS)]:
        frames = torch.arange(FPS) + int(second) * FPS
        order[frames] = frames[torch.randperm(FPS, generator=dice)]
    return film[order]


def freeze(film: Tensor, strength: float, dice: torch.Generator) -> Tensor:
    """The last part, up to half of the film."""
    found, begin = film[:FRAMES].clone(), FRAMES - round(strength * FRAMES / 2)
    found[begin:] = found[begin : begin + 1]
    return found


def drop(film: Tensor, strength: float, dice: torch.Generator) -> Tensor:
    """Up to half of the frames, at random places: the film becomes shorter."""
    gone = torch.randperm(FRAMES, generator=dice)[: round(strength * FRAMES / 2)]
    kept = torch.ones(FRAMES, dtype=torch.bool)
    kept[gone] = False
    return film[:FRAMES][kept]


def colour(film: Tensor, strength: float, dice: torch.Generator) -> Tensor:
    """Red up and blue down by up to 40%, slowly."""
    ramp = torch.linspace(0, 0.4 * strength, FRAMES)[:, None, None, None]
    return film[:FRAMES] * (1 + ramp * torch.tensor([1.0, 0.0, -1.0])[:, None, None])


def loop(film: Tensor, strength: float, dice: torch.Generator) -> Tensor:
    """The last part, up to three quarters, repeats the two seconds before it."""
    found, lag = film[:FRAMES].clone(), 2 * FPS
    begin = FRAMES - round(strength * FRAMES * 3 / 4)
    for frame in range(begin, FRAMES):
        found[frame] = found[frame - lag]
    return found


def seam(film: Tensor, strength: float, dice: torch.Generator) -> Tensor:
    """Half-way all there is leaps aside by a quarter of the width, as far as that covers what was there.

    A mirror image would be no harm to a figure that stands in the middle.
    """
    found, half = film[:FRAMES].clone(), FRAMES // 2
    found[half:] = found[half:].lerp(found[half:].roll(film.shape[-1] // 4, -1), strength)
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


def of_worlds() -> tuple[list[Tensor], list[Tensor]]:
    """Films (FRAMES, 3, 64, 64), floats, and as many others. The sky's weather stands."""
    from longtake.worlds import make
    from longtake.worlds.sky import Change, Moment, Sky

    films = []
    for number in range(2 * len(WORLDS)):
        name, seed = WORLDS[number % len(WORLDS)], SEED + number
        still = Sky((Change(0.0, Moment()),), seed=seed, size=(64, 64), fps=FPS)
        world = still if name == "sky" else make(name, seed=seed, size=(64, 64), fps=FPS)
        films.append(world.render(range(FRAMES)).float())
    return films[: len(WORLDS)], films[len(WORLDS) :]


def of_film(path: Path, begins: Sequence[float]) -> tuple[list[Tensor], list[Tensor]]:
    """Stretches of a film from these seconds on, every frame of RATE a second, and those that follow them."""
    from longtake.video import read_video

    read = [
        read_video(path, fps=RATE, size=(64, 64), start=begin, seconds=2 * FRAMES / RATE)
        for begin in begins
    ]
    halves = [film.float().split(FRAMES) for film in read]
    return [first for first, _ in halves], [last for _, last in halves]


def rows_of(film: Tensor) -> Tensor:
    """Features of a film's clips."""
    clips = Clips(find_extractor("tfvd"), hop=HOP)
    for stretch in stretches(film, FPS):
        clips.see(stretch)
    return clips.course()[1]


def values_of(film: Tensor) -> dict[str, float | None]:
    """What every meter says."""
    meters = {name: make() for name, make in METERS.items()}
    for stretch in stretches(film, FPS):
        for meter in meters.values():
            meter.see(stretch)
    found: dict[str, float | None] = {}
    for name, meter in meters.items():
        try:
            found[name] = float(meter.score().value)
        except InputError:
            found[name] = None
    return found


def answered(films: Sequence[Tensor], others: Sequence[Tensor]) -> dict[str, Any]:
    """Values by metric and harm, a row a film; of `tfvd` one row, from the others; and its bias."""
    clean = [values_of(film) for film in films]
    reference = torch.cat([rows_of(film) for film in others])
    ours = torch.cat([rows_of(film) for film in films])
    told: dict[str, dict[str, Any]] = {name: {} for name in (*METERS, "tfvd")}
    for harm, harmed in HARMS.items():
        courses, distances = [[values] for values in clean], [frechet(ours, reference)]
        for strength in LEVELS[1:]:
            rows = []
            for number, film in enumerate(films):
                dice = torch.Generator().manual_seed(number)
                made = harmed(film, strength, dice).clamp(0, 255).round().byte()
                courses[number].append(values_of(made))
                rows.append(rows_of(made))
            distances.append(frechet(torch.cat(rows), reference))
        for name in METERS:
            told[name][harm] = [[values[name] for values in course] for course in courses]
        told["tfvd"][harm] = [distances]
        click.echo(f"{harm}: {json.dumps([round(value, 2) for value in distances])}", err=True)
    bias = {}
    every = torch.cat([ours, reference])[
        torch.randperm(len(ours) + len(reference), generator=torch.Generator().manual_seed(0))
    ]
    for count in (4, 8, 16, 32, 64):
        if 2 * count <= len(every):
            bias[count] = round(frechet(every[:count], every[-count:]), 3)
    return {"films": len(films), "values": told, "bias": bias}


def correlated(values: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Of `answered`: the cells of the table. Strengths at which a metric could not tell are left out."""
    table: dict[str, dict[str, float]] = {}
    for metric, courses in values.items():
        own = [known(row)[1] for row in courses[next(iter(SEES[metric]))]]
        sizes = sorted(max(row) - min(row) for row in own if row)
        step = STEP * sizes[len(sizes) // 2] if sizes else 0.0
        table[metric] = {}
        for harm, rows in courses.items():
            least = 0.0 if harm in SEES[metric] else step
            pairs = [pair for pair in map(known, rows) if len(pair[0]) >= 3]
            cells = [spearman(*pair) if moves(pair[1], least) else 0.0 for pair in pairs]
            table[metric][harm] = sum(cells) / len(cells) if cells else float("nan")
    return table


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
    lines += [
        "Made by `python tools/respond.py --page`; do not edit. " + " ".join(INTRO.split()),
        "",
    ]
    for name, told in found.items():
        table = correlated(told["values"])
        lines += [f"## {name}: {told['films']} films", ""]
        lines += ["| metric | " + " | ".join(HARMS) + " |", "|---" * (len(HARMS) + 1) + "|"]
        for metric, row in table.items():
            cells = (marked(row[harm], SEES[metric].get(harm, 0)) for harm in HARMS)
            lines.append(f"| `{metric}` | " + " | ".join(cells) + " |")
        misses, strays = [], []
        for metric, row in table.items():
            for harm in HARMS:
                wanted, cell = SEES[metric].get(harm, 0), f"`{metric}` of {harm} ({row[harm]:+.2f})"
                if wanted and not row[harm] * wanted >= ENOUGH:
                    misses.append(cell)
                if not wanted and not abs(row[harm]) <= NONE and metric != "tfvd":
                    strays.append(cell)
        bias = ", ".join(f"{count}: {value:g}" for count, value in told["bias"].items())
        lines += [
            "",
            f"Should be seen and is not, by {ENOUGH}: {', '.join(misses) or 'none'}.",
            "",
            f"Answers to what it should not, past {NONE}: {', '.join(strays) or 'none'}.",
            "",
            f"`tfvd` between so many clips and as many others of the same unharmed films: {bias}.",
            "",
        ]
    return "\n".join([*lines, "## How to read it", "", NOTES.strip(), ""])


INTRO = f"""Films are harmed at five strengths; a cell is Spearman's correlation of a metric's value with the
strength within a film, the mean over films. Where nothing was foretold it is 0 if the value never leaves the unharmed film's by {STEP:.0%} of
what the metric's own harm (the first of SEES) does. Bold cells should be about 1 (or -1), as written down before the run; the others should be
about 0, except `tfvd` of loop and seam, of which nothing was foretold."""


NOTES = """
- **A rank says which way, not how far**: past that tenth a small answer counts as much as a large one.
- **`seams` and `joins` are for unbroken takes**, as here: where there are cuts, the largest jump is one of them whatever is planted. Noise,
  dropped frames and blur change the jumps around a seam and so its ratio.
- **`flicker` also answers to motion**: less of it under blur and in a freeze, more where frames are lost or out of order. `still-flicker`
  answers less to it; under strong noise it finds nothing that stands still and says so.
- **`dynamic` takes noise for motion**, and blur for more of it in real pictures. Compare films of like grain alone.
- **`colours`** of a film with cuts answers to whatever changes its histograms.
- **`tfvd`** hardly sees one frame in eight dropped in films of even motion, and takes all frames shuffled for less than most of
  them in the real film. It sees 16 frames, so that a loop of two seconds shows by its joins alone.
- **Bias against N**: see the line below each table; compare equal numbers of clips only, as protocols' names make sure.
"""


def marked(value: float, wanted: int) -> str:
    """A cell."""
    if value != value:
        return "-"
    return f"**{value:+.2f}**" if wanted else f"{value:+.2f}"


@click.command()
@click.argument("results", nargs=-1, type=click.Path(path_type=Path))
@click.option("--film", type=click.Path(path_type=Path), help="Stretches of it, not of worlds.")
@click.option("--begin", "begins", multiple=True, type=float, help="Second at which a take begins.")
@click.option("--out", type=click.Path(path_type=Path), help="Where figures go.")
@click.option("--page", "paged", is_flag=True, help="Make docs/metrics.md of RESULTS.")
def main(
    results: tuple[Path, ...],
    film: Path | None,
    begins: tuple[float, ...],
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
    line = answered(*(of_worlds() if film is None else of_film(film, begins)))
    if out is not None:
        out.write_text(json.dumps(line))


if __name__ == "__main__":
    main()
