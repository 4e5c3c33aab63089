"""What each metric answers to: films harmed at rising strengths, and the rank correlation of its value with that.

    python tools/respond.py --out work/respond.json                  # films of worlds, seeds no weights have seen
    python tools/respond.py --film real.mp4 --begin 60 --out work/real.json
    python tools/respond.py --page work/respond.json work/real.json  # docs/metrics.md

Which harm a metric should see (SEES) was written down before it was run. A cell is Spearman's correlation
of value and strength within a film, the mean over films: 1 where it rises every time, 0 where it stays or
goes either way. `fvd` (through `tfvd`) is of all films together, from other films that are unharmed.
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
from longtake.metrics.overlength import Drift, Flicker, Frozen, Seams
from longtake.metrics.repeating import Repetition

ROOT = Path(__file__).parent.parent
FPS, FRAMES, SPARE = 10, 240, 120  # frames of a film, and those that dropping uses up
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
WORLDS = (("sky", 9001), ("sky", 9002), ("walker", 9003), ("script", 9004))
HOP = 24  # frames from clip to clip
ENOUGH, NONE = 0.95, 0.3  # of a correlation: seen, and not seen

Harm = Callable[[Tensor, float, torch.Generator], Tensor]


def blur(film: Tensor, strength: float, dice: torch.Generator) -> Tensor:
    """Up to 7 pixels wide."""
    soft = avg_pool2d(film[:FRAMES], 7, 1, 3, count_include_pad=False)
    return film[:FRAMES].lerp(soft, strength)


def noise(film: Tensor, strength: float, dice: torch.Generator) -> Tensor:
    """Up to 20 levels."""
    return film[:FRAMES] + 20 * strength * torch.randn(film[:FRAMES].shape, generator=dice)


def shuffle(film: Tensor, strength: float, dice: torch.Generator) -> Tensor:
    """A share of the frames of every second, in another order."""
    order = torch.arange(FRAMES)
    for begin in range(0, FRAMES, FPS):
        some = torch.randperm(FPS, generator=dice)[: round(strength * FPS)] + begin
        order[some] = some.roll(1)
    return film[order]


def freeze(film: Tensor, strength: float, dice: torch.Generator) -> Tensor:
    """Up to half of the film."""
    found, begin = film[:FRAMES].clone(), FRAMES // 4
    stop = begin + round(strength * FRAMES / 2)
    found[begin:stop] = found[begin]
    return found


def drop(film: Tensor, strength: float, dice: torch.Generator) -> Tensor:
    """Every third frame is gone at most, at random places."""
    gone = torch.rand(FRAMES, generator=dice) < strength / 2
    return film[(torch.arange(FRAMES) + gone.cumsum(0)).clamp(max=len(film) - 1)]


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
    """Half-way the picture is blended with its mirror image, all at once."""
    found = film[:FRAMES].clone()
    found[FRAMES // 2 :] = found[FRAMES // 2 :].lerp(found[FRAMES // 2 :].flip(-1), strength / 2)
    return found


HARMS: Mapping[str, Harm] = {
    harm.__name__: harm for harm in (blur, noise, shuffle, freeze, drop, colour, loop, seam)
}
METERS: Mapping[str, Callable[[], Meter]] = {
    "drift": Drift,
    "seams": Seams,
    "repetition": Repetition,
    "frozen": Frozen,
    "flicker": Flicker,
    "still-flicker": StillFlicker,
    "dynamic": Dynamic,
    "colours": ColourLag,
}
SEES: Mapping[str, Mapping[str, int]] = {  # 1: rises, -1: falls
    "drift": {"colour": 1},
    "seams": {"seam": 1},
    "repetition": {"loop": 1},
    "frozen": {"freeze": 1},
    "flicker": {"noise": 1, "shuffle": 1},
    "still-flicker": {"noise": 1},
    "dynamic": {"freeze": -1, "shuffle": 1, "drop": 1},
    "colours": {"colour": -1},
    "fvd": {"blur": 1, "noise": 1, "shuffle": 1, "freeze": 1, "drop": 1, "colour": 1},
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


def of_worlds() -> list[Tensor]:
    """Films (frames, 3, 64, 64), floats."""
    from longtake.worlds import make

    size = (64, 64)
    worlds = [make(name, seed=seed, size=size, fps=FPS) for name, seed in WORLDS]
    return [world.render(range(FRAMES + SPARE)).float() for world in worlds]


def of_film(path: Path, begin: float, count: int) -> list[Tensor]:
    """Stretches of a film, a minute apart."""
    from longtake.video import read_video

    seconds = (FRAMES + SPARE) / FPS
    return [
        read_video(path, fps=FPS, size=(64, 64), start=begin + 60 * n, seconds=seconds).float()
        for n in range(count)
    ]


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


def answered(films: Sequence[Tensor]) -> dict[str, Any]:
    """Correlations by metric and harm, and the distance by the number of clips."""
    clean = [values_of(film[:FRAMES]) for film in films]
    half = len(films) // 2  # the second half is the reference, unharmed
    reference = torch.cat([rows_of(film[:FRAMES]) for film in films[half:]])
    known = [rows_of(film[:FRAMES]) for film in films[:half]]
    table: dict[str, dict[str, float]] = {name: {} for name in (*METERS, "fvd")}
    for harm, harmed in HARMS.items():
        courses = [[values] for values in clean]
        distances = [frechet(torch.cat(known), reference)]
        for strength in LEVELS[1:]:
            rows = []
            for number, film in enumerate(films):
                dice = torch.Generator().manual_seed(number)
                made = harmed(film, strength, dice).clamp(0, 255).round().byte()
                courses[number].append(values_of(made))
                rows += [rows_of(made)] if number < half else []
            distances.append(frechet(torch.cat(rows), reference))
        for name in METERS:
            told = [[values[name] for values in course] for course in courses]
            whole = [[v for v in course if v is not None] for course in told]
            full = [spearman(LEVELS, course) for course in whole if len(course) == len(LEVELS)]
            table[name][harm] = round(sum(full) / len(full), 3) if full else float("nan")
        table["fvd"][harm] = round(spearman(LEVELS, distances), 3)
        click.echo(f"{harm}: " + json.dumps({name: row[harm] for name, row in table.items()}))
    bias = {}
    every = torch.cat([*known, reference])
    for count in (4, 8, 16, 32):
        if 2 * count <= len(every):
            bias[count] = round(frechet(every[: 2 * count : 2], every[1 : 2 * count : 2]), 3)
    return {"films": len(films), "table": table, "bias": bias}


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """docs/metrics.md."""
    lines = ["# Metrics: what each one sees", ""]
    lines += [
        "Made by `python tools/respond.py --page`; do not edit. " + " ".join(INTRO.split()),
        "",
    ]
    for name, told in found.items():
        table = told["table"]
        lines += [f"## {name}: {told['films']} films", ""]
        lines += ["| metric | " + " | ".join(HARMS) + " |", "|---" * (len(HARMS) + 1) + "|"]
        for metric, row in table.items():
            cells = (marked(row[harm], SEES[metric].get(harm, 0)) for harm in HARMS)
            lines.append(f"| `{metric}` | " + " | ".join(cells) + " |")
        misses = [
            f"`{metric}` of {harm} ({row[harm]:+.2f})"
            for metric, row in table.items()
            for harm in HARMS
            if (wanted := SEES[metric].get(harm, 0)) and not row[harm] * wanted >= ENOUGH
        ]
        strays = [
            f"`{metric}` of {harm} ({row[harm]:+.2f})"
            for metric, row in table.items()
            for harm in HARMS
            if not SEES[metric].get(harm, 0) and not abs(row[harm]) <= NONE
        ]
        lines += [
            "",
            f"Should be seen and is not, by {ENOUGH}: " + (", ".join(misses) or "none") + ".",
        ]
        lines += [
            "",
            f"Answers to what it should not, past {NONE}: " + (", ".join(strays) or "none") + ".",
        ]
        bias = ", ".join(f"{count}: {value:g}" for count, value in told["bias"].items())
        lines += [
            "",
            f"`fvd` through `tfvd` between halves of the same unharmed films, by clips a side: {bias}.",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


INTRO = """Films are harmed at five strengths; a cell is Spearman's correlation of a metric's value with the
strength within a film, the mean over films. Bold cells are those that should be about 1 (or -1), as written down before the run;
the others should be about 0, except `fvd` of loop and seam, of which nothing was foretold."""


def marked(value: float, wanted: int) -> str:
    """A cell."""
    if value != value:
        return "-"
    return f"**{value:+.2f}**" if wanted else f"{value:+.2f}"


@click.command()
@click.argument("results", nargs=-1, type=click.Path(path_type=Path))
@click.option("--film", type=click.Path(path_type=Path), help="Stretches of it, not of worlds.")
@click.option("--begin", default=0.0, help="Second of the film from which on it is used.")
@click.option("--count", default=4, help="Stretches of the film.")
@click.option("--out", type=click.Path(path_type=Path), help="Where figures go.")
@click.option("--page", "paged", is_flag=True, help="Make docs/metrics.md of RESULTS.")
def main(
    results: tuple[Path, ...],
    film: Path | None,
    begin: float,
    count: int,
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
    line = answered(of_worlds() if film is None else of_film(film, begin, count))
    if out is not None:
        out.write_text(json.dumps(line))


if __name__ == "__main__":
    main()
