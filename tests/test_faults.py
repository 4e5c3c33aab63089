"""What goes wrong around a film: one line, an exit code, nothing lost, and the next run ends it."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from longtake.cli import cli

TOY = f"{Path(__file__).with_name('toy.py')}:toy"
FRAMES = "160"


def generate(out: str, *words: str) -> Result:
    asked = ["generate", "m", "--model", TOY, "--frames", FRAMES, "--json", "--out", out]
    return CliRunner().invoke(cli, [*asked, *words])


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def assert_whole(out: str, events: list[dict[str, Any]]) -> None:
    """The film is that of an uninterrupted run, and only what was missing ran."""
    assert events[-1]["ran"] + events[-1]["reused"] == events[0]["steps"]
    assert generate("whole.mp4").exit_code == 0
    assert Path(out).read_bytes() == Path("whole.mp4").read_bytes()
    assert not list(Path(".").rglob(".tmp-*")) and not list(Path(".").glob("film.part*"))


def failing(kept: Callable[..., Any], number: int, after: int) -> Callable[..., Any]:
    left = [after]

    def call(*args: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(number, os.strerror(number))
        return kept(*args, **more)

    return call


@pytest.mark.parametrize(
    ("function", "number", "told"),
    [
        ("fsync", errno.ENOSPC, "the disk is full"),
        ("fsync", errno.EDQUOT, "the disk is full"),
        ("fsync", errno.EIO, "input/output error"),
        ("replace", errno.EROFS, "read-only file system"),
        ("replace", errno.EACCES, "permission denied"),
    ],
)
def test_a_disk_that_fails(
    function: str, number: int, told: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, function, failing(getattr(os, function), number, 9))
        failed = generate("film.mp4")
    assert failed.exit_code == 3
    assert failed.stderr.startswith(f"longtake: error: {told}; ")
    assert "finished steps are safe" in failed.stderr
    assert f"to go on: longtake generate m --model {TOY}" in failed.stderr
    assert failed.stderr.count("\n") == 1 and "Traceback" not in failed.stderr
    assert lines(failed)[-1]["event"] == "failed" and not Path("film.mp4").exists()
    finished = sum(line["event"] == "finished" for line in lines(failed))
    resumed = lines(generate("film.mp4"))
    assert resumed[-1]["reused"] >= finished > 0
    assert_whole("film.mp4", resumed)


def test_steps_that_were_cut_off_or_changed_are_made_again(here: Path) -> None:
    assert generate("film.mp4").exit_code == 0
    cut, flipped, empty = sorted(Path("film.run").glob("clips/*/*"))[:3]
    data = flipped.read_bytes()
    cut.write_bytes(cut.read_bytes()[:-5])
    flipped.write_bytes(data[:-20] + bytes([data[-20] ^ 4]) + data[-19:])
    empty.write_bytes(b"")
    Path("film.mp4").unlink()
    again = lines(generate("film.mp4"))
    repaired = [line["step"] for line in again if line["event"] == "repaired"]
    assert len(repaired) == 3 and again[-1]["ran"] == 3
    assert [line["step"] for line in again if line["event"] == "finished"] == repaired
    assert_whole("film.mp4", again)
    assert len(list(Path("film.run/damaged").iterdir())) == 3


@pytest.mark.parametrize("when", [0.0, 4e9])
def test_no_clock_matters(when: float, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be set back or forward between two runs, and between two steps."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(os.fsync, errno.ENOSPC, 9))
        assert generate("film.mp4").exit_code == 3
    for file in Path("film.run").rglob("*"):
        os.utime(file, (when, when))
    monkeypatch.setattr(time, "time", lambda: when)
    monkeypatch.setattr(time, "time_ns", lambda: int(when * 1e9))
    resumed = lines(generate("film.mp4"))
    assert resumed[-1]["reused"] > 0 and resumed[-1]["seconds"] >= 0
    assert_whole("film.mp4", resumed)


def test_a_run_that_was_moved_between_two_runs_goes_on(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(os.fsync, errno.ENOSPC, 9))
        assert generate("film.mp4").exit_code == 3
    Path("elsewhere").mkdir()
    Path("film.run").rename("elsewhere/moved.run")
    resumed = lines(generate("film.mp4", "--run", "elsewhere/moved.run"))
    assert resumed[-1]["reused"] > 0 and not Path("film.run").exists()
    assert_whole("film.mp4", resumed)


def test_a_run_of_a_newer_version_is_left_alone(here: Path) -> None:
    assert generate("film.mp4").exit_code == 0
    marker = Path("film.run/store.json")
    marker.write_text(marker.read_text().replace('"version": 1', '"version": 2'))
    before = {file: file.read_bytes() for file in here.rglob("*") if file.is_file()}
    refused = generate("film.mp4", "--seed", "8")
    assert refused.exit_code == 2 and refused.stderr.count("\n") == 1
    assert "a run of format 2" in refused.stderr and "this one reads format 1" in refused.stderr
    assert before == {file: file.read_bytes() for file in here.rglob("*") if file.is_file()}
