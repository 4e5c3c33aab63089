"""Loads clips beside a bare PyAV loop over the same files, in turn, in one process; prints ratios and medians.

    python benchmarks/loading.py                          # every frame of made-up films of three sizes
    python benchmarks/loading.py --folder videos          # of one's own
    python benchmarks/loading.py --peer decord            # and beside decord or torchcodec, if installed

Seconds are of processor time, for both decode on one thread and a busy machine would blur a clock's.
A ratio is bare seconds over the loader's: 0.9 is nine tenths of the bare loop's speed. The first round,
in which files are looked at for the first time, is told apart.
"""

from __future__ import annotations

import importlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import click
import torch

from longtake.datasets import open_spec
from longtake.datasets.loading import Facts, Loader, Window
from longtake.datasets.miniature import moving, write_clip

SIZES = ((64, 64), (320, 240), (640, 360))


@click.command()
@click.option("--folder", type=Path, help="Videos of one size and length each folder.")
@click.option("--rounds", default=5)
@click.option("--clips", default=6, help="Made-up films of each size.")
@click.option("--frames", default=90, help="Of each of them.")
@click.option("--peer", "peers", multiple=True, type=click.Choice(["decord", "torchcodec"]))
def main(folder: Path | None, rounds: int, clips: int, frames: int, peers: tuple[str, ...]) -> None:
    """Compare throughputs."""
    torch.set_num_threads(1)
    if folder is not None:
        click.echo(json.dumps(compared(folder, rounds, peers)))
        return
    for n, (width, height) in enumerate(SIZES):
        with tempfile.TemporaryDirectory() as made:
            for k in range(clips):
                clip = moving(100 * n + k, frames, (width, height))
                clip = (clip.float() + 4 * torch.randn(clip.shape)).clamp(0, 255).byte()
                write_clip(Path(made) / f"{k}.mp4", clip, 25)
            told = compared(Path(made), rounds, peers)
        click.echo(json.dumps({"size": [width, height], **told}))


def compared(folder: Path, rounds: int, peers: tuple[str, ...]) -> dict[str, object]:
    """Ratios of a bare loop's seconds to others', every frame of every file of a folder."""
    layout = open_spec(str(folder))
    paths = [folder / record.path for record in layout.records]
    first = layout.footage(layout.records[0])
    height, width = first.read([0]).shape[-2:]
    facts = [Facts(first.frames, first.fps, width, height)] * len(paths)
    loader = Loader(layout, [Window(first.frames, (width, height))], 1, workers=0, facts=facts)

    def loaded() -> None:
        for step in range(len(paths)):
            loader.batch(step)

    ways: dict[str, Callable[[], object]] = {"loader": loaded}
    ways |= {name: lambda name=name: [_peer(name, path) for path in paths] for name in peers}
    seconds: dict[str, list[float]] = {name: [] for name in ("bare", *ways)}
    for _ in range(rounds + 1):
        for name, way in {"bare": lambda: [bare(path) for path in paths], **ways}.items():
            began = time.process_time()
            way()
            seconds[name].append(time.process_time() - began)
    told: dict[str, object] = {"frames": len(paths) * first.frames, "rounds": rounds}
    for name in ways:
        ratios = [a / b for a, b in zip(seconds["bare"], seconds[name], strict=True)]
        told[name] = round(statistics.median(ratios[1:]), 3)
        told[f"{name}_first"] = round(ratios[0], 3)
    return told


def bare(path: Path) -> list[object]:
    """What one writes first."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def _peer(name: str, path: Path) -> object:
    if name == "decord":
        reader = importlib.import_module("decord").VideoReader(str(path), num_threads=1)
        return reader.get_batch(range(len(reader)))
    decoder = importlib.import_module("torchcodec.decoders").VideoDecoder(str(path))
    return decoder[:]


if __name__ == "__main__":
    main()
