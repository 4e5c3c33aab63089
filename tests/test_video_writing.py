"""Writing films: counts, colours, bytes, sound, full disks, and a process that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from video_parts import (
    SIZES,
    environment,
    film,
    greys,
    one_line,
    places,
    psnr,
    run_python,
    tone,
    waves,
)

from longtake.errors import InputError, MachineError
from longtake.video import (
    VideoWriter,
    check_out,
    is_media,
    part_of,
    probe,
    read_video,
)
from longtake.video.encoding import video_frame

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import clicks


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.webm", "film.gif", "film"])
def test_round_trip(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    frames = waves(7, *size)
    path = film(tmp_path / name, frames)
    again = read_video(path)
    assert again.shape == frames.shape and again.dtype == torch.uint8
    assert psnr(again, frames) >= {"film.gif": 26, "film": 99}.get(name, 38)
    info = probe(path)
    assert (info.width, info.height) == size and info.fps == 10
    assert info.seconds == pytest.approx(0.7, abs=0.02) and info.frames in (7, None)
    assert not part_of(path).exists() and [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.webm"])
@pytest.mark.parametrize("size", [(64, 48), (33, 17)])
def test_lossless_keeps_every_value(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    noise = torch.randint(0, 256, (5, 3, size[1], size[0]), dtype=torch.uint8)
    path = film(tmp_path / name, noise, quality="lossless")
    assert torch.equal(read_video(path), noise)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.webm", "film.gif"])
def test_same_frames_are_the_same_bytes(tmp_path: Path, name: str) -> None:
    frames = waves(30, 40, 24)
    film(tmp_path / "a" / name, frames)
    with VideoWriter(tmp_path / "b" / name, size=(40, 24), fps=Fraction(10)) as writer:
        for first in range(0, 30, 7):
            writer.write(frames[first : first + 7])
            time.sleep(0.01)
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("quality", ["draft", "good"])
def test_gif_frames_are_whole(tmp_path: Path, quality: str) -> None:
    levels = torch.tensor([10, 200, 10, 200, 200, 16, 10], dtype=torch.uint8)
    frames = levels.view(-1, 1, 1, 1).expand(-1, 3, 16, 16)
    again = read_video(film(tmp_path / "blink.gif", frames, quality=quality))
    assert again[:, 0, 5, 5].tolist() == levels.tolist()


@pytest.mark.parametrize("name", ["film.mp4", "film.webm"])
def test_colours_are_bt709_limited_and_say_so(tmp_path: Path, name: str) -> None:
    for rgb in [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 100, 50)]:
        flat = torch.tensor(rgb, dtype=torch.uint8).view(1, 3, 1, 1).expand(3, 3, 32, 32)
        path = film(tmp_path / name, flat)
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frame = next(container.decode(stream))
            context = stream.codec_context
            tags = (context.colorspace, context.color_range)
            stored = [bytes(plane)[plane.line_size * (plane.height // 2) + 5]
                      for plane in frame.planes]  # fmt: skip
        assert tags == (1, 1) and (frame.color_primaries, frame.color_trc) == (1, 1)
        r, g, b = (v / 255 for v in rgb)
        luma = 0.2126 * r + 0.7152 * g + 0.0722 * b
        wanted = [16 + 219 * luma, 128 + 224 * (b - luma) / 1.8556, 128 + 224 * (r - luma) / 1.5748]
        assert stored == pytest.approx(wanted, abs=1.5)
        assert read_video(path).float().mean((0, 2, 3)).tolist() == pytest.approx(rgb, abs=2)


GROW = """
import sys, torch
from fractions import Fraction
from longtake.video import VideoWriter
levels = lambda k: torch.full((1, 3, 32, 32), 16 + 3 * (k % 70), dtype=torch.uint8)
writers = [VideoWriter(p, size=(32, 32), fps=Fraction(10)) for p in sys.argv[1:]]
k = 0
while True:
    for writer in writers:
        writer.write(levels(k))
    k += 1
    print(k, flush=True)
