"""`longtake score`: planted faults are named with their second, pages need nothing else, bounds hold."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from longtake.cli import cli
from longtake.video import VideoWriter
from longtake.worlds.sky import Change, Moment, Sky

pytestmark = pytest.mark.usefixtures("one_thread")


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """plain.mp4, and planted.mp4 with a seam, a freeze, a loop and a ramp of colour."""
    folder = tmp_path_factory.mktemp("films")
    moment = Moment(cover="partly", speed="fast")
    plain = Sky((Change(0.0, moment),), seed=5, size=(64, 64)).render(range(600))
    film = plain.float()
    film[100:] = film[100:].flip(-1)
    film[200:230] = film[200]
    film[330:400], film[400:470] = film[260:330], film[260:330].clone()
    ramp = ((torch.arange(600) - 490) / 60).clamp(0, 1)[:, None, None, None]
    film *= 1 + ramp * torch.tensor([0.4, 0.0, -0.4])[:, None, None]
    for name, frames in (("plain", plain), ("planted", film.clamp(0, 255).round().byte())):
        with VideoWriter(folder / f"{name}.mp4", size=(64, 64), fps=Fraction(10)) as writer:
            writer.write(frames)
    return folder


WANTED = "drift,seams,repetition,frozen,colours"


def test_planted_faults_are_named_with_their_second(films: Path) -> None:
    page = films / "page.html"
    done = run("score", films / "planted.mp4", "--metrics", WANTED, "--report", page)
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    said = re.findall(r"<li><b>([\d.]+) s(?: to ([\d.]+) s)?</b> (.*?)</li>", text)

    def found(word: str) -> list[float]:
        return [float(at) for at, _, what in said if what.startswith(word)]

    assert min(abs(at - 10.0) for at in found("a seam")) < 0.15
    assert found("frozen") == pytest.approx([20.0], abs=0.3)
    assert found("a loop") == pytest.approx([33.0], abs=0.3)
    assert "7.0 s before" in text
    ((begin, end),) = [(float(a), float(b)) for a, b, what in said if "mostly colour" in what]
    assert (begin, end) == (pytest.approx(49.0, abs=1.0), pytest.approx(55.0, abs=1.0))
    assert len(said) <= 10, (
        "little else is named: the freeze and the loop end in jumps of their own"
    )


def test_a_plain_film_has_nothing_that_stands_out(films: Path) -> None:
    page = films / "plain.html"
    assert run("score", films / "plain.mp4", "--metrics", WANTED, "--report", page).exit_code == 0
    assert "<p>Nothing.</p>" in page.read_text(encoding="utf-8")


def test_a_page_needs_nothing_else(films: Path) -> None:
    page = films / "two.html"
    videos = (films / "plain.mp4", films / "planted.mp4")
    done = run("score", *videos, "--metrics", WANTED, "--report", page)
    assert done.exit_code == 0 and "drift-v3" in done.output
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"<script|<link|@import|https?://|src=\"(?!data:)", text)
    assert text.count("<svg") == 6 and text.count("data:image/png;base64,") > 16
    for word in ("plain.mp4", "planted.mp4", "largest-jump-v3", "SHA-256", "longtake score"):
        assert word in text
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text).lower()


def test_bounds_decide_the_exit_code(films: Path) -> None:
    film = films / "planted.mp4"
    for bound, code in (
        ("frozen>0.9", 0),
        ("frozen>0.01", 1),
        ("frozen<0.01", 0),
        ("frozen>=0", 1),
        ("frozen<=1", 1),
    ):
        assert run("score", film, "--metric", "frozen", "--fail-if", bound).exit_code == code
    both = run("score", films / "plain.mp4", film, "--metric", "frozen", "--fail-if", "frozen>0.01")
    assert both.exit_code == 1 and "planted.mp4:frozen is" in both.output
    for bad in ("frozen", "frozen>x", "frozen>nan"):
        done = run("score", film, "--metric", "frozen", "--fail-if", bad)
        assert done.exit_code == 2 and "not a bound" in done.output
    done = run("score", film, "--metric", "frozen", "--fail-if", "frosen>1")
    assert done.exit_code == 2 and "try frozen" in done.output


def test_json_is_all_there_is_on_stdout(films: Path) -> None:
    words = ["score", str(films / "plain.mp4"), "--reference", "sky", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "longtake", *words], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["metric"] for line in lines} >= {"drift", "fvd", "colours", "frechet"}
    assert all(line["event"] == "scored" and line["protocol"] for line in lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--report", "page.txt"), "HTML page"),
        (("--report", "no/page.html"), "cannot write"),
        (("--metrics", "drift,sems"), "try seams"),
        (("--features", "i3d", "--metric", "fvd", "--reference", "sky"), "i3d_torchscript.pt"),
        (("--protocol", "tfvd-set"), "--reference FOLDER"),
        (("--protocol", "tfvd-sat", "--reference", "."), "try tfvd-set"),
    ],
)
def test_wrong_words_are_one_line(
    here: Path, films: Path, words: tuple[str, ...], said: str
) -> None:
    done = run("score", films / "plain.mp4", *words)
    assert done.exit_code == 2 and said in done.output
    assert done.output.count("\n") == 1 and list(here.iterdir()) == []


def test_bad_files_are_one_line_and_no_page(here: Path) -> None:
    Path("empty.mp4").touch()
    Path("noise.mp4").write_bytes(bytes(range(256)) * 40)
    with av.open("sound.mp4", "w") as sound:
        stream = sound.add_stream("aac", rate=44100)
        silence = np.zeros((1, 1024), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.sample_rate = 44100
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            sound.mux(packet)
    for name in ("empty.mp4", "noise.mp4", "sound.mp4", "absent.mp4"):
        done = run("score", name, "--report", "page.html")
        assert done.exit_code == 2, name
        assert done.output.count("\n") == 1 and name in done.output
    assert not Path("page.html").exists()
