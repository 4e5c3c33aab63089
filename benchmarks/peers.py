"""Statistics of features beside other packages': ratios of medians in one process, and the memory each takes.

    python benchmarks/peers.py --rounds 11
    python benchmarks/peers.py --rows 2048 --width 2048 --case frechet

A line of JSON for each statistic and package that is installed (`pip install longtake[oracles]`): its time
over ours from rows of features (`rows`), streamed (`streamed`) and from pictures through one small network
(`frames`), the values' relative difference, and how resident memory grows when eight times as many rows go
by. Every round runs all, in turn.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import multiprocessing
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from longtake.metrics import Moments, frechet, inception_score, kernel_subsets

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


def imported(name: str) -> Any:
    """A module of theirs; ImportError where it is missing.

    Several import torchvision for pictures alone, of which the usual build knows one build of torch:
    what it misses in another is declared, so that statistics can be had.
    """
    try:
        return importlib.import_module(name)
    except RuntimeError:
        found = importlib.util.find_spec("torchvision")
        if found is None or found.origin is None:
            raise ImportError("torchvision") from None
    library = torch.library.Library("torchvision", "FRAGMENT")
    text = Path(found.origin).with_name("_meta_registrations.py").read_text(encoding="utf-8")
    for operator in set(re.findall(r'register_(?:fake|meta)\("(?:torchvision::)?(\w+)"\)', text)):
        with contextlib.suppress(RuntimeError):  # known already
            library.define(f"{operator}(Tensor a) -> Tensor")
    _DECLARED.append(library)  # it lasts as long as this does
    for module in [m for m in sys.modules if m.partition(".")[0] in ("torchvision", _top(name))]:
        del sys.modules[module]
    return importlib.import_module(name)


_DECLARED: list[Any] = []


def _top(name: str) -> str:
    return name.partition(".")[0]


def fidelity() -> Distance:
    """torch-fidelity keeps all rows, then numpy and scipy."""
    module: Any = imported("torch_fidelity.metric_fid")

    def distance(a: Tensor, b: Tensor) -> float:
        known = [module.fid_features_to_statistics(side) for side in (a, b)]
        found = module.fid_statistics_to_metric(*known, False)
        return float(found["frechet_inception_distance"])

    return distance


def torchmetrics() -> Distance:
    """torchmetrics streams sums in float64, as its FrechetInceptionDistance does in `update`."""
    compute: Any = imported("torchmetrics.image.fid")._compute_fid

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
    theirs: Any = imported("cdfvd.third_party.i3d.utils").frechet_distance
    return lambda a, b: float(theirs(a.double(), b.double()))


SUBSETS, SIZE = 5, 1000  # of a kernel distance
SPLITS = 10  # of an inception score


def kernel_fidelity() -> Distance:
    """torch-fidelity's KID."""
    theirs: Any = imported("torch_fidelity.metric_kid").kid_features_to_metric

    def distance(a: Tensor, b: Tensor) -> float:
        found = theirs(a, b, kid_subsets=SUBSETS, kid_subset_size=SIZE, verbose=False)
        return float(found["kernel_inception_distance_mean"])

    return distance


def kernel_torchmetrics() -> Distance:
    """torchmetrics' KID."""
    theirs: Any = imported("torchmetrics.image.kid").poly_mmd

    def distance(a: Tensor, b: Tensor) -> float:
        drawn = (
            [side[torch.randperm(len(side))[:SIZE]] for side in (a, b)] for _ in range(SUBSETS)
        )
        return sum(float(theirs(*pair)) for pair in drawn) / SUBSETS

    return distance


def certainty_fidelity() -> Distance:
    """torch-fidelity's inception score, of the first rows."""
    theirs: Any = imported("torch_fidelity.metric_isc").isc_features_to_metric
    return lambda a, b: float(theirs(a, splits=SPLITS, shuffle=False)["inception_score_mean"])


def framed(distance: Distance) -> Distance:
    """Of pictures, through one network: rows kept, then a distance of rows."""

    def whole(a: Tensor, b: Tensor) -> float:
        parts = ([NET(part) for part in side.split(PART)] for side in (a, b))  # type: ignore[no-untyped-call]
        return distance(*(torch.cat(rows) for rows in parts))

    return whole


def framed_streamed(a: Tensor, b: Tensor) -> float:
    """Ours, as pictures come by."""
    seen = [Moments(NET.num_features) for _ in (a, b)]
    for moments, side in zip(seen, (a, b), strict=True):
        for part in side.split(PART):  # type: ignore[no-untyped-call]
            moments.add(NET(part))
    return frechet(*seen)


