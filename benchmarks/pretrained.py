"""Films of diffusers' own pipelines beside the same ones made here, with the same tiny random weights.

    python benchmarks/pretrained.py --frames 33,129,513,1025 --record
    python benchmarks/pretrained.py --pipeline wan --frames 33 --rounds 5 --record
    python benchmarks/pretrained.py --pipeline ltx-long --frames 257,513,1025,2049,4097 --rounds 3 --record  # slopes
    python benchmarks/pretrained.py --page      # the tables of docs/pretrained.md, from what is recorded

Every film is made in a process of its own, theirs and ours in turn, with as many calls of the network. What is
compared: processor seconds and seconds, both of a warm process; memory beyond what the loaded pipeline and one clip
took, and how that rises with length, for which it takes long films and several rounds; seconds until a second
of film can be played. Random weights say nothing of how films look. `--record`
puts lines into benchmarks/pretrained.json in the place of those of the same film and side.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parent.parent
RECORD = Path(__file__).with_name("pretrained.json")
PAGE = ROOT / "docs" / "pretrained.md"
MARKS = ("<!-- measured -->", "<!-- end of measured -->")
SIZE, FPS, STEPS, PROMPT = (192, 128), 24, 2, "a calm sea at dawn"
SIDES = ("diffusers", "longtake")

Line = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Peer:
    """A pipeline of diffusers'. parts: the tiny pipeline with its modules, as tests name it; clip, overlap:
    frames of a window, and that two of them share; scheme: what makes as many calls here.
    pictured: begins with a picture. told: further arguments of its call for so many frames.
    """

    pipeline: str
    parts: str
    clip: int = 33
    scheme: str = ""
    noise: str = "own"
    pictured: bool = False
    told: Callable[[int], dict[str, Any]] = lambda frames: {}

    @property
    def title(self) -> str:
        """For the tables."""
        return self.pipeline + (", `--noise diffusers`" if self.noise == "diffusers" else "")


FRAMEPACK = Peer(
    "HunyuanVideoFramepackPipeline",
    "framepack",
    pictured=True,
    told=lambda frames: {"sampling_type": "vanilla", "latent_window_size": 9},
)
PEERS = {
    "wan": Peer("WanPipeline", "wan-text"),
    "wan-exact": Peer("WanPipeline", "wan-text", noise="diffusers"),
    "skyreels": Peer(
        "SkyReelsV2DiffusionForcingPipeline",
        "skyreels-forcing",
        scheme="autoregressive:step=6",
        told=lambda frames: {"base_num_frames": 33, "overlap_history": 9 if frames > 33 else None},
    ),
    "helios": Peer("HeliosPipeline", "helios"),
    "framepack": FRAMEPACK,
    "framepack-exact": dataclasses.replace(FRAMEPACK, noise="diffusers"),
    # it leaves out the last of its steps
    "ltx-long": Peer(
        "LTXI2VLongMultiPromptPipeline",
        "ltx-condition",
        clip=73,
        scheme="autoregressive:step=7",
        told=lambda frames: {
            "temporal_tile_size": 80,
            "temporal_overlap": 24,
            "num_inference_steps": STEPS + 1,
            "skip_steps_sigma_threshold": None,
            "decode_horizontal_tiles": 1,
            "decode_vertical_tiles": 1,
        },
    ),
}


def made(name: str) -> tuple[Any, list[int]]:
    """A tiny pipeline, and a list that grows with every call of its network."""
    import pipeline_parts
    import torch

    if name == "ltx-long":  # as coarse as the published autoencoder
        torch.manual_seed(0)
        scaled = (True, True, True, False)
        pipe = pipeline_parts.ltx_condition()
        pipe.vae = pipeline_parts.ltx_vae(
            patch_size=4, spatio_temporal_scaling=scaled, decoder_spatio_temporal_scaling=scaled
        )
        pipe = type(pipe)(**pipe.components)
    else:
        pipe = pipeline_parts.made(PEERS[name].parts)
    calls = list[int]()
    pipe.set_progress_bar_config(disable=True)
    pipe.transformer.register_forward_hook(lambda *given: calls.append(1))
    return pipe, calls


def picture() -> Any:
    """That films begin with."""
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def theirs(name: str, pipe: Any, frames: int, out: Path) -> float:
    """The pipeline's own film, written when it is whole; seconds until something can be played."""
    import diffusers
    import torch

    from longtake.video import VideoWriter

    peer, began = PEERS[name], time.perf_counter()
    pipe = getattr(diffusers, peer.pipeline)(**pipe.components)
    pipe.set_progress_bar_config(disable=True)
    pictured = {"image": picture()} if peer.pictured else {}
    film = pipe(
        **pictured,
        **{
            "prompt": PROMPT,
            "num_frames": frames,
            "width": SIZE[0],
            "height": SIZE[1],
            "num_inference_steps": STEPS,
            "generator": torch.Generator().manual_seed(1),
            "output_type": "pt",
            **peer.told(frames),
        },
    ).frames
    film = (film[0] if film.ndim == 5 and film.shape[2] == 3 else film[0].transpose(0, 1)).float()
    if name == "ltx-long":  # as the autoencoder has it, not yet as a picture
        film = film.mul(0.5).add(0.5).clamp(0, 1)
    with VideoWriter(out, size=SIZE, fps=Fraction(FPS)) as writer:
        writer.write(film.mul(255).round().to(torch.uint8))
    return time.perf_counter() - began