"""


def test_a_killed_film_plays_up_to_the_last_seconds(tmp_path: Path) -> None:
    names = ["film.mp4", "film.mkv", "film.webm", "film.gif", "film"]
    paths = [tmp_path / name for name in names]
    command = [sys.executable, "-c", GROW, *map(str, paths)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        written = 0
        while written < 120:
            written = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    for path in paths:
        assert not path.exists()
        left = read_video(part_of(path))
        assert len(left) >= written - 30, path.name
        assert places(left) == [k % 70 for k in range(len(left))], path.name
    with VideoWriter(paths[0], size=(32, 32), fps=10) as writer:  # and a second run starts afresh
        writer.write(waves(5, 32, 32))
    assert len(read_video(paths[0])) == 5 and not part_of(paths[0]).exists()


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.webm", "film.gif", "film"])
def test_a_failure_before_the_first_frame_leaves_nothing(tmp_path: Path, name: str) -> None:
    with (
        pytest.raises(RuntimeError, match="early"),
        VideoWriter(tmp_path / name, size=(32, 32), fps=10),
    ):
        raise RuntimeError("early")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_part_and_the_old_film(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", greys(3))
    with (
        pytest.raises(KeyboardInterrupt),
        VideoWriter(path, size=(16, 16), fps=Fraction(10)) as writer,
    ):
        writer.write(greys(50))
        raise KeyboardInterrupt
    assert places(read_video(path)) == [0, 1, 2]
    assert places(read_video(writer.part)) == list(range(50))


def test_a_full_disk_is_the_machines_fault(tmp_path: Path) -> None:
    program = (
        "import resource, sys, torch; from longtake.video import VideoWriter\n"
        "from longtake.errors import MachineError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))\n"
        "noise = torch.randint(0, 256, (60, 3, 128, 128), dtype=torch.uint8)\n"
        "for name in ('a.mp4', 'a.mkv', 'a.webm', 'a.gif'):\n"
        "    try:\n"
        "        with VideoWriter(sys.argv[1] + name, size=(128, 128), fps=10) as w:\n"
        "            w.write(noise)\n"
        "    except MachineError as error: print(error.exit_code, error)\n"
    )
    lines = run_python(program, f"{tmp_path}/").splitlines()
    assert len(lines) == 4
    assert all(line.startswith("3 cannot write the film: File too large") for line in lines)
    assert not any((tmp_path / f"a{suffix}").exists() for suffix in (".mp4", ".mkv", ".webm"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("film.mp5", "film.mp4"),
        ("film.mpg", "film.mp4"),
        ("film.webp", "film.webm"),
        ("film.avi", "film.mkv"),
        ("", "film.mp4"),
        ("a\0b.mp4", "film.mp4"),
        ("film.mp4/", "film/"),
        ("photos", "frames"),
        ("file.txt/film.mp4", "beside"),
        ("folder.gif", "folder/"),
    ],
)
def test_check_out_says_what_to_write_instead(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "000000.png").write_bytes(b"\x89PNG holiday")
    (tmp_path / "folder.gif").mkdir()
    (tmp_path / "file.txt").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as error:
        check_out(f"{tmp_path}/{name}" if name else name)
    assert hint in one_line(error).partition("; try ")[2]
    assert sorted(tmp_path.rglob("*")) == before


def test_check_out_creates_nothing_and_accepts(tmp_path: Path) -> None:
    for name in ("a.mp4", "A.MKV", "new/folder/a.webm", "a.gif", "frames", "frames/"):
        assert check_out(f"{tmp_path}/{name}") == tmp_path / name
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="may not write"):
        check_out(tmp_path / "film.mp4")


def test_a_folder_of_frames_is_replaced_but_nothing_else_is(tmp_path: Path) -> None:
    film(tmp_path / "film", greys(9))
    film(tmp_path / "film", greys(4))
    assert places(read_video(tmp_path / "film")) == [0, 1, 2, 3]
    (tmp_path / "film" / "notes.txt").write_text("keep me")
    with pytest.raises(InputError, match="other files"):
        film(tmp_path / "film", greys(2))
    assert (tmp_path / "film" / "notes.txt").read_text() == "keep me"
    assert len(read_video(tmp_path / "film")) == 4


def test_writer_refuses(tmp_path: Path) -> None:
    cases: list[tuple[str, dict[str, object]]] = [
        ("a.mp4", {"size": (0, 4)}),
        ("a.mp4", {"fps": 0}),
        ("a.gif", {"fps": 60}),
        ("a.mp4", {"quality": "god"}),
        ("a.gif", {"quality": "lossless"}),
        ("a.gif", {"audio": "x.wav"}),
        ("a.mp4", {"audio": "x.wav"}),
        ("a.mp4", {"size": (20000, 2)}),
    ]
    for name, wrong in cases:
        arguments = {"size": (16, 16), "fps": 10, **wrong}
        with pytest.raises(InputError) as error:
            VideoWriter(tmp_path / name, **arguments)  # type: ignore[arg-type]
        one_line(error)
    assert list(tmp_path.iterdir()) == []
    with (
        pytest.raises(InputError, match="do not fit"),
        VideoWriter(tmp_path / "a.mp4", size=(16, 16), fps=10) as writer,
    ):
        writer.write(torch.zeros(1, 3, 8, 16, dtype=torch.uint8))
    for name in ("none.mp4", "none.gif", "none"):
        with pytest.raises(InputError, match="needs a frame"):
            VideoWriter(tmp_path / name, size=(16, 16), fps=10).close()


def heard(path: Path) -> tuple[np.ndarray, float, float]:
    """The samples of a film's sound (48 kHz, one side), and when sound and pictures begin."""
    with av.open(str(path)) as container:
        sound, begin = [], None
        for frame in container.decode(audio=0):
            begin = frame.time if begin is None else begin
            values = frame.to_ndarray().astype(np.float64)
            sound.append(values[0] if frame.format.is_planar else values[0, ::2])
        container.seek(0)
        pictures = next(container.decode(video=0)).time
    assert begin is not None
    return np.concatenate(sound), begin, pictures


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.webm"])
@pytest.mark.parametrize("seconds", [0.6, 3.0])
def test_sound_keeps_the_films_clock(tmp_path: Path, name: str, seconds: float) -> None:
    audio = tone(tmp_path / "tone.wav", seconds)
    path = tmp_path / name
    with VideoWriter(path, size=(32, 32), fps=Fraction(10), audio=audio) as writer:
        writer.write(waves(20, 32, 32))
    assert len(read_video(path)) == 20 and len(read_video(path, fps=Fraction(10))) == 20
    samples, begin, pictures = heard(path)
    assert begin == pytest.approx(pictures, abs=0.002)
    assert len(samples) / 48000 == pytest.approx(min(seconds, 2.0), abs=0.03)
    loud = np.abs(samples) > 0.3 * np.abs(samples).max()
    assert int(loud.argmax()) / 48000 < 0.005  # no silence was put before it
    again = tmp_path / "again" / name
    with VideoWriter(again, size=(32, 32), fps=Fraction(10), audio=audio) as writer:
        writer.write(waves(20, 32, 32))
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_sound_is_in_time_to_the_sample(tmp_path: Path, name: str) -> None:
    """A recording of another rate; `benchmarks/clicks.py` does the same over 90 minutes."""
    places = [7 * n + Fraction(2 * n + 1, 9) for n in range(4)]
    audio = clicks.recording(tmp_path / "clicks.wav", 26, places)
    path = clicks.film(tmp_path / name, 24, audio, Fraction(30000, 1001))
    found, seconds = clicks.offsets(path, places)
    assert clicks.in_time(found, path.suffix), found
    # a decoder gives the last coded frame whole
    assert 0 <= seconds - float(719 / Fraction(30000, 1001)) < 1024 / 48000
    late = [place + Fraction(1, 4000) for place in places]
    assert not clicks.in_time([*clicks.offsets(path, late)[0][:1], *found[1:]], path.suffix)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (33, 7), (192, 128)])
def test_every_colour_comes_to_the_encoder_in_its_place(size: tuple[int, int]) -> None:
    frame = torch.randint(0, 256, (3, *reversed(size)), dtype=torch.uint8)
    for view in (frame, frame.flip(2), frame.transpose(1, 2).contiguous().transpose(1, 2)):
        shown = video_frame(view).to_ndarray(format="rgb24")
        assert torch.equal(torch.from_numpy(shown).permute(2, 0, 1), view)


def test_is_media_by_name() -> None:
    assert is_media("a.mp4") and is_media("b/C.JPEG") and is_media(Path("x.gif"))
    assert not is_media("a calm sea") and not is_media("story.toml") and not is_media("mp4")


def test_errors_have_a_remedy() -> None:
    from longtake.video.files import blamed

    with pytest.raises(MachineError, match="freeing space"), blamed(Path("a"), "write", "b"):
        raise OSError(28, "No space left on device")
    with pytest.raises(InputError, match="try b"), blamed(Path("a"), "write", "b"):
        raise PermissionError(13, "Permission denied")
