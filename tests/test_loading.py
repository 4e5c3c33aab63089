"""Loading: the right frames, in an order that seed and step decide alone, through kills, threads and ranks."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from video_parts import environment, foreign, greys, waves

from longtake.datasets import open_spec
from longtake.datasets.loading import (
    Batch,
    Facts,
    Loader,
    Window,
    assign,
    even,
    mixed,
    packed,
    survey,
)
from longtake.datasets.miniature import moving, write_clip
from longtake.errors import InputError
from longtake.video import VideoFrames


def bare(path: Path) -> Tensor:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven clips of three shapes and 12 to 32 frames, at 10 and 25 frames a second."""
    root = tmp_path_factory.mktemp("clips")
    for n in range(11):
        size = [(48, 32), (32, 48), (32, 32)][n % 3]
        suffix, fps = (".avi", 25) if n % 2 else (".mp4", 10)
        write_clip(root / f"{n:02}{suffix}", moving(n, 12 + 2 * n, size), fps)
    return root


@pytest.mark.parametrize(
    ("codec", "name"),
    [("libx264", "a.mp4"), ("mpeg4", "a.avi"), ("libx264", "a.ts"), ("mjpeg", "a.avi"),
     ("libvpx", "a.webm"), ("libvpx-vp9", "b.webm")],
)  # fmt: skip
def test_frames_by_number_are_those_of_a_whole_reading(
    tmp_path: Path, codec: str, name: str
) -> None:
    frames = [frame.permute(1, 2, 0).numpy() for frame in waves(70, 48, 32)]
    path = foreign(tmp_path / name, frames, codec, "yuvj420p" if codec == "mjpeg" else "yuv420p")
    whole, dice = bare(path), np.random.default_rng(1)
    assert VideoFrames(path).frames == len(whole) == 70
    for _ in range(8):
        numbers = dice.integers(0, 70, 4).tolist()
        assert torch.equal(VideoFrames(path).read(numbers), whole[numbers]), numbers
    in_memory = VideoFrames("it", path.read_bytes())
    assert torch.equal(in_memory.read([69, 3, 40]), whole[[69, 3, 40]])
    with pytest.raises(InputError, match="no frame 70"):
        in_memory.read([70])


def test_late_frames_are_sought_not_decoded_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.avi"
    write_clip(path, greys(70).repeat(6, 1, 1, 1), 10)  # a keyframe every 12
    seen = Counter[str]()
    import longtake.video.numbered as numbered

    real = numbered.decoded

    def counting(*arguments: object) -> object:
        for frame in real(*arguments):  # type: ignore[arg-type]
            seen["frames"] += 1
            yield frame

    monkeypatch.setattr(numbered, "decoded", counting)
    video = VideoFrames(path)
    assert video.frames == 420
    whole = bare(path)
    assert torch.equal(video.read([400, 12, 405]), whole[[400, 12, 405]])
    assert seen["frames"] <= 2 * 14


def test_windows_have_their_stride_and_rate() -> None:
    assert Window(4, (8, 8), stride=3).offsets(Fraction(25)) == [0, 3, 6, 9]
    assert Window(4, (8, 8), fps=Fraction(8)).offsets(Fraction(24)) == [0, 3, 6, 9]
    assert Window(5, (8, 8), fps=Fraction(20)).offsets(Fraction(10)) == [0, 0, 1, 1, 2]
    assert Window(3, (8, 8), 2, Fraction(10)).offsets(Fraction(25)) == [0, 5, 10]
    ntsc = Window(100, (8, 8), fps=Fraction(30000, 1001)).offsets(Fraction(30000, 1001))
    assert ntsc == list(range(100))


