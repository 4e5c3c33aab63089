"""`verify`: what it finds when something has changed, and what a replay says."""

from __future__ import annotations

import os
import shutil
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from manifest_parts import FILM, MINE, TOY, edited, failing, make, refused, run, verify
from toy import toy

import longtake
from longtake.cli.verify import read_span
from longtake.engine.manifest import read_manifest
from longtake.errors import InputError
from longtake.video import VideoWriter, read_video, write_image

pytestmark = pytest.mark.usefixtures("here")


# --- verify


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.webm", "film.gif", "film"])
def test_every_kind_of_film_holds_and_replays(name: str) -> None:
    make(name)
    (told,) = verify(name)
    assert told["holds"] and not told["differs"] and not told["unknown"]
    first, second = verify(name, "--replay", "3.5-5")
    assert first == told
    assert second == {
        "event": "replayed",
        "film": name,
        "seconds": [3.5, 5.0],
        "verdict": "equal",
        "steps": 3,
        "stretches": [
            {
                "frames": [32, 64],
                "verdict": "equal",
                "apart": None,
                "coding": None,
                "seconds": [3.2, 6.4],
            }
        ],
    }


def test_words_for_people() -> None:
    make()
    told = run("verify", "film.mp4", "--replay", "0-7", "--model", TOY)
    assert told.exit_code == 0
    assert "film.mp4: holds; its manifest says 70 frames, 64x48, 10 fps" in told.stdout
    assert "6.4 to 7 s: equal" in told.stdout
    assert "replaying frames 0 to 69: 4 of 4 steps" in told.stderr
    quiet = run("verify", "film.mp4", "--model", TOY, "--quiet")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")
    unknown = run("verify", "film.mp4")
    assert unknown.exit_code == 0, "the file needs no model"
    assert "not compared: a manifest's word is not enough to load a model" in unknown.stdout
    assert f"try --model {os.path.relpath(TOY)}" in unknown.stdout
    assert run("verify", "film.mp4", "--replay", "0-1").exit_code == 2


