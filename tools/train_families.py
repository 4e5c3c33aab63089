"""Trains every family on every world under one scheme, measures it, and keeps numbers and contact sheets.

    python tools/train_families.py --run families.training
    python tools/train_families.py --family tokens --world digits --minutes 20
    python tools/train_families.py --page

Goes on where it stopped: what is trained stays trained, what is measured, measured. `--page` writes the table
of docs/families.md anew from the numbers in docs/families.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import click
import torch

from longtake.lab.bench import Lab
from longtake.lab.families import FAMILIES, FPS, Trial

ROOT = Path(__file__).parents[1]
PAGE, KEPT = ROOT / "docs" / "families.md", ROOT / "docs" / "families"
BEGIN, END = "<!-- trained -->", "<!-- /trained -->"


def table() -> str:
    """What has been measured, a line each."""
    lines = [
        "| family | world | steps | minutes | trained | untrained | frozen | shuffled | codec | real | bars |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in FAMILIES:
        for world in FPS:
            path = KEPT / f"{name}-{world}.json"
            if not path.exists():
                lines.append(f"| {name} | {world} | not trained yet | | | | | | | | |")
                continue
            told = json.loads(path.read_text())
            far = told["tfvd"]
            names = ("trained", "untrained", "frozen", "shuffled", "codec", "real")
            missed = [bar for bar, held in told["holds"].items() if not held]
            verdict = f"missed: {', '.join(missed)}" if missed else "hold"
            row = " | ".join(f"{far[n]:.1f}" for n in names)
            head = f"[{name}](families/{path.stem}.png) | {world} | {told['steps']}"
            lines.append(f"| {head} | {told['minutes']:g} | {row} | {verdict} |")
    return "\n".join(lines)


def write_page() -> None:
    """The table, between its marks."""
    head, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{table()}\n{END}{tail}")


@click.command()
@click.option("--family", "names", multiple=True, type=click.Choice(list(FAMILIES)))
@click.option("--world", "worlds", multiple=True, type=click.Choice(list(FPS)))
@click.option("--run", type=click.Path(path_type=Path), default=Path("families.training"))
@click.option("--minutes", default=20.0, help="Of each training.")
@click.option("--steps", default=10**6, help="Of each training at most.")
@click.option("--seed", default=0)
@click.option("--threads", default=2)
@click.option("--hurry", default=1.0, help="Share of takes and films: a trial, not kept.")
@click.option("--page", is_flag=True, help="Only write the table of docs/families.md.")
def main(
    names: Sequence[str],
    worlds: Sequence[str],
    run: Path,
    minutes: float,
    steps: int,
    seed: int,
    threads: int,
    hurry: float,
    page: bool,
) -> None:
    """Train and measure."""
    if page:
        write_page()
        return
    torch.set_num_threads(threads)
    lab = Lab(run, seed, hurry=hurry)
    for world in worlds or FPS:
        for name in names or FAMILIES:
            trial = Trial(lab, name, world)
            if not trial.result().exists():
                for line in trial.learn_codec():
                    click.echo(json.dumps(line.line()))
                for line in trial.learn(minutes, steps):
                    click.echo(json.dumps(line.line()))
                trial.measured()
            click.echo(json.dumps(json.loads(trial.result().read_text())))
            if hurry == 1:
                KEPT.mkdir(parents=True, exist_ok=True)
                for path in (trial.result(), trial.result().with_suffix(".png")):
                    shutil.copy(path, KEPT / path.name)
                write_page()


if __name__ == "__main__":
    main()
