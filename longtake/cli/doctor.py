"""`doctor`: what this machine can run, how fast, and what is missing."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from longtake.cli.base import Voice, verb
from longtake.cli.figures import gauged, name_of, write_figure
from longtake.errors import ClaimError, LongtakeError
from longtake.models.pretrained.sizes import KNOWN, WORK

_WEIGHTS = Path(__file__).parent.parent / "weights"
_NEEDED = ("torch", "numpy", "av", "pillow", "safetensors", "tokenizers", "click", "rich")
_EXTRAS = ("ray", "diffusers", "transformers", "accelerate", "peft", "torchao")


@dataclasses.dataclass(frozen=True)
class Checked:
    """One thing looked at. ok: None where it is neither right nor wrong."""

    name: str
    value: str
    ok: bool | None = True

    def line(self) -> dict[str, Any]:
        """As a JSON line."""
        return {"event": "checked", **dataclasses.asdict(self)}


@verb(
    "doctor",
    ("longtake doctor", "longtake doctor --quick --json"),
    short_help="Say what this machine can run.",
)
@click.option("--quick", is_flag=True, help="Look only; measure no film.")
def doctor(voice: Voice, quick: bool) -> None:
    """Say what this machine can run, at what size and speed, and what is missing.

    What it measures is kept in the user's cache folder, where `plan` finds it. Exit code 1 if
    something needed is missing or damaged.
    """
    wrong = []
    for checked in _all(quick):
        voice.line(checked.line())
        mark = {True: "ok", False: "MISSING", None: "-"}[checked.ok]
        voice.say(f"{checked.name:<16}{mark:<9}{checked.value}")
        if checked.ok is False:
            wrong.append(checked.name)
    if wrong:
        raise ClaimError(f"something needed is missing: {', '.join(wrong)}", "longtake doctor")


def _all(quick: bool) -> Iterator[Checked]:
    yield Checked("python", f"{platform.python_version()} at {sys.executable}", _python())
    yield from _packages()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Checked("cores", f"{cores} usable, {platform.machine()}", None)
    yield Checked("memory", _memory(), None)
    if importlib.util.find_spec("torch") is None:
        return
    yield from _devices()
    if importlib.util.find_spec("av") is not None:
        yield from _films()
    yield from weights(_WEIGHTS)
    yield from _pretrained()
    if not quick:
        yield _speed()


def _python() -> bool:
    return sys.version_info >= (3, 11)


def _packages() -> Iterator[Checked]:
    for name in _NEEDED:
        try:
            yield Checked(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Checked(name, f"pip install {name}", False)
    for name in _EXTRAS:
        there = importlib.util.find_spec(name) is not None
        yield Checked(name, metadata.version(name) if there else "optional, not installed", None)


def _memory() -> str:
    total, free = _main_memory()
    return f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB of it free" if total else "unknown"


def _main_memory() -> tuple[int, int]:
    """Bytes there are, and bytes free; 0 where that cannot be known."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = (page * os.sysconf(f"SC_{n}PHYS_PAGES") for n in ("", "AV"))
    except (AttributeError, ValueError, OSError):
        return 0, 0
    return total, free


def _pretrained() -> Iterator[Checked]:
    """Published pipelines: whether they would run here, and about how long a clip would take."""
    import torch

    _, main = _main_memory()
    device, room, each = "cpu", float(main), 4
    if torch.cuda.is_available():
        device, room, each = "cuda", float(torch.cuda.mem_get_info()[0]), 2
        if torch.cuda.device_count() > 1:
            what = f"{torch.cuda.device_count()}: films on all of them with --executor ray"
            yield Checked("accelerators", what, None)
    speed = product_speed(device)
    for known in KNOWN:
        size = f"{known.weights() / 1e9:.0f} GB on disk"
        how = known.fits(room, main, each)
        if how:
            clip = f"{known.frames} frames of {known.size[0]}x{known.size[1]}"
            took = span(known.seconds(speed))
            yield Checked(known.hub_id, f"{size}; {how} on {device}: about {took} for {clip}", None)
        else:
            needs = (known.most(each) if device == "cuda" else known.weights(each)) + WORK
            what = f"{size}; needs {needs / 1e9:.0f} GB on {device}, {room / 1e9:.0f} are free"
            yield Checked(known.hub_id, what, None)