def framed_torchmetrics() -> Distance:
    """torchmetrics' FrechetInceptionDistance with that network in it."""
    kind: Any = imported("torchmetrics.image.fid").FrechetInceptionDistance

    def distance(a: Tensor, b: Tensor) -> float:
        whole = kind(feature=NET, input_img_size=tuple(a.shape[1:]))
        for real, side in ((True, a), (False, b)):
            for part in side.split(PART):  # type: ignore[no-untyped-call]
                whole.update(part, real=real)
        return float(whole.compute())

    return distance


class Small(torch.nn.Module):
    """Pictures (n, 3, 16, 16) -> features (n, 256), by chance."""

    num_features = 256

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 16, 5, 2),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Linear(576, 256),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        with torch.inference_mode():
            found: Tensor = self.net(pictures.float() / 255)
        return found


NET = Small().eval()
Works = dict[str, Callable[[], Distance]]
CASES: dict[str, tuple[Works, Works]] = {  # by statistic: ours, theirs
    "frechet": (
        {"rows": lambda: frechet, "streamed": lambda: streamed},
        {"torch-fidelity": fidelity, "torchmetrics": torchmetrics, "cd-fvd": cdfvd},
    ),
    "frechet of frames": (
        {"frames": lambda: framed_streamed},
        {
            "torch-fidelity": lambda: framed(fidelity()),
            "torchmetrics": framed_torchmetrics,
            "cd-fvd": lambda: framed(cdfvd()),
        },
    ),
    "kernel": (
        {"rows": lambda: lambda a, b: kernel_subsets(a, b, subsets=SUBSETS, size=SIZE)[0]},
        {"torch-fidelity": kernel_fidelity, "torchmetrics": kernel_torchmetrics},
    ),
    "inception score": (
        {"rows": lambda: lambda a, b: inception_score(a, splits=SPLITS)[0]},
        {"torch-fidelity": certainty_fidelity},
    ),
}
CHANCE = ("kernel",)  # subsets are drawn: values differ


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


def compared(case: str, a: Tensor, b: Tensor, rounds: int) -> list[dict[str, Any]]:
    """A line for each of theirs."""
    ours, theirs = CASES[case]
    works = {name: make() for name, make in ours.items()}
    lines: list[dict[str, Any]] = []
    for name, make in theirs.items():
        try:
            works[name] = make()
        except ImportError as error:
            lines.append({"case": case, "peer": name, "missing": str(error)})
    values = {name: work(a, b) for name, work in works.items()}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        order = list(works) if number % 2 == 0 else list(works)[::-1]
        for name in order:
            began = time.process_time()
            works[name](a, b)
            seconds[name].append(time.process_time() - began)
    own = next(iter(ours))
    for name in works:
        line: dict[str, Any] = {"case": case, "peer": name, "of": list(a.shape)}
        line["seconds"] = round(statistics.median(seconds[name]), 4)
        if case not in CHANCE:
            line["apart"] = abs(values[name] - values[own]) / values[own]
        for mine in ours:
            ratios = [t / o for t, o in zip(seconds[name], seconds[mine], strict=True)]
            line[f"times {mine}"] = round(statistics.median(ratios), 2)
        lines.append(line)
    return lines


def pictures(count: int, seed: int) -> Tensor:
    """Bytes (count, 3, 16, 16)."""
    dice = torch.Generator().manual_seed(seed)
    return torch.randint(0, 200 + 20 * seed, (count, 3, 16, 16), generator=dice, dtype=torch.uint8)


@click.command()
@click.option("--rows", default=2048)
@click.option("--width", default=400)
@click.option("--rounds", default=11, type=click.IntRange(1))
@click.option("--case", "cases", multiple=True, type=click.Choice(list(CASES)), help="Only this.")
def main(rows: int, width: int, rounds: int, cases: tuple[str, ...]) -> None:
    """Measure processor time, one thread."""
    torch.set_num_threads(1)
    with threadpool_limits(1):  # numpy's, which all use: its second thread spins while it waits
        for case in cases or CASES:
            make = pictures if "frames" in case else lambda n, seed: features(n, width, seed)
            for line in compared(case, make(rows, 0), make(rows, 1), rounds):
                click.echo(json.dumps(line))
    if not cases:
        memory = {"streamed": growth(width, False), "rows kept": growth(width, True)}
        click.echo(json.dumps({"growth in MiB, 8 times as many rows": memory}))


if __name__ == "__main__":
    main()