def test_what_is_loaded_is_what_the_file_shows(clips: Path) -> None:
    layout = open_spec(str(clips))
    loader = Loader(layout, [Window(4, (32, 32), stride=2)], 5, seed=3)
    assert loader.short == 0 and loader.steps_per_epoch == 2
    for item in (item for step in range(2) for item in loader.batch(step).items):
        whole = VideoFrames(clips / item.record.path)
        assert [b - a for a, b in zip(item.numbers, item.numbers[1:], strict=False)] == [2, 2, 2]
        shown = whole.read(range(whole.frames), size=(32, 32))
        assert torch.equal(item.frames, shown[list(item.numbers)])
    assert loader.batch(0).frames.shape == (5, 4, 3, 32, 32)


Order = list[list[tuple[str, tuple[int, ...], float]]]


def order(batches: Sequence[Batch]) -> Order:
    return [
        [(i.record.id, i.numbers, float(i.frames.float().sum())) for i in batch.items]
        for batch in batches
    ]


BUCKETS = [Window(8, (48, 32)), Window(8, (32, 48)), Window(12, (32, 32)), Window(16, (48, 32))]


def make(clips: Path, **options: int) -> Loader:
    layout = open_spec(str(clips))
    facts = survey(layout)
    homes = Counter(assign(known, BUCKETS) for known in facts)
    template = even([homes[n] for n in range(4)], [2, 2, 2, 2])
    return Loader(layout, BUCKETS, template, seed=5, facts=facts, **options)


def test_the_order_hangs_on_seed_and_step_alone(clips: Path) -> None:
    first = make(clips, workers=0)
    steps = 2 * first.steps_per_epoch + 1
    wanted = order([first.batch(step) for step in range(steps)])
    for workers in (0, 1, 3):
        loader = make(clips, workers=workers)
        assert order(list(islice(loader.batches(), steps))) == wanted
        assert order(list(islice(loader.batches(3), 2))) == wanted[3:5]
    backwards = make(clips, workers=0)
    assert order([backwards.batch(step) for step in reversed(range(steps))]) == wanted[::-1]
    halves = [make(clips, workers=1, rank=rank, ranks=2) for rank in (0, 1)]
    both = zip(*(order(list(islice(half.batches(), steps))) for half in halves), strict=True)
    assert [a + b for a, b in both] == wanted
    assert wanted[: first.steps_per_epoch] != wanted[first.steps_per_epoch :][: -1 or None]


def test_every_clip_comes_once_an_epoch_and_moves_between(clips: Path) -> None:
    loader = Loader(open_spec(str(clips)), [Window(4, (32, 32))], 1, seed=2, workers=0)
    epochs = [
        [loader.drawn(step)[0][0][:2] for step in range(11 * n, 11 * n + 11)] for n in range(3)
    ]
    for epoch in epochs:
        assert sorted(clip for clip, _ in epoch) == list(range(11))
    assert len({tuple(clip for clip, _ in epoch) for epoch in epochs}) == 3
    starts = [{clip: numbers[0] for clip, numbers in epoch} for epoch in epochs]
    assert sum(starts[0][clip] != starts[1][clip] for clip in range(11)) >= 6


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[4])
from test_loading import make, order
from pathlib import Path
clips, log, until = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
for batch in make(clips, workers=2).batches():
    with log.open("a") as file:
        file.write(f"{order([batch])}\\n")
    if batch.step == until:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_and_gone_on_with_the_order_is_the_same(clips: Path, tmp_path: Path) -> None:
    until = int(np.random.default_rng().integers(0, 7))
    log = tmp_path / "log"
    words = [str(clips), str(log), str(until), str(Path(__file__).parent)]
    ended = subprocess.run([sys.executable, "-c", KILLED, *words], env=environment(), check=False)
    told = log.read_text().splitlines()
    assert ended.returncode == -9 and len(told) == until + 1
    rest = make(clips, workers=1).batches(len(told))
    told += [str(order([batch])) for batch in islice(rest, 8 - len(told))]
    loader = make(clips, workers=0)
    assert told == [str(order([loader.batch(step)])) for step in range(8)], until