def ours(name: str, pipe: Any, frames: int, out: Path) -> float:
    """The same film made here; seconds until its first second is written."""
    from longtake import api
    from longtake.recipes.pretrained import Knobs, wrapped

    peer, began, first = PEERS[name], time.perf_counter(), 0.0
    knobs = Knobs(scheme=peer.scheme, noise=peer.noise, clip=peer.clip, steps=STEPS)
    options: Any = {"frames": frames, "size": SIZE, "fps": FPS}
    if peer.pictured:
        options["images"] = (str(out.with_suffix(".png")),)
        picture().save(options["images"][0])
    system = wrapped(pipe, knobs, mark="benchmark")
    for event in api.stream(PROMPT, out=out, model=system, **options):
        line = event.line()
        if line["event"] == "decoded" and not first and line["frames"][1] + 1 >= min(frames, FPS):
            first = time.perf_counter() - began
    return first


def film(name: str, side: str, frames: int) -> Line:
    """One film in this process, by the package that this benchmark lies beside."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
    import torch

    from longtake.video import read_video

    torch.set_num_threads(1)
    makers: dict[str, Callable[..., float]] = {"diffusers": theirs, "longtake": ours}
    pipe, calls = made(name)
    with tempfile.TemporaryDirectory() as folder:
        makers[side](name, pipe, PEERS[name].clip, Path(folder) / "warm.mp4")
        calls.clear()
        before, began, used = peak(), time.perf_counter(), time.process_time()
        first = makers[side](name, pipe, frames, Path(folder) / "film.mp4")
        used, seconds = time.process_time() - used, time.perf_counter() - began
        after = peak()
        count = len(read_video(Path(folder) / "film.mp4"))
    return {
        "peer": name,
        "side": side,
        "asked": frames,
        "frames": count,
        "calls": len(calls),
        "processor": round(used, 2),
        "seconds": round(seconds, 2),
        "first": round(first, 2),
        "megabytes": round((after - before) / 2**20, 1),
    }


def peak() -> int:
    """Most bytes this process has ever held."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def kept() -> list[Line]:
    """What is recorded."""
    return (
        [json.loads(line) for line in RECORD.read_text().splitlines()] if RECORD.is_file() else []
    )


def ratio(lines: Sequence[Line], name: str, asked: int, what: str) -> str:
    """Of our figure by theirs for each frame made, median and extremes over the rounds; "" without."""
    rows = [
        [
            one[what] / one["frames"]
            for one in lines
            if (one["peer"], one["asked"], one["side"]) == key
        ]
        for key in ((name, asked, side) for side in SIDES)
    ]
    found = [ours / theirs for theirs, ours in zip(*rows, strict=False) if theirs]
    if not found:
        return ""
    middle = f"{statistics.median(found):.2f}"
    return middle if len(found) == 1 else f"{middle} ({min(found):.2f}-{max(found):.2f})"