def test_a_flipped_byte_is_found() -> None:
    make()
    data = bytearray(FILM.read_bytes())
    for place in (40, len(data) // 2, len(data) - 1):
        data[place] ^= 1
        FILM.write_bytes(data)
        (told, failed) = verify("film.mp4", code=1)
        assert "file" in failing(told) and not told["holds"]
        assert failed["error"].startswith("not what the manifest says: file")
        data[place] ^= 1
    FILM.write_bytes(data[:-100])
    assert {"file", "bytes"} <= failing(verify("film.mp4", code=1)[0])
    FILM.write_bytes(b"no film at all")
    told = verify("film.mp4", code=1)[0]
    assert told["checks"]["frames"] == {"holds": False, "was": 70, "is": None}


def test_another_film_in_its_place_is_found() -> None:
    make()
    with VideoWriter(FILM, size=(32, 32), fps=Fraction(10)) as writer:
        writer.write(torch.zeros(9, 3, 32, 32, dtype=torch.uint8))
    told = verify("film.mp4", code=1)[0]
    assert failing(told) == {"file", "bytes", "frames", "size"}
    assert told["checks"]["frames"]["is"] == 9


def test_a_folder_s_frames_are_all_held_against_it() -> None:
    make("film")
    frame = Path("film/000012.png")
    data = frame.read_bytes()
    frame.unlink()
    assert failing(verify("film", code=1)[0]) == {"file", "bytes", "frames"}
    frame.write_bytes(data)
    assert verify("film")[0]["holds"]
    shutil.copy(frame, "film/000070.png")
    assert "frames" in failing(verify("film", code=1)[0])


def test_a_changed_manifest_is_found() -> None:
    make()
    edited(lambda told: told.update(seed=8), signed=False)
    told = verify("film.mp4", "--replay", "0-1", code=1)
    assert failing(told[0]) == {"manifest"}
    assert [line["event"] for line in told] == ["verified", "failed"], "nothing is replayed of it"
    make()
    edited(lambda told: told.update(seed=8))
    told = verify("film.mp4", "--replay", "0-1", code=1)
    assert told[1]["verdict"] == "different"
    make()
    edited(lambda told: told["steps"].pop())
    assert list(verify("film.mp4")[0]["differs"]) == ["plan"]
    edited(lambda told: told["film"].update(frames=69))
    assert failing(verify("film.mp4", code=1)[0]) == {"frames"}


# --- replay


@pytest.fixture
def mine(here: Path) -> str:
    (here / "mine.py").write_text(MINE)
    make(model="mine.py:mine")
    return "mine.py:mine"


@pytest.mark.parametrize(("shift", "verdict"), [("0.3", "same look"), ("20", "different")])
def test_other_settings_are_seen(mine: str, shift: str, verdict: str) -> None:
    words = ("film.mp4", "--replay", "0-7", "--set", f"shift={shift}")
    told = verify(*words, model=mine, code=int(verdict == "different"))
    assert told[0]["holds"], "the film is what it was"
    assert set(told[0]["differs"]) == {"models"}
    assert told[1]["verdict"] == verdict
    for stretch in told[1]["stretches"]:
        over = stretch["apart"] - stretch["coding"]
        assert over <= 1 if stretch["verdict"] == "same look" else over > 1
    spoken = run("verify", *words, "--model", mine).stdout
    assert "changed since, so that a replay may differ: models" in spoken
    assert "grey levels from the film's own frames" in spoken


def test_other_code_under_the_same_name_is_seen(mine: str) -> None:
    Path("mine.py").write_text(MINE.replace("SHIFT = 0.0", "SHIFT = 30.0"))
    told = verify("film.mp4", "--replay", "0-7", model=mine, code=1)
    assert not told[0]["differs"], "its fingerprint lies"
    assert told[1]["verdict"] == "different"


def test_a_damaged_film_is_still_replayed() -> None:
    make()
    FILM.write_bytes(FILM.read_bytes()[:-50])
    told = verify("film.mp4", "--replay", "0-3", code=1)
    assert [line["event"] for line in told] == ["verified", "replayed", "failed"]
    assert told[1]["verdict"] == "equal"


def test_machine_and_code_are_told_but_fail_nothing() -> None:
    make()
    edited(lambda told: told["made"].update(machine="torch 1.0 cpu float32"))
    edited(lambda told: told["made"]["versions"].update(longtake="0.0.1"))
    told, again = verify("film.mp4", "--replay", "0-1")
    assert told["holds"] and set(told["differs"]) == {"machine", "versions"}
    assert again["verdict"] == "equal"


def test_storyboards_pictures_and_videos_replay_from_elsewhere(here: Path) -> None:
    Path("a").mkdir()
    write_image(torch.full((3, 48, 64), 200, dtype=torch.uint8), "a/white.png")
    with VideoWriter("a/v.mp4", size=(64, 48), fps=Fraction(10)) as writer:
        writer.write(torch.full((9, 3, 48, 64), 90, dtype=torch.uint8))
    shot = '[[shot]]\nprompt="%s"\nseconds=3\n'
    board = shot % "a" + 'images=["end=white.png"]\n' + shot % "b" + shot % "z" + "cut=false\n"
    Path("a/film.toml").write_text(board)
    words = ("--model", TOY, "--quiet", "--out", "a/film.mp4", "--video", "a/v.mp4", "--seed", "3")
    assert run("generate", "a/film.toml", *words).exit_code == 0
    Path("a/film.toml").unlink()
    shutil.rmtree("a/film.run")
    os.rename("a", "b")
    (here / "deep").mkdir()
    os.chdir("deep")
    told = verify("../b/film.mp4", "--replay", "0-9")
    assert not told[0]["differs"] and told[1]["verdict"] == "equal"
    write_image(torch.full((3, 48, 64), 100, dtype=torch.uint8), "../b/white.png")
    told = verify("../b/film.mp4", "--replay", "0-3.2", code=1)
    assert list(told[0]["differs"]) == ["given"] and told[1]["verdict"] == "different"
    os.unlink("../b/white.png")
    told = verify("../b/film.mp4")
    assert told[0]["holds"] and "no such file" in told[0]["unknown"]
    verify("../b/film.mp4", "--replay", "0-1", code=2)


def test_a_video_rendered_again_replays() -> None:
    with VideoWriter("v.mp4", size=(64, 48), fps=Fraction(30000, 1001)) as writer:
        writer.write(torch.full((40, 3, 48, 64), 90, dtype=torch.uint8))
    longtake.generate("m", model=TOY, videos=("v.mp4",), strength=0.5, fps="30000/1001").save(FILM)
    assert read_manifest(FILM)["film"]["fps"] == "30000/1001"
    told = verify("film.mp4", "--replay", "0-1.2")
    assert not told[0]["differs"] and told[1]["verdict"] == "equal"


def test_a_system_in_hand_can_be_named_later() -> None:
    longtake.generate("m", model=toy(window=4), frames=20).save(FILM)
    result = run("verify", "film.mp4")
    assert "try --model FILE.py:FUNCTION" in result.stdout
    told = verify("film.mp4", "--replay", "0-1", "--set", "window=4")
    assert not told[0]["differs"] and told[1]["verdict"] == "equal"


# --- words


def test_wrong_words_are_refused() -> None:
    make()
    assert "no such recipe file" in refused("film.mp4", "--model", "no.py:toy")
    assert "unknown knob 'windw'" in refused("film.mp4", "--model", TOY, "--set", "windw=3")
    assert "unknown device 'cdua'" in refused("film.mp4", "--model", TOY, "--device", "cdua")
    assert "is not a stretch of seconds" in refused("film.mp4", "--replay", "one-two")


def test_a_terminal_is_shown_no_control_characters() -> None:
    make()
    edited(lambda told: told["made"].update(machine="\x1b[31mred\ud800"))
    edited(lambda told: told["asked"].update(model="\x1b[31mred\n.py:f"))
    spoken = [run("verify", "film.mp4", *more) for more in ((), ("--model", TOY))]
    assert all(result.exit_code == 0 and "\x1b" not in result.stdout for result in spoken)


@pytest.mark.parametrize(
    "text", ["", "5", "a-b", "2-2", "-1-2", "0-7.1", "0-inf", "1e3-2e3", "0-1-2", "nan-1"]
)
def test_stretches_outside_the_film_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--replay 0-2"):
        read_span(text, {"film": {"frames": 70, "fps": "10"}})


def test_a_stretch_the_wrong_way_round_is_turned() -> None:
    with pytest.raises(InputError, match=r"3-2 does not go forward .*try --replay 2-3"):
        read_span("3-2", {"film": {"frames": 70, "fps": "10"}})


def test_seconds_of_a_short_film() -> None:
    told = {"film": {"frames": 3, "fps": "10"}}
    assert read_span("0-0.3", told) == (0, Fraction(3, 10))
    with pytest.raises(InputError, match=r"try --replay 0-0\.3"):
        read_span("0-1", told)


def test_the_film_s_own_frames_are_read_at_their_place() -> None:
    from longtake.cli.verify import _stored

    frames = torch.arange(0, 250, 2, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 48, 64)
    for name in ("film.mp4", "film.mkv", "film.gif", "film.webm"):
        for fps in (Fraction(10), Fraction(30000, 1001)):
            with VideoWriter(name, size=(64, 48), fps=fps) as writer:
                writer.write(frames)
            whole = read_video(name)
            for first in (0, 32, 96):
                end = min(first + 32, 125)
                assert torch.equal(_stored(Path(name), (first, end), fps), whole[first:end])