def test_clips_go_to_the_bucket_that_suits_them(clips: Path) -> None:
    def home(frames: int, width: int, height: int) -> int | None:
        return assign(Facts(frames, Fraction(10), width, height), BUCKETS)

    assert home(8, 480, 320) == 0 and home(16, 480, 320) == 3
    assert home(40, 100, 160) == 1 and home(12, 200, 190) == 2
    assert home(11, 200, 190) in (0, 1) and home(7, 32, 32) is None
    short = Loader(open_spec(str(clips)), [Window(20, (32, 32))], 1)
    assert short.short == 4 and short.steps_per_epoch == 7


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), min_size=1, max_size=4),
    st.integers(40, 100),
    st.integers(1, 3),
)
def test_packs_hold_what_fits_and_lose_less_than_a_step(
    kinds: list[tuple[int, int]], capacity: int, rows: int
) -> None:
    counts, costs = [n for n, _ in kinds], [cost for _, cost in kinds]
    steps = packed(counts, costs, capacity, rows)
    assert all(len(step) == rows for step in steps)
    bins = [row for step in steps for row in step]
    fill = [sum(costs[bucket] for bucket in row) for row in bins]
    assert all(0 < cost <= capacity for cost in fill)
    used = Counter(bucket for row in bins for bucket in row)
    left = sum((counts[b] - used[b]) * costs[b] for b in range(len(kinds)))
    assert all(used[b] <= counts[b] for b in range(len(kinds)))
    assert left <= (rows - 1) * capacity
    # First-fit leaves at most one row half empty.
    assert sum(2 * cost <= capacity for cost in fill) <= 1


def test_packed_rows_are_loaded(clips: Path) -> None:
    layout, windows = open_spec(str(clips)), [Window(8, (32, 32)), Window(16, (32, 32))]
    facts = survey(layout)
    homes = Counter(assign(known, windows) for known in facts)
    steps = packed([homes[0], homes[1]], [2, 4], capacity=6, rows=2)
    loader = Loader(layout, windows, steps, facts=facts)
    seen = [item.record.id for step in range(len(steps)) for item in loader.batch(step).items]
    assert len(seen) == len(set(seen)) >= 9
    assert max(len(row) for step in range(len(steps)) for row in loader.batch(step).rows) >= 2
    with pytest.raises(InputError, match="capacity"):
        packed([1], [9], 8, 1)


def test_a_survey_is_remembered_and_survives_a_torn_line(clips: Path, tmp_path: Path) -> None:
    layout, cache = open_spec(str(clips)), tmp_path / "facts.jsonl"
    first = survey(layout, cache)
    text = cache.read_text()
    cache.write_text(text[:-5])
    assert survey(layout, cache) == first
    changed = text.replace('["00.mp4", 12', '["00.mp4", 99')
    cache.write_text(changed)
    assert survey(layout, cache)[0].frames == 99


def test_what_cannot_be_shared_is_refused(clips: Path) -> None:
    layout = open_spec(str(clips))
    with pytest.raises(InputError, match="rank 0 of 2 with steps of 3 rows"):
        Loader(layout, [Window(4, (32, 32))], 3, ranks=2)
    with pytest.raises(InputError, match="no full step: 0 clips, 11 too short"):
        Loader(layout, [Window(400, (32, 32))], 1)


def test_shuffles_are_even_and_fixed_for_ever() -> None:
    assert mixed(1, 2, 3, np.arange(3)).tolist() == mixed(1, 2, 3, np.arange(5))[:3].tolist()
    places = np.stack([np.argsort(mixed(7, epoch, 2, np.arange(8))) for epoch in range(4000)])
    share = np.stack([np.bincount(places[:, n], minlength=8) for n in range(8)]) / 4000
    assert abs(share - 1 / 8).max() < 0.025
    assert [int(n) % 1000 for n in mixed(0, 0, 0, np.arange(4))] == [776, 699, 839, 298]
