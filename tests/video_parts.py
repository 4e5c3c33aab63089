"""Small films for the tests of reading and writing, ours and as other programs make them."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from torch import Tensor

from longtake.errors import InputError
from longtake.video import VideoWriter

SIZES = [(128, 128), (224, 128), (101, 77)]
NTSC = Fraction(30000, 1001)


def waves(count: int, width: int, height: int) -> Tensor:
    """Smooth colours that move: (t, 3, h, w) uint8."""
    y = torch.linspace(0, 1, height).view(height, 1).expand(height, width)
    x = torch.linspace(0, 1, width).view(1, width).expand(height, width)
    frames = [
        torch.stack(
            [0.5 + 0.4 * torch.sin(5 * x + 0.1 * t), 0.5 + 0.4 * torch.cos(4 * y - 0.1 * t), x]
        )
        for t in range(count)
    ]
    return (torch.stack(frames) * 255).round().to(torch.uint8)


def greys(count: int) -> Tensor:
    """Frames that tell their own place: the n-th is flat grey 16 + 3 n, small."""
    levels = 16 + 3 * torch.arange(count)
    return levels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 16, 16).contiguous()


def places(frames: Tensor) -> list[int]:
    """Which of `greys` each frame is, a lossy codec's rounding forgiven."""
    return [round((float(f.float().mean()) - 16) / 3) for f in frames]


def psnr(a: Tensor, b: Tensor) -> float:
    error = (a.float() - b.float()).square().mean().item()
    return 99.0 if error == 0 else 10 * float(np.log10(255**2 / error))


def film(path: Path, frames: Tensor, fps: Fraction | int = 10, **options: str) -> Path:
    size = (frames.shape[-1], frames.shape[-2])
    with VideoWriter(path, size=size, fps=Fraction(fps), **options) as writer:
        writer.write(frames)
    return path


def foreign(
    path: Path,
    frames: Sequence[np.ndarray],
    codec: str = "libx264",
    pixels: str = "yuv420p",
    times: Sequence[int] | None = None,
    base: Fraction = Fraction(1, 1000),
    rate: int = 10,
    aspect: Fraction | None = None,
    turn: tuple[float, bool, bool] | None = None,
    full_range: bool = False,
) -> Path:
    """A video as other programs write them; frames (h, w, 3) uint8, `times` in `base`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        if codec == "libx264":
            stream.options = {"crf": "4"}
        if times is not None:
            stream.codec_context.time_base = base
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if turn:
            stream.set_display_rotation(turn[0], hflip=turn[1], vflip=turn[2])
        if full_range:
            stream.codec_context.color_range = 2
        for k, pixels_rgb in enumerate(frames):
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels_rgb), format="rgb24")
            if full_range:
                frame = frame.reformat(format=pixels, dst_color_range="JPEG")
            if times is not None:
                frame.pts, frame.time_base = times[k], base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    text = str(error.value)
    assert "\n" not in text and "(" in text and "; try " in text
    assert error.value.exit_code == 2
    return text


QUARTERS = np.zeros((48, 64, 3), np.uint8)
QUARTERS[:24, :32] = (255, 0, 0)
QUARTERS[:24, 32:] = (0, 255, 0)
QUARTERS[24:, :32] = (0, 0, 255)


def run_python(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def environment() -> dict[str, str]:
    root = str(Path(__file__).parents[1])
    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}


def gif_header(width: int, height: int) -> bytes:
    screen = struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    return b"GIF89a" + screen + b"," + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\x02\x44\x01\0;"


def tone(path: Path, seconds: float, codec: str = "pcm_s16le") -> Path:
    """A 440 Hz note, 22050 Hz mono, that begins loud at once."""
    count = int(22050 * seconds)
    samples = (20000 * np.sin(2 * np.pi * 440 * np.arange(count) / 22050)).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=22050, layout="mono")
        frame = AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 22050, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
