"""The command line: verbs, JSON lines, exit codes, one line for every error, resuming."""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from longtake.cli import cli
from longtake.cli.doctor import weights, whole
from longtake.cli.plans import read_given
from longtake.errors import InputError
from longtake.video import VideoWriter, probe, read_video, write_image
from longtake.worlds import ENGINES, WORLDS

TOY = f"{Path(__file__).parent / 'toy.py'}:toy"
GENERATE = ("generate", "m", "--model", TOY, "--frames", "40")


@pytest.fixture(autouse=True)
def cache(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def process(*words: str, **extra: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "longtake", *words]
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", **extra}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)


# --- help


@pytest.mark.parametrize("verb", [*cli.commands, "data render", "data preview", "data check"])
def test_every_verb_explains_itself(verb: str) -> None:
    result = run(*verb.split(), "--help")
    assert result.exit_code == 0
    assert result.stdout.count(f"longtake {verb}") >= 3, "usage and two examples"
    assert "--json" in result.stdout
    assert "--quiet" in result.stdout


def test_no_words_at_all_is_help() -> None:
    assert "generate" in run().stdout
    assert run("--version").stdout.startswith("longtake ")


# --- generate


def test_generate_writes_the_film_and_says_so() -> None:
    result = run(*GENERATE, "--out", "film.mp4", "--sheet", "sheet.png")
    assert result.exit_code == 0
    assert "film.mp4: 40 frames" in result.stdout
    assert "frames/s" in result.stderr, "progress"
    assert probe("film.mp4").frames == 40
    names = ["film.mp4", "film.mp4.manifest.json", "film.run", "sheet.png"]
    assert sorted(p.name for p in Path().iterdir()) == names


def test_json_is_all_there_is_on_stdout() -> None:
    told = lines(run(*GENERATE, "--out", "film.mp4", "--json"))
    names = [line["event"] for line in told]
    assert told[0] == {
        "event": "planned",
        "steps": names.count("started"),
        "waves": names.count("started"),
        "frames": 40,
        "size": [64, 48],
        "fps": 10,
    }
    assert names[-1] == "done"
    assert told[-1]["out"] == "film.mp4"
    # the toy grows brighter with every step, which is reported
    assert set(names) == {"planned", "started", "finished", "suspect", "decoded", "done"}


def test_quiet_says_nothing() -> None:
    result = run(*GENERATE, "--out", "film.mp4", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_knobs_are_turned() -> None:
    first = lines(run(*GENERATE, "--json"))[0]
    second = lines(run(*GENERATE, "--json", "--set", "window=4"))[0]
    assert second["steps"] > first["steps"]
    third = lines(run(*GENERATE, "--json", "--scheme", "one-shot:window=10", "--set", "window=10"))
    assert third[0]["steps"] == 1


def test_a_storyboard_with_pictures(here: Path) -> None:
    write_image(torch.full((3, 48, 64), 250, dtype=torch.uint8), "white.png")
    text = '[[shot]]\nprompt="a"\nseconds=2\nimages=["0=white.png"]\n'
    (here / "film.toml").write_text(text + '[[shot]]\nprompt="b"\nseconds=2\n')
    assert run("generate", "film.toml", "--model", TOY, "--out", "f.mkv").exit_code == 0
    frames = read_video("f.mkv").float()
    assert len(frames) == 40
    assert frames[0].mean() > 240
    assert frames[24].mean() < 200, "the second take begins afresh"


def test_an_edited_shot_renders_its_take_again_and_no_other() -> None:
    text = '[[shot]]\nprompt="a"\nseconds=5\n[[shot]]\nprompt="%s"\nseconds=5\n'
    Path("film.toml").write_text(text % "b")
    asked = ("generate", "film.toml", "--model", TOY, "--out", "f.mp4", "--json")
    steps = lines(run(*asked))[-1]["ran"]
    Path("film.toml").write_text(text % "z")
    *planned, total = lines(run("plan", *asked[1:]))
    again = lines(run(*asked))[-1]
    assert (again["ran"], again["reused"]) == (steps / 2, steps / 2)
    assert total["to_run"] == again["ran"]
    assert {step["why"] for step in planned} == {"cached", "controls", "controls, observed"}


# --- errors


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("genrate", "x"), "unknown verb 'genrate' (longtake); try generate"),
        (("generate", "x", "--secnds", "3"), "unknown option '--secnds' (longtake generate); try"),
        (("generate",), "missing argument 'BRIEF' (longtake generate); try longtake generate"),
        ((*GENERATE, "--size", "8x9"), "size 8x9 out of range (--size); try 16x16"),
        ((*GENERATE, "--out", "film.mp5"), "cannot write films as .mp5 (film.mp5); try film.mp4"),
        ((*GENERATE, "--executor", "serail"), "unknown executor 'serail' (--executor); try serial"),
        ((*GENERATE, "--set", "windw=3"), "unknown knob 'windw' (--set); try window"),
        ((*GENERATE, "--set", "window"), "'window' turns no knob (--set); try --set KNOB=VALUE"),
        ((*GENERATE, "--image", "no.png"), "no such file (no.png); try"),
        ((*GENERATE, "--sheet", "s.jpg"), "a contact sheet is a PNG (--sheet s.jpg); try s.png"),
        ((*GENERATE, "--out", ""), "an empty value (--out); try film.mp4"),
        (
            ("generate", "m", "--model", "mcvd", "--set", "route=x"),
            "unknown route 'x' (--set); try",
        ),
        (("generate", "no.toml"), "no such storyboard (no.toml); try"),
        (("plan",), "nothing to plan (longtake plan); try"),
        (("plan", "--scheme", "one-shot"), "no length (longtake plan); try --frames 1000"),
        (("plan", "x", "--model", TOY, "--given", "0-3"), "--given goes with a scheme alone"),
        (("plan", "--scheme", "one-shot", "--frames", "9", "--seed", "1"), "--seed needs a BRIEF"),
        (("explain", "film.run", "1"), "not a run folder (film.run); try"),
        (("gc", "."), "not a run folder (.); try"),
        (("data", "rendr"), "unknown verb 'rendr' (longtake data); try render"),
        (("data", "render", "skj", "--out", "a.mp4"), "unknown world 'skj' (worlds); try sky"),
        (("data", "render", "sky", "--out", "a.mp4", "--truth", "t.csv"), "truth is written as"),
        (("prove", "x"), "no proof of 'x' (longtake prove); try"),
        (("prove",), "nothing to prove (longtake prove); try"),
        (("prove", "fdm", "--scale", "tpu"), "unknown scale 'tpu' (--scale); try"),
        (("studio", "--host", "0.0.0.0"), "without a token (--host 0.0.0.0); try --token"),
        (("verify", "film.mp4"), "no such file (film.mp4); try"),
        (("train", TOY), "cannot be trained (longtake train); try"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(words: tuple[str, ...], line: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith("longtake: error: ")
    assert line in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not list(Path().iterdir())


def test_json_tells_failures_too() -> None:
    result = run("generate", "x", "--model", TOY, "--frames", "no", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["event"] == "failed"


def test_the_unexpected_is_one_line_and_exit_code_3(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("of my own")

    monkeypatch.setattr("longtake.cli.film._announce", broken)
    result = run(*GENERATE)
    assert result.exit_code == 3
    assert result.stderr.startswith("longtake: error: unexpected KeyError: 'of my own' (")
    assert f"to go on: longtake generate m --model {TOY}" in result.stderr
    assert result.stderr.count("\n") == 1
    monkeypatch.setenv("LONGTAKE_TRACE", "1")
    assert "Traceback" in run(*GENERATE).stderr


def test_interrupted_and_resumed_gives_the_same_bytes() -> None:
    words = (*GENERATE, "--set", "slow=0.4", "--json")
    child = process(*words, "--out", "film.mp4")
    assert child.stdout is not None
    finished = 0
    for line in child.stdout:
        finished += json.loads(line)["event"] == "finished"
        if finished:
            child.send_signal(signal.SIGINT)
            break
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert err.startswith("longtake: interrupted; finished steps are safe; to go on: longtake gen")
    assert json.loads(out.splitlines()[-1]) == {"event": "failed", "error": "interrupted"}
    assert not Path("film.mp4").exists()
    done = lines(run(*words, "--out", "film.mp4"))[-1]
    assert done["reused"] >= finished
    lines(run(*words, "--out", "other.mp4"))
    assert Path("film.mp4").read_bytes() == Path("other.mp4").read_bytes()


def test_a_reader_that_leaves_is_no_error_message() -> None:
    child = process(
        "plan", "--scheme", "autoregressive:window=4,step=1", "--frames", "9999", "--json"
    )
    assert child.stdout is not None and child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.stderr.read() == ""
    assert child.wait(60) == 141
    child.stderr.close()


# --- plan, explain, gc


def test_plan_of_a_scheme_needs_no_model_and_no_torch() -> None:
    code = (
        "import sys; from longtake.cli import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit as e: assert not e.code, e.code\n"
        "heavy = {'torch', 'numpy', 'av', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    scheme = ["--scheme", "autoregressive:window=20,step=10", "--frames", "1000", "--given", "0-35"]
    Path("film.toml").write_text('[[shot]]\nprompt="a"\nseconds=2\n')
    root = str(Path(__file__).parent.parent)
    for words in (
        ["--help"],
        ["plan", *scheme, "--json"],
        ["plan", "film.toml", "--model", TOY, "--out", "film.mp4", "--json"],
        ["systems"],
    ):
        began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        ended = subprocess.run(
            [sys.executable, "-c", code, *words],
            env={**os.environ, "PYTHONPATH": root},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - began < 1
    assert not Path("film.run").exists()


def test_lines_of_a_scheme_s_plan() -> None:
    scheme = "autoregressive:window=20,step=10"
    words = ("plan", "--scheme", scheme, "--frames", "100", "--given", "0-35", "--json")
    *steps, total = lines(run(*words))
    assert steps[0] == {
        "step": 0,
        "targets": list(range(36, 46)),
        "observed": list(range(26, 36)),
        "role": "clip",
        "wave": 0,
        "cached": False,
        "why": "new",
    }
    assert sorted(i for step in steps for i in step["targets"]) == list(range(36, 100))
    assert total == {
        "event": "planned",
        "steps": 7,
        "waves": 7,
        "calls": 7,
        "peak_live": 20,
        "deepest_ancestry": 7,
    }
    assert "7 steps in 7 waves" in run(*words[:-1]).stdout


def test_plan_says_what_would_run_and_how_long() -> None:
    asked = (*GENERATE[1:], "--out", "film.mp4")
    assert "unknown" in run("plan", *asked).stdout
    assert not Path("film.run").exists()
    assert run("generate", *asked).exit_code == 0
    *steps, total = lines(run("plan", *asked, "--json"))
    assert all(step["cached"] for step in steps)
    assert total["to_run"] == 0
    *steps, total = lines(run("plan", *asked, "--seed", "1", "--json"))
    assert total["to_run"] == len(steps)
    assert total["expected_seconds"] is not None  # a toy may take less than it is rounded to
    assert "seed" in steps[0]["why"]


def test_explain_and_gc() -> None:
    Path("sub").mkdir()
    asked = (*GENERATE, "--out", "sub/film.mp4", "--json")
    ran = lines(run(*asked))[-1]["ran"]
    told = lines(run("explain", "sub/film.run", "1", "--json"))[0]
    assert (told["step"], told["seed"], told["prompts"]) == (1, 0, ["m"])
    assert told["ancestry"]["depth"] == 2
    lines(run(*asked, "--seed", "5"))
    told = lines(run("explain", "sub/film.run", "0", "--json"))[0]
    assert told["changed"] == ["seed"]
    assert "changed   seed" in run("explain", "sub/film.run", "0").stdout
    tried = lines(run("gc", "sub/film.run", "--dry-run", "--json"))[0]
    os.rename("sub", "moved")
    swept = lines(run("gc", "moved/film.run", "--json"))[0]
    assert swept == tried
    assert (swept["dropped"], swept["kept"]) == (ran, ran)
    assert swept["bytes"] > 0
    again = lines(run(*asked[:-3], "--out", "moved/film.mp4", "--seed", "5", "--json"))[-1]
    assert (again["ran"], again["reused"]) == (0, ran)
    assert run("explain", "moved/film.run", "99").exit_code == 2


def test_ranges_of_indices() -> None:
    assert read_given("0-3, 7,9-9", 10) == (0, 1, 2, 3, 7, 9)
    assert read_given("", 10) == ()
    for wrong in ("3-1", "a", "0-10", "-1", "1-", "1-2-3"):
        with pytest.raises(InputError):
            read_given(wrong, 10)


# --- data, doctor, systems


def test_data_renders_a_world_with_its_truth() -> None:
    words = ("--seed", "3", "--size", "32x32", "--frames", "6", "--out", "sky.mp4")
    told = lines(run("data", "render", "sky", *words, "--truth", "sky.jsonl", "--json"))
    assert [line["event"] for line in told] == ["planned", "decoded", "done"]
    assert probe("sky.mp4").frames == 6
    truth = [json.loads(line) for line in Path("sky.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in truth] == list(range(6))
    assert {"hour", "controls", "moment"} <= truth[0].keys()
    assert not list(Path().glob("*.part*"))


def test_score_measures_and_can_fail() -> None:
    assert run(*GENERATE, "--out", "film.mp4").exit_code == 0
    asked = ("score", "film.mp4", "--metric", "motion", "--json")
    told = lines(run(*asked))[0]
    assert (told["event"], told["metric"]) == ("scored", "motion")
    assert told["protocol"]
    assert run(*asked, "--fail-if", f"motion>{told['value'] + 1}").exit_code == 0
    result = run(*asked[:-1], "--fail-if", f"motion<{told['value'] + 1}")
    assert result.exit_code == 1
    assert result.stderr.startswith("longtake: error: motion is ")
    assert run(*asked, "--fail-if", "moton>1").exit_code == 2
    assert run("score", "no.mp4").exit_code == 2


def test_data_lists_and_previews() -> None:
    assert [line["name"] for line in lines(run("data", "--json"))] == sorted({**WORLDS, **ENGINES})
    asked = ("--out", "s.png", "--size", "32x32", "--frames", "4")
    assert run("data", "preview", "sky", *asked).exit_code == 0
    assert Path("s.png").stat().st_size > 1000


def test_data_check_holds_a_film_against_a_world() -> None:
    words = ("--size", "64x64", "--frames", "30", "--set", "count=1", "--out", "d.mp4")
    assert run("data", "render", "digits", *words, "--truth", "d.jsonl").exit_code == 0
    told = lines(run("data", "check", "d.mp4", "--world", "digits", "--json"))[-1]
    assert (told["event"], told["frames"], told["per_thousand"]["all"]) == ("checked", 30, 0.0)
    broken = run("data", "check", "d.mp4", "--world", "push")
    assert broken.exit_code == 1 and "break a law" in broken.stderr
    assert run("data", "check", "digits", "--frames", "5", "--size", "64x64").exit_code == 0
    for words, message in (
        (("d.mp4",), "a file is checked against a world"),
        (("d.mp4", "--world", "digts"), "try digits"),
        (("d.mp4", "--world", "maze"), "try --seed 0"),
        (("d.mp4", "--world", "sky"), "a sky against its own pictures"),
        (("d.mp4", "--world", "digits", "--set", "cout=2"), "try count"),
        (("no.mp4", "--world", "digits"), "no such file"),
    ):
        result = run("data", "check", *words)
        assert result.exit_code == 2 and message in result.stderr, result.stderr


def test_a_script_is_given_as_a_prompt() -> None:
    asked = ("--prompt", "red square jumps", "--frames", "4", "--size", "64x64", "--out", "s.mp4")
    assert run("data", "render", "script", *asked, "--truth", "s.jsonl").exit_code == 0
    first = json.loads(Path("s.jsonl").read_text().splitlines()[0])
    assert first["caption"] == "the red square jumps" and len(first["box"][0]) == 4
    assert run("data", "render", "maze", *asked).exit_code == 2


def test_systems_lists_recipes_and_knobs() -> None:
    knobs = {line["knob"]: line["default"] for line in lines(run("systems", TOY, "--json"))}
    assert (knobs["window"], knobs["scheme"]) == (8, "")


def test_doctor_tells_what_is_missing(here: Path) -> None:
    result = run("doctor", "--quick", "--json")
    told = {
        line["name"]: line for line in map(json.loads, result.stdout.splitlines()) if "name" in line
    }
    assert {"python", "torch", "cores", "memory", "film .mp4"} <= told.keys()
    assert told["film .mp4"]["ok"] is True
    wrong = [line["name"] for line in told.values() if line["ok"] is False]
    assert result.exit_code == (1 if wrong else 0)


def test_doctor_finds_damaged_weights(here: Path) -> None:
    from safetensors.torch import save_file

    assert [found.ok for found in weights(here)] == [False]
    save_file({"a": torch.ones(9)}, here / "a.safetensors")
    assert whole(here / "a.safetensors")
    data = (here / "a.safetensors").read_bytes()
    assert [found.ok for found in weights(here)] == [True]
    (here / "digests.json").write_text('{"a.safetensors": "0123"}')
    assert [found.ok for found in weights(here)] == [False]
    for wrong in (data[:-1], data + b"\0", data[:20], b"", b"\xff" * 40):
        (here / "b.safetensors").write_bytes(wrong)
        assert not whole(here / "b.safetensors")


def test_an_extended_video_keeps_its_frames() -> None:
    with VideoWriter("v.mp4", size=(64, 48), fps=Fraction(10)) as writer:
        writer.write(torch.full((11, 3, 48, 64), 220, dtype=torch.uint8))
    asked = ("generate", "a", "--model", TOY, "--seconds", "3", "--out")
    assert run(*asked, "forward.mp4", "--video", "v.mp4").exit_code == 0
    assert run(*asked, "backward.mp4", "--video", "end=v.mp4").exit_code == 0
    assert read_video("forward.mp4")[:11].float().mean() > 210
    assert read_video("backward.mp4")[-11:].float().mean() > 210


def test_a_machine_that_fails_is_exit_code_3_and_says_how_to_go_on() -> None:
    if importlib.util.find_spec("ray"):
        pytest.skip("ray is installed")
    result = run(*GENERATE, "--executor", "ray")
    assert result.exit_code == 3
    assert "ray is not installed (--executor); try pip install ray" in result.stderr
    assert result.stderr.endswith(f"to go on: longtake {' '.join(GENERATE)} --executor ray\n")
    assert not list(Path().iterdir())
