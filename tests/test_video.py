"""Reading films: clocks, turns, formats, damage and lies."""

from __future__ import annotations

import os
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from video_parts import (
    NTSC,
    QUARTERS,
    film,
    foreign,
    gif_header,
    greys,
    one_line,
    places,
    psnr,
    run_python,
    tone,
    waves,
)

from longtake.errors import InputError
from longtake.video import fit_frames, probe, read_frames, read_video
from longtake.video.timing import Dated, chosen


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.webm", "film.gif", "film"])
@pytest.mark.parametrize("fps", [Fraction(24), NTSC, Fraction(50)])
def test_reading_at_the_films_own_rate_is_the_film(
    tmp_path: Path, name: str, fps: Fraction
) -> None:
    path = film(tmp_path / name, greys(40), fps)
    assert places(read_video(path)) == list(range(40))
    assert places(read_video(path, fps=fps)) == list(range(40))
    if name != "film.gif":  # its clock ticks in hundredths of a second
        assert probe(path).fps == fps


@pytest.mark.parametrize("fps", [NTSC, Fraction(24), Fraction(60), Fraction(7)])
@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_any_rate_to_ten(tmp_path: Path, name: str, fps: Fraction) -> None:
    path = film(tmp_path / name, greys(70), fps, quality="lossless")
    shown = places(read_video(path, fps=Fraction(10)))
    begins, slack = [k / fps for k in range(70)], Fraction(0)
    if name.endswith("mkv"):  # its clock ticks in milliseconds; half of one is forgiven
        begins = [Fraction(int(1000 * t + Fraction(1, 2)), 1000) for t in begins]
        slack = Fraction(1, 2000)
    count = -(-(70 / fps - slack) * 10 // 1)
    instants = [Fraction(k, 10) + slack for k in range(int(count))]
    assert shown == [max(k for k, t in enumerate(begins) if t <= now) for now in instants]


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.mov"])
def test_variable_rate_shows_what_is_shown_then(tmp_path: Path, name: str) -> None:
    times = [0, 40, 100, 350, 360, 900, 1000]
    pictures = [f.permute(1, 2, 0).numpy() for f in greys(7)]
    path = foreign(tmp_path / name, pictures, times=times)
    shown = places(read_video(path, fps=10, seconds=1.0))
    assert shown == [max(i for i, t in enumerate(times) if t <= 100 * k) for k in range(10)]
    assert places(read_video(path)) == list(range(7))
    assert places(read_video(path, start=0.1, seconds=0.8)) == [2, 3, 4]


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.webm", "film.gif", "film"])
def test_a_stretch_far_inside(tmp_path: Path, name: str) -> None:
    frames = waves(120, 16, 16)
    path = film(tmp_path / name, frames, 5)
    whole = read_video(path)
    assert torch.equal(read_video(path, start=17.4, seconds=2.0), whole[87:97])
    assert torch.equal(read_video(path, start=17.4, seconds=2.0, fps=Fraction(5)), whole[87:97])
    assert torch.equal(read_video(path, start=22), whole[110:])
    with pytest.raises(InputError, match="holds no frames") as error:
        read_video(path, start=24)
    one_line(error)


@settings(deadline=None)
@given(
    stored=st.fractions(Fraction(1, 2), 60, max_denominator=1001),
    asked=st.fractions(Fraction(1, 2), 60, max_denominator=1001),
    start=st.fractions(0, 3, max_denominator=30),
    count=st.integers(1, 40),
)
def test_chosen_is_the_last_frame_begun(
    stored: Fraction, asked: Fraction, start: Fraction, count: int
) -> None:
    frames = [Dated(k / stored, (k + 1) / stored, Fraction(0), k) for k in range(count)]
    shown = list(chosen(iter(frames), start, None, asked))
    left = count / stored - start
    assert len(shown) == max(0, -(-left * asked // 1))  # as many instants as begin before the end
    for k, place in enumerate(shown):
        assert place / stored <= start + k / asked < (place + 1) / stored
    some = list(chosen(iter(frames), start, Fraction(1), asked))
    assert some == shown[: -(-asked // 1)]


@pytest.mark.parametrize("flip", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_display_matrix(tmp_path: Path, degrees: int, flip: tuple[bool, bool]) -> None:
    path = foreign(tmp_path / "phone.mp4", [QUARTERS] * 2, turn=(degrees, *flip))
    upright = np.rot90(QUARTERS, degrees // 90)  # both count counter-clockwise
    upright = upright[:, ::-1] if flip[0] else upright
    upright = upright[::-1] if flip[1] else upright
    shown = read_video(path)[0]
    assert shown.shape[1:] == upright.shape[:2]
    wanted = torch.from_numpy(upright.copy()).permute(2, 0, 1)
    assert psnr(shown, wanted) > 20  # chroma at half size blurs the edges; a wrong turn gives 8
    assert (probe(path).width, probe(path).height) == (shown.shape[-1], shown.shape[-2])
    if not any(flip):
        assert probe(path).rotation == -degrees % 360
    small = read_video(path, size=(20, 20), fit="stretch")[0]
    assert psnr(small, fit_frames(wanted[None], (20, 20), "stretch")[0]) > 20


def test_wide_pixels_become_square(tmp_path: Path) -> None:
    path = foreign(tmp_path / "tv.mp4", [QUARTERS] * 2, aspect=Fraction(3, 2))
    assert (probe(path).width, probe(path).height) == (96, 48)
    assert read_video(path).shape == (2, 3, 48, 96)
    boxed = read_video(path, size=(96, 96), fit="contain")[0]
    rows = (boxed.sum((0, 2)) > 0).nonzero().flatten()
    assert rows.min() >= 23 and rows.max() <= 72  # half the height is picture


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.mov", "libx264", "yuv422p10le"),
        ("a.mkv", "ffv1", "bgr0"),
        ("a.webm", "libvpx-vp9", "yuv444p"),
        ("a.mkv", "libx265", "yuv420p"),
    ],
)
def test_foreign_formats(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    frames = waves(6, 64, 48)
    pictures = [f.permute(1, 2, 0).numpy() for f in frames]
    path = foreign(tmp_path / name, pictures, codec, pixels)
    again = read_video(path, fps=Fraction(10))
    assert again.shape == frames.shape and psnr(again, frames) > 24


def test_full_range_is_told_from_limited(tmp_path: Path) -> None:
    flat = np.full((32, 32, 3), 250, np.uint8)
    path = foreign(tmp_path / "f.mp4", [flat] * 2, pixels="yuv420p", full_range=True)
    assert float(read_video(path).float().mean()) == pytest.approx(250, abs=2)


def test_transparent_gif_is_over_white(tmp_path: Path) -> None:
    from PIL import Image

    picture = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (0, 0, 8, 16))
    picture.save(tmp_path / "cut.gif")
    frame = read_video(tmp_path / "cut.gif")[0]
    assert frame[:, 4, 3].tolist() == [255, 0, 0] and frame[:, 4, 12].tolist() == [255, 255, 255]


def test_fit() -> None:
    wide = torch.zeros(2, 3, 40, 100, dtype=torch.uint8)
    wide[..., 30:70] = 200
    cover = fit_frames(wide, (20, 20), "cover")
    assert cover.shape == (2, 3, 20, 20) and int(cover.min()) == 200  # only the middle is left
    contain = fit_frames(wide, (50, 50), "contain")
    rows = contain[0, 0].amax(1)
    assert int(rows[:15].max()) == 0 and int(rows[15:35].min()) == 200
    assert int(rows[35:].max()) == 0
    stretch = fit_frames(wide, (50, 10), "stretch")
    assert int(stretch[0, 0, 5, 25]) == 200 and int(stretch[0, 0, 5, 2]) == 0
    board = (torch.arange(64).view(-1, 1) + torch.arange(64)).remainder(2) * 255
    board = board.to(torch.uint8).expand(1, 3, 64, 64)
    small = fit_frames(board, (16, 16))
    assert (small.int() - 128).abs().max() <= 2  # what cannot be resolved becomes grey
    assert torch.equal(fit_frames(wide, (100, 40)), wide)
    for size, fit in (((0, 4), "cover"), ((9000, 9000), "cover"), ((4, 4), "cower")):
        with pytest.raises(InputError) as error:
            fit_frames(wide, size, fit)
        one_line(error)


def test_streams_in_constant_memory(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", waves(40, 192, 192).repeat(4, 1, 1, 1), 30)
    program = (
        "import resource, sys; from longtake.video import read_frames\n"
        "frames = read_frames(sys.argv[1], fps=240); [next(frames) for _ in range(20)]\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak(); count = sum(1 for _ in frames)\n"
        "print(count + 20, peak() - before)"
    )
    count, grown = run_python(program, str(path)).split()
    assert int(count) == 160 * 8 and float(grown) < 40  # all frames at once are 135 MiB


def test_a_gif_that_claims_gigabytes(tmp_path: Path) -> None:
    (tmp_path / "small.gif").write_bytes(gif_header(8, 8))
    assert read_video(tmp_path / "small.gif").shape == (1, 3, 8, 8)
    (tmp_path / "bomb.gif").write_bytes(gif_header(65535, 65535))
    program = (
        "import resource, sys, longtake.video as v; from longtake.errors import InputError\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "v.read_video, v.read_image; before = peak()\n"
        "for read in (v.probe, v.read_video, v.read_image):\n"
        "    try: read(sys.argv[1])\n"
        "    except InputError: print('refused')\n"
        "print(peak() - before)"
    )
    *refused, grown = run_python(program, str(tmp_path / "bomb.gif")).split()
    assert refused == ["refused"] * 3 and float(grown) < 100


def test_a_frame_that_claims_more_than_its_file(tmp_path: Path) -> None:
    path = foreign(tmp_path / "liar.avi", [QUARTERS] * 3, "mjpeg", "yuvj420p")
    size, lie = struct.pack(">HH", 48, 64), struct.pack(">HH", 60000, 60000)
    honest = path.read_bytes()
    assert honest.count(b"\xff\xc0\x00\x11\x08" + size) == 3
    path.write_bytes(honest.replace(b"\x11\x08" + size, b"\x11\x08" + lie))
    for read in (probe, read_video):
        with pytest.raises(InputError) as error:
            read(path)
        one_line(error)
    header = honest.replace(struct.pack("<II", 64, 48), struct.pack("<II", 60000, 60000))
    path.write_bytes(header.replace(b"\x11\x08" + size, b"\x11\x08" + lie))
    for read in (probe, read_video):
        with pytest.raises(InputError, match=r"cannot be read|too many") as error:
            read(path)
        one_line(error)


@pytest.mark.parametrize(
    "content",
    [
        b"hello " * 500,
        bytes(range(256)) * 40,
        b"#EXTM3U\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile other.mp4\n",
        b"\x1a\x45\xdf\xa3" + bytes(400),
        b"\0\0\0\x20ftypisom" + bytes(400),
    ],
)
def test_not_a_video(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    film(tmp_path / "other.mp4", greys(2))
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    for read in (probe, read_video):
        with pytest.raises(InputError) as error:
            read(path)
        assert str(path) in one_line(error)
    assert capfd.readouterr() == ("", "")


def test_missing_empty_folder_and_fifo(tmp_path: Path) -> None:
    film(tmp_path / "harbour.mp4", greys(2))
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    cases = {
        "harbor.mp4": "try harbour.mp4",
        "empty.mp4": "empty",
        "folder": "numbered pictures",
        "pipe.mp4": "regular file",
        "http://a/b.mp4": "no such file",
        "x" * 300 + ".mp4": "too long",
    }
    for name, text in cases.items():
        for read in (probe, read_video):
            with pytest.raises(InputError, match=text) as error:
                read(tmp_path / name if "//" not in name else name)
            one_line(error)


def test_only_sound_is_not_a_video(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no moving pictures"):
        read_video(tone(tmp_path / "tone.mp4", 0.5, "aac"))


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.webm"])
def test_a_cut_film_is_read_up_to_the_cut(tmp_path: Path, name: str) -> None:
    path = film(tmp_path / name, waves(60, 64, 64))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(InputError, match=r"cut short at \d\.\d s of 6\.0 s") as error:
        read_video(path)
    one_line(error)
    assert len(read_video(path, seconds=2.0)) == 20
    path.write_bytes(content[:300])
    with pytest.raises(InputError) as error:
        read_video(path)
    one_line(error)


def test_a_changed_byte_is_no_traceback(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", waves(20, 64, 64))
    content = path.read_bytes()
    random = np.random.default_rng(3)
    for _ in range(25):
        broken = bytearray(content)
        for place in random.integers(0, len(content), 6):
            broken[place] = random.integers(256)
        path.write_bytes(bytes(broken))
        try:
            assert read_video(path).shape[1] == 3
        except InputError as error:
            assert "\n" not in str(error)


def test_wrong_arguments_raise_at_once(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", greys(3))
    for wrong in (
        {"fps": 0},
        {"fps": float("nan")},
        {"fps": 1e9},
        {"start": -1},
        {"seconds": float("inf")},
        {"size": (0, 5)},
        {"fit": "squeeze"},
    ):
        with pytest.raises(InputError) as error:
            read_frames(path, **wrong)  # type: ignore[arg-type]
        one_line(error)


def test_paths_and_headers_need_no_torch(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", greys(3))
    film(tmp_path / "film", greys(3), 24)
    program = (
        "import sys; from longtake.video import check_out, is_media, probe\n"
        "check_out(sys.argv[1]); print(is_media(sys.argv[1]), probe(sys.argv[1]).frames)\n"
        "print(probe(sys.argv[2]).fps, 'torch' in sys.modules)"
    )
    assert run_python(program, str(path), str(tmp_path / "film")).split() == [
        "True",
        "3",
        "24",
        "False",
    ]
