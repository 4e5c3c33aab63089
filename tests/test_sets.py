"""Sets of videos: where they come from, what is kept of them, merged exactly, and distances by position."""

from __future__ import annotations

import multiprocessing
import tarfile
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from longtake import metrics
from longtake.errors import InputError
from longtake.metrics import Moments, cached, frechet, sets
from longtake.metrics.protocols import find_protocol
from longtake.metrics.sources import videos_of
from longtake.video import VideoWriter

pytestmark = pytest.mark.usefixtures("one_thread")


class Levels:
    """An extractor of pictures that a test can follow: mean red and mean blue."""

    name, width, frames, resize, crop = "efficientnet-lite0-pool", 2, 1, "none", "whole"

    def prepare(self, frames: Tensor) -> Tensor:
        return frames.float()

    def features(self, clips: Tensor) -> Tensor:
        return clips[:, 0].mean((2, 3))[:, ::2]


def write(place: Path, levels: Tensor) -> None:
    """Frames of red levels (t,), lossless enough for a test of levels."""
    frames = torch.full((len(levels), 3, 32, 32), 80.0)
    frames[:, 0] = levels[:, None, None]
    with VideoWriter(place, size=(32, 32), fps=Fraction(10)) as writer:
        writer.write(frames.byte())


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sets")
    dice = torch.Generator().manual_seed(0)
    for name, rise in (("ours", 2.0), ("real", 0.0)):
        (place / name).mkdir()
        for number in range(6):
            start = 60 + 60 * float(torch.rand(1, generator=dice))
            write(place / name / f"{number}.mp4", start + rise * torch.arange(20.0))
    with tarfile.open(place / "ours.tar", "w") as tar:
        for file in sorted((place / "ours").iterdir()):
            tar.add(file, arcname=f"shard/{file.name}")
        (place / "note.txt").write_text("a caption")
        tar.add(place / "note.txt", arcname="shard/0.txt")
    return place


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cached.FOLDER, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_shard_is_its_folder(films: Path) -> None:
    folder = metrics.score_sets([films / "ours"], [films / "real"], "tfvd-set")
    shard = metrics.score_sets([films / "ours.tar"], [films / "real"], "tfvd-set")
    assert folder == shard and folder.value > 0 and folder.detail["floor"] > 0
    assert len(videos_of([films])) == 6, "a folder may hold shards"
    for place, said in (
        (films / "note.tar", "no such file"),
        (films / "bad.tar", "not a shard"),
        (films / "none.tar", "without videos"),
    ):
        (films / "bad.tar").write_bytes(b"no tar at all")
        tarfile.open(films / "none.tar", "w").close()
        with pytest.raises(InputError, match=said):
            videos_of([place])
    (films / "bad.tar").unlink()
    (films / "none.tar").unlink()


def test_a_bad_member_is_named(films: Path, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"no film")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(tmp_path / "x.mp4", arcname="a.mp4")
        tar.add(films / "ours" / "0.mp4", arcname="b.mp4")
    with pytest.raises(InputError, match=r"x\.tar:a\.mp4"):
        metrics.score_sets([tmp_path / "x.tar"], [films / "real"], "tfvd-set")


def test_what_was_seen_is_not_looked_at_again(
    films: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = metrics.score_sets([films / "ours"], [films / "real"], "tfvd-set")
    files = sorted(cache.iterdir())
    assert len(files) == 2 and {file.suffix for file in files} == {".safetensors"}
    looked = []
    plain = sets.moments_of
    monkeypatch.setattr(sets, "moments_of", lambda *a: looked.append(1) or plain(*a))
    again = metrics.score_sets([films / "ours"], [films / "real"], "tfvd-set")
    assert again == first and again.detail == first.detail and not looked
    other = metrics.score_sets([films / "ours"], [films / "real"], "tfvd-set", seed=4)
    assert len(looked) == 2 and other.value != first.value
    files[0].write_bytes(b"damaged")
    assert metrics.score_sets([films / "ours"], [films / "real"], "tfvd-set") == first
    assert len(looked) == 3
    monkeypatch.setenv(cached.FOLDER, "")
    assert metrics.score_sets([films / "ours"], [films / "real"], "tfvd-set") == first


def _part(seed: int) -> dict[str, Tensor]:
    torch.set_num_threads(1)
    rows = torch.randn(700, 16, generator=torch.Generator().manual_seed(seed)) * (seed + 1)
    return Moments(16).add(rows).tensors()


def test_processes_merge_to_the_bit() -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        parts = list(pool.imap_unordered(_part, range(3)))
    merged = Moments(16)
    for part in parts:
        merged.merge(Moments.of_tensors(part))
    alone = Moments(16)
    for seed in (2, 0, 1):
        alone.merge(Moments.of_tensors(_part(seed)))
    assert merged.count == alone.count == 2100
    assert torch.equal(merged.mean, alone.mean)
    assert torch.equal(merged.covariance, alone.covariance)


def test_distance_by_position(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Films that grow redder with time are farther from still ones at every later position."""
    monkeypatch.setattr(sets, "find_extractor", lambda spec: Levels())
    found = metrics.score_sets([films / "ours"], [films / "real"], "avg-effnet")
    assert found.detail["positions"] == [0, 8, 16] and "frames-by-position" in found.protocol
    known = [
        sets.moments_by_position(
            videos_of([films / name]), Levels(), find_protocol("avg-effnet"), 0
        )
        for name in ("ours", "real")
    ]
    wanted = [frechet(*pair) for pair in zip(*known, strict=True)]
    assert found.detail["distances"] == pytest.approx(wanted, rel=1e-4)
    assert found.value == pytest.approx(sum(wanted) / 3)
    shift = [float(a.mean[0] - b.mean[0]) for a, b in zip(*known, strict=True)]
    assert shift[2] - shift[0] == pytest.approx(32, abs=2)
    same = metrics.score_sets([films / "real"], [films / "real"], "avg-effnet")
    assert same.value == 0
