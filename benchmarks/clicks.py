"""Sound on a long film's clock: a click in every minute of a film, and where it is heard after decoding.

    python benchmarks/clicks.py                     # 90 minutes, .mp4
    python benchmarks/clicks.py --minutes 30 --kind .mkv

The film has one small frame a second. Each click is a bell of 2 ms, found where a bell fits best what is
heard; offsets are in samples of 48 kHz. Exit code 1 if one is off by more than a sample, or a
millisecond where a container counts in those, or if some are off more than others.
"""

from __future__ import annotations

import json
import sys
import tempfile
import wave
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import click
import numpy as np
import torch

from longtake.video import VideoWriter

RATE = 48000  # of the film's sound
WIDE = 0.002  # seconds of a click
NEAR = 480  # samples before and after its place among which a click is looked for
MOST = {".mp4": 1.0}  # samples that a click may be off
COARSE = 48.0  # in containers that count in milliseconds
CODED = 0.0214  # seconds of a coded frame, of which a decoder gives the last one whole
STEADY = 1.0  # samples by which clicks may be off differently


def recording(path: Path, seconds: int, places: Sequence[Fraction], rate: int = 44100) -> Path:
    """A WAV of silence with a click at every place."""
    half = round(WIDE * rate)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        for second in range(seconds):
            own = np.zeros(rate)
            for place in places:
                if int(place) == second:
                    centre = float((place - second) * rate)
                    at = np.arange(round(centre) - half, round(centre) + half)
                    own[at] = bell(at - centre, rate)
            file.writeframes((24000 * own).astype("<i2").tobytes())
    return path


def bell(at: np.ndarray, rate: int) -> np.ndarray:
    """A click at places in samples from its middle."""
    shape: np.ndarray = np.exp(-((at / (WIDE * rate / 4)) ** 2))
    return shape


def fitted(at: np.ndarray, loud: np.ndarray) -> float:
    """Where a bell fits best, between samples by a parabola; NaN if there is none. at: in samples."""
    lags = np.arange(-NEAR, NEAR + 1)
    fits = np.array([(loud * bell(at - lag, RATE)).sum() for lag in lags])
    best = int(fits.argmax())
    if not 0 < best < len(lags) - 1 or fits[best] <= 0:
        return float("nan")
    before, here, after = fits[best - 1 : best + 2]
    return float(lags[best] + (before - after) / (2 * (before - 2 * here + after)))


def film(path: Path, seconds: int, audio: Path, fps: Fraction = Fraction(1)) -> Path:
    """A film of small grey frames with sound."""
    frames = torch.full((64, 3, 16, 16), 128, dtype=torch.uint8)
    with VideoWriter(path, size=(16, 16), fps=fps, audio=audio) as writer:
        left = round(seconds * fps)
        while left:
            part = frames[: min(left, len(frames))]
            writer.write(part)
            left -= len(part)
    return path


def offsets(path: Path, places: Sequence[Fraction]) -> tuple[list[float], float]:
    """How many samples after its place each click is heard (NaN: not at all), and seconds of sound."""
    found, end = [float("nan")] * len(places), Fraction(0)
    near: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            assert frame.pts is not None and frame.time_base is not None
            begin = frame.pts * frame.time_base
            end = max(end, begin + Fraction(frame.samples, RATE))
            for number, place in enumerate(places):
                if (
                    begin - Fraction(1, 50)
                    <= place
                    < begin + Fraction(frame.samples, RATE) + Fraction(1, 50)
                ):
                    values = frame.to_ndarray().astype(np.float64)
                    side = values[0] if frame.format.is_planar else values[0, ::2]
                    at = float((begin - place) * RATE) + np.arange(len(side))
                    near.setdefault(number, []).append((at, side))
    for number, parts in near.items():
        at, loud = (np.concatenate(column) for column in zip(*parts, strict=True))
        found[number] = fitted(at, loud)
    return found, float(end)


def in_time(found: Sequence[float], kind: str) -> bool:
    """Whether clicks are where they should be, and the last as much as the first."""
    off = max(abs(offset) for offset in found)
    return off <= MOST.get(kind, COARSE) and max(found) - min(found) <= STEADY


@click.command()
@click.option("--minutes", default=90)
@click.option("--kind", default=".mp4")
def main(minutes: int, kind: str) -> None:
    """Make a film with clicks and look for them."""
    # each a little later in its minute, so that no click lies on the beat of anything else
    places = [60 * n + Fraction(1, 2) + Fraction(n, 7) % 1 for n in range(minutes)]
    with tempfile.TemporaryDirectory() as folder:
        audio = recording(Path(folder) / "clicks.wav", 60 * minutes, places)
        path = film(Path(folder) / f"film{kind}", 60 * minutes, audio)
        found, seconds = offsets(path, places)
    told = {"minutes": minutes, "kind": kind, "seconds": seconds}
    told |= {"least": round(min(found), 3), "most": round(max(found), 3)}
    click.echo(json.dumps(told))
    sys.exit(int(not in_time(found, kind) or not 0 <= seconds - 60 * minutes < CODED))


if __name__ == "__main__":
    main()
