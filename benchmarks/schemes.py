"""One film by every scheme: waves, calls, seconds, drift and joins, as the table of docs/schemes.md.

    python benchmarks/schemes.py --out compared                   # 1,024 frames of skies
    python benchmarks/schemes.py --out compared --frames 256 --scheme unified --scheme one-shot

Rounds go through the schemes in turn, each with a seed of its own, so that a busy machine slows all
alike. Every figure is a median over the rounds, with the spread in brackets.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

import longtake
from longtake.metrics import Drift, Joins, Motion, measure, step_borders
from longtake.video import contact_sheet

SCHEMES = (
    "autoregressive:window=16,step=8",
    "long-range:window=16,step=8",
    "hierarchy:window=16,step=8,levels=2",
    "keys-then-fill:window=16",
    "coarse-to-fine:window=16",
    "per-shot:window=16,step=8,shot=64",
    "unified:window=16,step=8",
    "unified:window=16,step=8,spacing=16,overlap=5,joins=none",
)
PROMPT = "a bright noon over the plain, scattered fluffy clouds drifting right"


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Sheets and numbers.")
@click.option("--scheme", "schemes", multiple=True, default=SCHEMES)
@click.option("--frames", default=1024)
@click.option("--rounds", default=3, help="Films of each scheme; their seeds differ.")
@click.option("--model", default="skies")
@click.option("--prompt", default=PROMPT)
@click.option("--seed", default=0)
def main(
    out: Path,
    schemes: Sequence[str],
    frames: int,
    rounds: int,
    model: str,
    prompt: str,
    seed: int,
) -> None:
    """Compare schemes on the same weights."""
    out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, Any]] = {scheme: defaultdict(list) for scheme in schemes}
    for number in range(rounds):
        for scheme, row in rows.items():
            asked: dict[str, Any] = {"frames": frames, "scheme": scheme, "model": model}
            began = time.monotonic()
            take = longtake.generate(prompt, seed=seed + number, **asked)
            pixels = torch.stack(list(take))
            row["seconds"].append(time.monotonic() - began)
            sheet = out / f"{scheme.replace(':', '-').replace(',', '-')}-{number}.png"
            for name, value in looked_at(take, pixels, sheet).items():
                row[name].append(value)
            if number == 0:
                *_, planned = longtake.plan(prompt, seed=seed, **asked)
                row |= {name: planned[name] for name in ("waves", "calls")}
    (out / "schemes.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    click.echo(table(rows))


def looked_at(take: longtake.Take, pixels: Tensor, sheet: Path) -> dict[str, float]:
    """Scores of a film, and a sheet of 32 of its frames."""
    contact_sheet(pixels[:: max(1, len(pixels) // 32)][:32], sheet, columns=8)
    joins = Joins(step_borders(take.job), tuple(take.job.cuts))
    scores = measure([pixels], float(take.fps), [Drift(), joins, Motion()])
    named = zip(("drift", "joins", "motion"), scores, strict=True)
    return {name: float(score) for name, score in named}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """As Markdown."""
    lines = [
        "| scheme | waves | calls | seconds | drift | joins | motion |",
        "|---|---|---|---|---|---|---|",
    ]
    for scheme, row in rows.items():
        figures = [
            spread(row[name], places)
            for name, places in (("seconds", 1), ("drift", 2), ("joins", 2), ("motion", 2))
        ]
        lines.append(f"| `{scheme}` | {row['waves']} | {row['calls']} | {' | '.join(figures)} |")
    return "\n".join(lines)


def spread(values: Sequence[float], places: int) -> str:
    """Median, and least and most in brackets."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{places}f} ({low:.{places}f}-{high:.{places}f})"


if __name__ == "__main__":
    main()
