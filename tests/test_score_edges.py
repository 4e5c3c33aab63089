"""`score` of what people have: every file gets finite values or one clear line, never a not-a-number."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from video_parts import foreign, waves

from longtake.cli import cli
from longtake.metrics import METRICS

pytestmark = pytest.mark.usefixtures("one_thread")
COUNT = 40
CHEAP = "drift,seams,repetition,motion,frozen,flicker,colours,dynamic"
UNASKED = {"lpips", "clipsim", "loop-closure"}  # want weights or poses


def pictures(count: int = COUNT, width: int = 64, height: int = 48) -> list[np.ndarray]:
    return [frame.permute(1, 2, 0).numpy() for frame in waves(count, width, height)]


def make(kind: str, place: Path) -> Path:
    """A file of this kind."""
    if kind == "10-bit":
        return foreign(place, pictures(), pixels="yuv420p10le")
    if kind == "variable rate":
        gaps = [100 + 37 * (n % 3) for n in range(COUNT)]
        return foreign(place, pictures(), times=np.cumsum(gaps).tolist())
    if kind == "rotated":
        return foreign(place, pictures(), turn=(90, False, False))
    if kind == "odd size":
        return foreign(place, pictures(width=63, height=47), pixels="yuv444p")
    if kind == "grey":
        return foreign(place, [np.full((48, 64, 3), 128, np.uint8)] * COUNT, pixels="gray")
    if kind == "tiny":
        return foreign(place, pictures(width=16, height=16))
    if kind == "a pixel":
        place = place.with_suffix(".mkv")
        return foreign(place, pictures(width=1, height=1), codec="ffv1", pixels="bgr0")
    if kind == "a strip":
        place = place.with_suffix(".mkv")
        return foreign(place, pictures(width=300, height=1), codec="ffv1", pixels="bgr0")
    if kind == "high dynamic range":
        return foreign(place, pictures(), codec="prores_ks", pixels="yuv422p10le")
    if kind == "grey of 16 bits":
        return foreign(place.with_suffix(".mkv"), pictures(), codec="ffv1", pixels="gray16le")
    if kind == "a gap of nine seconds":
        return foreign(place, pictures(), times=[100 * n + 9000 * (n > 20) for n in range(COUNT)])
    return foreign(place, pictures(count=int(kind.split()[0])))


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, (list, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from numbers(each)


FOREIGN = ("10-bit", "variable rate", "rotated", "odd size", "grey", "tiny", "a pixel", "a strip")
FOREIGN += ("high dynamic range", "grey of 16 bits", "a gap of nine seconds")


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_have_finite_scores(kind: str, tmp_path: Path) -> None:
    film = make(kind, tmp_path / ("film.mov" if kind == "high dynamic range" else "film.mp4"))
    words = ["score", str(film), "--metrics", CHEAP, "--json", "--report", str(tmp_path / "r.html")]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    page = re.sub(r"base64,[^\"]*", "", (tmp_path / "r.html").read_text(encoding="utf-8"))
    assert not re.search(r"\bnan\b|\binf\b", page, re.IGNORECASE)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["metric"] for line in lines} == set(CHEAP.split(","))
    for line in lines:
        assert all(math.isfinite(value) for value in numbers(line)), line


@pytest.mark.parametrize("kind", ["1 frame", "2 frames"])
def test_every_metric_of_almost_nothing(kind: str, tmp_path: Path) -> None:
    """A value, or one line that says how much is wanted."""
    film = make(kind, tmp_path / "film.mp4")
    told = 0
    for name in sorted(set(METRICS) - UNASKED):
        words = ["score", str(film), "--metric", name, "--json", "--prompt", "a sky at noon"]
        done = CliRunner().invoke(cli, [*words, "--reference", str(film)])
        if done.exit_code == 0:
            (line,) = (json.loads(line) for line in done.output.splitlines())
            assert line["value"] == "inf" or all(map(math.isfinite, numbers(line))), line
        else:
            assert done.exit_code == 2 and done.stderr.count("\n") == 1, (name, done.output)
            assert "; try " in done.stderr, done.stderr
            told += 1
    assert told >= 8
