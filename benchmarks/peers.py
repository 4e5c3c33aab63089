"""Statistics of features beside other packages': ratios of medians in one process, and the memory each takes.

    python benchmarks/peers.py --rounds 11
    python benchmarks/peers.py --rows 2048 --width 2048

A line of JSON for each package that is installed (`pip install longtake[oracles]`): its time over ours
from rows of features (`rows`) and streamed (`streamed`), the values' relative difference, and how resident
memory grows when eight times as many rows go by. Every round runs all, in turn.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from longtake.metrics import Moments, frechet

Distance = Callable[[Tensor, Tensor], float]
PART = 256  # rows that come at a time where features are streamed
MORE = 8  # times as many rows, for memory


def streamed(a: Tensor, b: Tensor) -> float:
    """Ours, as features come by."""
    seen = [Moments(side.shape[1]) for side in (a, b)]
    for moments, side in zip(seen, (a, b), strict=True):
        for part in side.split(PART):  # type: ignore[no-untyped-call]
            moments.add(part)
    return frechet(*seen)


def fidelity() -> Distance:
    """torch-fidelity keeps all rows, then numpy and scipy."""
    module: Any = importlib.import_module("torch_fidelity.metric_fid")

    def distance(a: Tensor, b: Tensor) -> float:
        known = [module.fid_features_to_statistics(side) for side in (a, b)]
        found = module.fid_statistics_to_metric(*known, False)
        return float(found["frechet_inception_distance"])

    return distance


def torchmetrics() -> Distance:
    """torchmetrics streams sums in float64, as its FrechetInceptionDistance does in `update`."""
    compute: Any = importlib.import_module("torchmetrics.image.fid")._compute_fid

    def distance(a: Tensor, b: Tensor) -> float:
        known = []
        for side in (a, b):
            total = torch.zeros(side.shape[1], dtype=torch.float64)
            products = torch.zeros(*2 * side.shape[1:], dtype=torch.float64)
            for part in side.split(PART):  # type: ignore[no-untyped-call]
                rows = part.double()
                total += rows.sum(0)
                products += rows.t().mm(rows)
            mean = total / len(side)
            spread = products - len(side) * mean[None].t().mm(mean[None])
            known += [mean, spread / (len(side) - 1)]
        return float(compute(*known))

    return distance


def cdfvd() -> Distance:
    """cd-fvd keeps all rows."""
    theirs: Any = importlib.import_module("cdfvd.third_party.i3d.utils").frechet_distance
    return lambda a, b: float(theirs(a.double(), b.double()))


PEERS: dict[str, Callable[[], Distance]] = {
    "torch-fidelity": fidelity,
    "torchmetrics": torchmetrics,
    "cd-fvd": cdfvd,
}


def features(rows: int, width: int, seed: int) -> Tensor:
    """Correlated float32 features."""
    dice = torch.Generator().manual_seed(seed)
    mixed = torch.randn(width, width, generator=dice) / width**0.5
    return torch.randn(rows, width, generator=dice) @ mixed + 0.1 * seed


def growth(width: int, keep: bool) -> float:
    """MiB by which a fresh process grows from 8 to 64 parts: rows kept, as others do, or streamed."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grown, (width, keep))


def _grown(width: int, keep: bool) -> float:
    torch.set_num_threads(1)
    moments, kept, sizes = Moments(width), [], []
    for number in range(MORE * MORE):
        part = features(PART, width, 0)
        moments.add(part)
        if keep:
            kept.append(part)
        if number + 1 in (MORE, MORE * MORE):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            sizes.append(pages * resource.getpagesize() / 2**20)
    return round(sizes[1] - sizes[0], 1)


@click.command()
@click.option("--rows", default=2048)
@click.option("--width", default=400)
@click.option("--rounds", default=11, type=click.IntRange(5))
def main(rows: int, width: int, rounds: int) -> None:
    """Measure."""
    torch.set_num_threads(1)
    a, b = features(rows, width, 0), features(rows, width, 1)
    works: dict[str, Distance] = {"rows": frechet, "streamed": streamed}
    for name, make in PEERS.items():
        try:
            works[name] = make()
        except ImportError as error:
            click.echo(json.dumps({"peer": name, "missing": str(error)}))
    values = {name: work(a, b) for name, work in works.items()}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        order = list(works) if number % 2 == 0 else list(works)[::-1]
        for name in order:
            began = time.perf_counter()
            works[name](a, b)
            seconds[name].append(time.perf_counter() - began)
    ours = values["rows"]
    for name in works:
        line: dict[str, Any] = {"peer": name, "rows": rows, "width": width}
        line["seconds"] = round(statistics.median(seconds[name]), 4)
        line["apart"] = abs(values[name] - ours) / ours
        for own in ("rows", "streamed"):
            ratios = [t / o for t, o in zip(seconds[name], seconds[own], strict=True)]
            line[f"times {own}"] = round(statistics.median(ratios), 2)
        click.echo(json.dumps(line))
    memory = {"streamed": growth(width, False), "rows kept": growth(width, True)}
    click.echo(json.dumps({"growth in MiB, 8 times as many rows": memory}))


if __name__ == "__main__":
    main()
