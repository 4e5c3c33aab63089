"""Films of diffusers' own long pipelines beside the same ones made here, with the same tiny random weights.

    python benchmarks/pretrained.py --frames 33,129,257 --record

Every film is made in a process of its own, theirs and ours in turn, with as many calls of the network.
What is compared: seconds, memory beyond what the loaded pipeline takes, and seconds until the first
frames can be played. Random weights say nothing of how films look. `--record` puts the figures into
benchmarks/pretrained.json.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parent.parent
RECORD = Path(__file__).with_name("pretrained.json")
SIZE, STEPS, PROMPT = (96, 64), 2, "a calm sea at dawn"
CLIP, OVERLAP = 33, 9  # frames that SkyReels' windows have, and share
NAMES = {"skyreels-forcing": "SkyReelsV2DiffusionForcingPipeline", "helios": "HeliosPipeline"}
SIDES = ("diffusers", "longtake")

Line = dict[str, Any]


def made(name: str) -> tuple[Any, list[int]]:
    """A tiny pipeline, and a list that grows with every call of its network."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
    import pipeline_parts

    pipe, calls = pipeline_parts.made(name), list[int]()
    pipe.set_progress_bar_config(disable=True)
    pipe.transformer.register_forward_hook(lambda *given: calls.append(1))
    return pipe, calls


def theirs(name: str, pipe: Any, frames: int, out: Path) -> float:
    """The pipeline's own film, written when it is whole; seconds until something can be played."""
    import torch

    from longtake.video import VideoWriter

    began, more = time.perf_counter(), {}
    if name == "skyreels-forcing":
        more = {"base_num_frames": CLIP, "overlap_history": OVERLAP if frames > CLIP else None}
    film = pipe(
        prompt=PROMPT,
        num_frames=frames,
        width=SIZE[0],
        height=SIZE[1],
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(1),
        output_type="pt",
        **more,
    ).frames[0]
    with VideoWriter(out, size=SIZE, fps=Fraction(24)) as writer:
        writer.write(film.mul(255).round().to(torch.uint8))
    return time.perf_counter() - began


def ours(name: str, pipe: Any, frames: int, out: Path) -> float:
    """The same film made here; seconds until its first frames are written."""
    from longtake import api
    from longtake.recipes.pretrained import Knobs, wrapped

    began, first = time.perf_counter(), 0.0
    window, past = (CLIP - 1) // 4 + 1, (OVERLAP - 1) // 4 + 1
    scheme = f"autoregressive:step={window - past}" if name == "skyreels-forcing" else ""
    system = wrapped(pipe, Knobs(scheme=scheme, clip=CLIP, steps=STEPS), mark="benchmark")
    options: Any = {"model": system, "frames": frames, "size": SIZE, "fps": 24}
    for event in api.stream(PROMPT, out=out, **options):
        if event.line()["event"] == "decoded" and not first:
            first = time.perf_counter() - began
    return first


def film(name: str, side: str, frames: int) -> Line:
    """One film in this process."""
    import torch

    from longtake.video import read_video

    torch.set_num_threads(1)
    makers: dict[str, Callable[..., float]] = {"diffusers": theirs, "longtake": ours}
    pipe, calls = made(name)
    with tempfile.TemporaryDirectory() as folder:
        makers[side](name, pipe, CLIP, Path(folder) / "warm.mp4")
        calls.clear()
        before, began = peak(), time.perf_counter()
        first = makers[side](name, pipe, frames, Path(folder) / "film.mp4")
        seconds, after = time.perf_counter() - began, peak()
        count = len(read_video(Path(folder) / "film.mp4"))
    return {
        "pipeline": NAMES[name],
        "side": side,
        "asked": frames,
        "frames": count,
        "calls": len(calls),
        "seconds": round(seconds, 2),
        "first": round(first, 2),
        "megabytes": round((after - before) / 2**20, 1),
    }


def peak() -> int:
    """Most bytes this process has ever held."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


@click.command()
@click.option("--frames", default="33,129,257", help="Lengths, with commas between.")
@click.option("--rounds", default=1, type=click.IntRange(1))
@click.option("--pipeline", "names", multiple=True, type=click.Choice(sorted(NAMES)))
@click.option("--record", is_flag=True, help="Keep the figures.")
@click.option("--film", "one", nargs=3, default=None, hidden=True)
def main(
    frames: str, rounds: int, names: tuple[str, ...], record: bool, one: tuple[str, str, str] | None
) -> None:
    """Make the films and print a line for each."""
    if one:
        click.echo(json.dumps(film(one[0], one[1], int(one[2]))))
        return
    lines = []
    for number in range(rounds):
        for name in names or sorted(NAMES):
            for length in map(int, frames.split(",")):
                for side in SIDES if number % 2 == 0 else reversed(SIDES):
                    command = [sys.executable, __file__, "--film", name, side, str(length)]
                    done = subprocess.run(command, capture_output=True, text=True, check=True)
                    lines.append(json.loads(done.stdout.splitlines()[-1]))
                    click.echo(json.dumps(lines[-1]))
    if record:
        RECORD.write_text("\n".join(json.dumps(line) for line in lines) + "\n")


if __name__ == "__main__":
    main()