def slope(lines: Sequence[Line], name: str, side: str) -> tuple[float, float]:
    """Megabytes a frame and their standard error, by least squares over films beyond the shortest.

    Two films of one length differ by tens of megabytes at their highest, so it takes several rounds, and lengths
    far apart. NaN: too few films, two for a slope and three for its error.
    """
    points = [
        (one["frames"], one["megabytes"])
        for one in lines
        if (one["peer"], one["side"]) == (name, side) and one["asked"] > PEERS[name].clip
    ]
    if len({x for x, _ in points}) < 2:
        return float("nan"), float("nan")
    fit = statistics.linear_regression(*zip(*points, strict=True))
    if len(points) < 3:
        return fit.slope, float("nan")
    middle = statistics.fmean(x for x, _ in points)
    missed = sum((y - fit.intercept - fit.slope * x) ** 2 for x, y in points)
    spread = sum((x - middle) ** 2 for x, _ in points)
    return fit.slope, (missed / (len(points) - 2) / spread) ** 0.5


def told(found: tuple[float, float], form: str) -> str:
    """A slope, with its standard error where there is one."""
    middle, error = found
    return f"{middle:{form}} MB" if error != error else f"{middle:{form}} ± {error:{form}} MB"


def page(lines: Sequence[Line]) -> str:
    """The tables."""
    text = [
        "| pipeline | frames | calls, theirs and ours | processor seconds a frame, ours by theirs | seconds a frame "
        "| a second to play after, theirs and ours | memory, theirs and ours |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, peer in PEERS.items():
        for asked in sorted({one["asked"] for one in lines if one["peer"] == name}):
            both = [
                [
                    one
                    for one in lines
                    if (one["peer"], one["asked"], one["side"]) == (name, asked, side)
                ]
                for side in SIDES
            ]
            if not all(both):
                continue

            def pair(what: str, form: str = ".1f", both: list[list[Line]] = both) -> str:
                middles = (statistics.median(one[what] for one in side) for side in both)
                return " and ".join(f"{middle:{form}}" for middle in middles)

            text.append(
                f"| {peer.title} | {asked} | {pair('calls', '.0f')} "
                f"| {ratio(lines, name, asked, 'processor')} | {ratio(lines, name, asked, 'seconds')} "
                f"| {pair('first')} s | {pair('megabytes', '.0f')} MB |"
            )
    rows = []
    for name, peer in PEERS.items():
        slopes = [slope(lines, name, side) for side in SIDES]
        if all(middle == middle for middle, _ in slopes):
            both_told = [told(slopes[0], ".3f"), told(slopes[1], ".4f")]
            rows.append(f"| {peer.title} | {' | '.join(both_told)} |")
    if rows:
        text += ["", "| pipeline | memory a frame, theirs | ours |", "|---|---|---|", *rows]
    return "\n".join(text)


@click.command()
@click.option("--frames", default="33,129,257", help="Lengths, with commas between.")
@click.option("--rounds", default=1, type=click.IntRange(1))
@click.option("--pipeline", "names", multiple=True, type=click.Choice(sorted(PEERS)))
@click.option("--record", is_flag=True, help="Keep the figures.")
@click.option(
    "--page", "paged", is_flag=True, help="Put what is kept into the page, and measure nothing."
)
@click.option("--film", "one", nargs=3, default=None, hidden=True)
def main(
    frames: str,
    rounds: int,
    names: tuple[str, ...],
    record: bool,
    paged: bool,
    one: tuple[str, str, str] | None,
) -> None:
    """Make the films and print a line for each."""
    if one:
        click.echo(json.dumps(film(one[0], one[1], int(one[2]))))
        return
    if paged:
        before, _, rest = PAGE.read_text().partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        PAGE.write_text(f"{before}{MARKS[0]}\n{page(kept())}\n{MARKS[1]}{after}")
        return
    lines = list[Line]()
    for number in range(rounds):
        for name in names or sorted(PEERS):
            for length in map(int, frames.split(",")):
                for side in SIDES if number % 2 == 0 else reversed(SIDES):
                    command = [sys.executable, __file__, "--film", name, side, str(length)]
                    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                    lines.append(json.loads(done.stdout.splitlines()[-1]))
                    click.echo(json.dumps(lines[-1]))
    if record:
        new = {(line["peer"], line["asked"], line["side"]) for line in lines}
        old = [one for one in kept() if (one["peer"], one["asked"], one["side"]) not in new]
        RECORD.write_text("".join(json.dumps(line) + "\n" for line in [*old, *lines]))


if __name__ == "__main__":
    main()