def product_speed(device: str) -> float:
    """Floating point operations a second in products of large matrices, as networks have them there."""
    import torch

    side, rounds, dtype = (1024, 4, torch.float32) if device == "cpu" else (8192, 8, torch.bfloat16)
    left = torch.ones(side, side, device=device, dtype=dtype)
    _ = (left @ left)[0, 0].item()
    began = time.perf_counter()
    for _ in range(rounds):
        made = left @ left
    _ = made[0, 0].item()
    return 2 * side**3 * rounds / (time.perf_counter() - began)


def span(seconds: float) -> str:
    """A length of time in its own unit."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def _devices() -> Iterator[Checked]:
    import torch

    yield Checked("threads", f"torch uses {torch.get_num_threads()}", None)
    for n in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        room = torch.cuda.get_device_properties(n).total_memory / 2**30
        yield Checked(f"cuda:{n}", f"{torch.cuda.get_device_name(n)}, {room:.0f} GiB", None)
    if torch.backends.mps.is_available():
        yield Checked("mps", "there", None)
    speed = product_speed("cpu") / 1e9
    yield Checked("arithmetic", f"{speed:.0f} GFLOP/s in products of 1024x1024 matrices", None)


def _films() -> Iterator[Checked]:
    """Every kind of film written for real, and read back."""
    import torch

    from longtake.video import OUT_SUFFIXES, VideoWriter, read_video

    frames = torch.randint(0, 256, (16, 3, 16, 16), dtype=torch.uint8)
    frames = frames.repeat_interleave(8, 2).repeat_interleave(8, 3)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in OUT_SUFFIXES:
            path = Path(folder) / f"film{suffix}"
            try:
                began = time.perf_counter()
                with VideoWriter(path, size=(128, 128), fps=Fraction(10)) as writer:
                    writer.write(frames)
                rate = len(frames) / (time.perf_counter() - began)
                whole = len(read_video(path)) == len(frames)
                yield Checked(f"film {suffix}", f"{rate:.0f} frames/s at 128x128", whole)
            except LongtakeError as error:
                yield Checked(f"film {suffix}", str(error), False)


def weights(folder: Path) -> Iterator[Checked]:
    """Every weight file: its header and length, and its digest where `digests.json` has one."""
    from longtake.keys import file_fingerprint

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        yield Checked("weights", f"none in {folder}", False)
    try:
        digests = json.loads((folder / "digests.json").read_text())
    except (OSError, ValueError):
        digests = {}
    for file in files:
        mine = file_fingerprint(file)
        told = digests.get(file.name, mine)
        if not whole(file) or not str(told).startswith(mine):
            yield Checked(file.name, "damaged: install the package again", False)
        else:
            size = file.stat().st_size / 2**20
            yield Checked(file.name, f"{size:.2f} MiB, {mine}")


def whole(file: Path) -> bool:
    """Whether a safetensors file is as long as its header says."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > file.stat().st_size:
                return False
            header = json.loads(stream.read(length))
        ends = [e["data_offsets"][1] for name, e in header.items() if name != "__metadata__"]
        return file.stat().st_size == 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _speed() -> Checked:
    """The built-in model, made to make a short film; what it took is kept for `plan`."""
    from longtake.brief import Options, job_of

    try:
        job = job_of("a calm sea at dawn", Options())
        gauge = gauged(job)
    except LongtakeError as error:
        return Checked("built-in model", str(error), False)
    figure = gauge.figure()
    if figure is None:
        return Checked("built-in model", "made nothing", False)
    try:
        write_figure(name_of(job), figure)
    except OSError:
        pass  # a machine without a cache folder measures again
    width, height = job.size
    made, each = f"{gauge.frames} frames of {width}x{height}", figure.seconds_per_call
    what = f"{made} in {gauge.seconds:.1f} s, {each:.2f} s a call"
    return Checked("built-in model", what)
