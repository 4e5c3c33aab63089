"""How `tfvd` answers to graded harm: distances from clean clips, their rank correlation, and the bias against N.

    python tools/judge_tfvd.py --clips work/tfvd/held --count 256
    python tools/judge_tfvd.py --film real.mp4 --count 256

The clips are halved; one half, harmed at rising strengths, is compared with the other as it is. Prints a
line of JSON for each harm: the distances, the floor (no harm), and Spearman's correlation with strength.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import click
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from train_tfvd import HARMS, small

from longtake.metrics import frechet, kernel_distance
from longtake.metrics.clipnet import FRAMES
from longtake.metrics.extractors import Tfvd

RAW = 24


def of_world(folder: Path, count: int) -> Tensor:
    """Clips (count, RAW, 3, 64, 64) uint8 of rendered shards."""
    clips, have = [], 0
    for path in sorted(folder.glob("*.safetensors")):
        clips.append(load_file(path)["clips"].flatten(0, 1))
        have += len(clips[-1])
        if have >= count:
            break
    return torch.cat(clips)[:count]


def of_film(film: Path, begin: float, count: int) -> Tensor:
    """Clips of a film from a second on, evenly spread to its end, at 12 frames/s."""
    from longtake.video import probe, read_frames

    info = probe(film)
    width = round(64 * info.width / info.height)
    start = Fraction(int(begin))
    frames = small(torch.stack(list(read_frames(film, fps=12, size=(width, 64), start=start))))
    places = np.linspace(0, len(frames) - RAW - 1, count).astype(int)
    return torch.stack([frames[place : place + RAW] for place in places])


def features(net: Tfvd, clips: Tensor, harm: str, strength: float) -> Tensor:
    """Features of harmed clips (n, 64); the same chance at every strength."""
    rows = []
    for number, clip in enumerate(clips):
        rng = np.random.default_rng(number)
        torch.manual_seed(number)
        whole = clip.float() / 255
        made = HARMS[harm](whole, strength, rng) if strength else whole
        rows.append(made[:FRAMES].clamp(0, 1))
    return torch.cat([net.features(torch.stack(rows[n : n + 16])) for n in range(0, len(rows), 16)])


def spearman(a: list[float], b: list[float]) -> float:
    """The correlation of ranks."""
    ranks = [np.argsort(np.argsort(values)) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


@click.command()
@click.option("--clips", type=click.Path(path_type=Path), help="A folder that `render` made.")
@click.option("--film", type=click.Path(path_type=Path), help="Or a film.")
@click.option("--begin", default=0.0, help="Second of the film from which on it is used.")
@click.option("--count", default=256, help="Clips in all.")
@click.option("--levels", default=5, help="Strengths, up to 1.")
@click.option("--weights", type=click.Path(path_type=Path), help="Others than the built-in.")
def main(
    clips: Path | None,
    film: Path | None,
    begin: float,
    count: int,
    levels: int,
    weights: Path | None,
) -> None:
    """Judge the built-in clip features."""
    torch.set_num_threads(1)
    net = Tfvd(weights) if weights is not None else Tfvd()
    whole = of_world(clips, count) if clips is not None else of_film(film or Path(), begin, count)
    reference = features(net, whole[1::2], "blur", 0.0)
    clean = features(net, whole[::2], "blur", 0.0)
    floor = frechet(clean, reference)
    strengths = [(n + 1) / levels for n in range(levels)]
    for harm in HARMS:
        found = [frechet(features(net, whole[::2], harm, s), reference) for s in strengths]
        line = {"harm": harm, "floor": round(floor, 3), "distances": [round(d, 3) for d in found]}
        line["rank_correlation"] = round(spearman([0.0, *strengths], [floor, *found]), 3)
        click.echo(json.dumps(line))
    counts = [n for n in (16, 32, 64, 128, 256, 512) if n <= len(clean)]
    bias = {n: round(frechet(clean[:n], reference[:n]), 3) for n in counts}
    kernel = {n: round(kernel_distance(clean[:n], reference[:n]), 4) for n in counts}
    click.echo(json.dumps({"distance_by_clips": bias, "kernel_distance_by_clips": kernel}))


if __name__ == "__main__":
    main()
