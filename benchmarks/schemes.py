"""One film by every scheme: waves, calls, seconds, drift and joins, as the table of docs/schemes.md.

    python benchmarks/schemes.py --out compared                   # 1,024 frames of skies
    python benchmarks/schemes.py --out compared --frames 256 --scheme unified --scheme one-shot

Rounds go through the schemes in turn, so that a busy machine slows all alike; seconds are medians,
with the spread in brackets. Drift and joins are those of the first round's seed.
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
    seconds = defaultdict[str, list[float]](list)
    rows: dict[str, dict[str, Any]] = {}
    for number in range(rounds):
        for scheme in schemes:
            asked: dict[str, Any] = {"frames": frames, "scheme": scheme, "model": model}
            began = time.monotonic()
            take = longtake.generate(prompt, seed=seed + number, **asked)
            pixels = torch.stack(list(take))
            seconds[scheme].append(time.monotonic() - began)
            if number == 0:
                rows[scheme] = looked_at(take, pixels, out / f"{scheme.partition(':')[0]}.png")
                *_, planned = longtake.plan(prompt, seed=seed, **asked)
                rows[scheme] |= {name: planned[name] for name in ("waves", "calls")}
    for scheme, row in rows.items():
        row["seconds"] = seconds[scheme]
    (out / "schemes.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    click.echo(table(rows))


def looked_at(take: longtake.Take, pixels: Tensor, sheet: Path) -> dict[str, Any]:
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
        times = row["seconds"]
        middle = f"{statistics.median(times):.1f} ({min(times):.1f}-{max(times):.1f})"
        scores = " | ".join(f"{row[name]:.2f}" for name in ("drift", "joins", "motion"))
        lines.append(f"| `{scheme}` | {row['waves']} | {row['calls']} | {middle} | {scores} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
