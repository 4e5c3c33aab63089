"""Kills films with SIGKILL at random moments, resumes them, and holds them against an uninterrupted one.

    python benchmarks/kills.py --kills 100                                # the tests' toy system
    python benchmarks/kills.py --kills 20 --model skies --frames 200      # the built-in model
    python benchmarks/kills.py --kills 40 --executor processes:2          # or one of its workers

Every second film is a redo of a finished one. A film is killed some times and then brought to its
end; it must then be the same to the byte, its manifest too, with nothing left over beside it and
nothing spare in its run folder; until then a redo leaves the old film in its place. The toy counts its
calls: a kill may cost one of each worker's. Exit code 1 if anything else is found.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
TOY = f"{ROOT / 'tests' / 'toy.py'}:toy"
FILM = ("film.mp4",)
BESIDE = (*FILM, "film.mp4.manifest.json")


@dataclasses.dataclass
class Tally:
    """What became of the films. late: when a kill would have come, the film was finished.

    reused, ran: steps of the last runs. again: calls begun more often than an uninterrupted film begins them.
    """

    kills: int = 0
    late: int = 0
    films: int = 0
    reused: int = 0
    ran: int = 0
    again: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)


@click.command()
@click.option("--kills", default=100)
@click.option("--each", default=5, help="Kills of one film.")
@click.option("--model", default=TOY)
@click.option("--frames", default=240)
@click.option("--slow", default=0.02, help="Seconds that each call of the toy takes besides.")
@click.option(
    "--executor", default="serial", help="Of its processes each is as likely to be killed."
)
@click.option("--scheme", default="", help="The model's own if none.")
@click.option("--seed", default=0, help="Of the moments.")
def main(
    kills: int,
    each: int,
    model: str,
    frames: int,
    slow: float,
    executor: str,
    scheme: str,
    seed: int,
) -> None:
    """Kill films and resume them."""
    asked = ["a", "--model", model, "--frames", str(frames), "--out", "film.mp4"]
    asked += ["--executor", executor, *(["--scheme", scheme] if scheme else [])]
    asked += ["--set", f"slow={slow}"] if model == TOY else []
    with tempfile.TemporaryDirectory() as folder:
        many = int(executor.partition(":")[2] or 1)
        tally = campaign(Path(folder), asked, kills, each, many, random.Random(seed))
    click.echo(json.dumps(dataclasses.asdict(tally)))
    sys.exit(1 if tally.wrong else 0)


def campaign(
    folder: Path, asked: Sequence[str], kills: int, each: int, workers: int, chance: random.Random
) -> Tally:
    """So many kills, of each film a few; `folder` holds the films."""
    redo = [*asked, "--redo", "4-14", "--takes", "3"]
    plain, redone = folder / "plain", folder / "redone"
    spans = [whole(plain, asked)]
    calls = [counted(plain)]
    shutil.copytree(plain, redone)
    spans.append(whole(redone, redo))
    calls.append(counted(redone))
    tally = Tally()
    while tally.kills < kills:
        again = tally.films % 2 == 1
        place = folder / f"film{tally.films}"
        if again:
            shutil.copytree(plain, place)
        else:
            place.mkdir()
        told = redo if again else asked
        struck = 0
        for _ in range(min(each, kills - tally.kills)):
            if killed(place, told, chance.uniform(0, spans[again]), chance):
                tally.late += 1
                break
            struck += 1
            if again and not any(same(done, place, FILM) for done in (plain, redone)):
                tally.wrong.append(f"{place.name}: neither the old film nor the new one stands")
        resumed = finished(place, told)
        tally.reused, tally.ran = tally.reused + resumed["reused"], tally.ran + resumed["ran"]
        tally.films, tally.kills = tally.films + 1, tally.kills + struck
        twice = counted(place) - calls[again]
        tally.again += twice
        if twice > struck * workers:
            tally.wrong.append(f"{place.name}: {twice} calls again after {struck} kills")
        tally.wrong += [f"{place.name}: {why}" for why in faults(place, redone if again else plain)]
        shutil.rmtree(place)
        notes(place).unlink(missing_ok=True)
    return tally


def notes(place: Path) -> Path:
    """Where calls of a film in a folder are counted."""
    return place.with_suffix(".calls")


def counted(place: Path) -> int:
    """Calls that the toy made for a film; 0 of other models."""
    path = notes(place)
    return path.stat().st_size if path.exists() else 0


def whole(place: Path, asked: Sequence[str]) -> float:
    """Makes a film without interruption; seconds from its plan to its end."""
    place.mkdir(exist_ok=True)
    process = begun(place, asked)
    began = planned(process)
    process.communicate()
    assert process.returncode == 0, "the film that others are held against failed"
    return time.monotonic() - began


def killed(place: Path, asked: Sequence[str], seconds: float, chance: random.Random) -> bool:
    """Kills a film, or one of its workers, so long after its plan; whether it was finished before."""
    process = begun(place, asked)
    began = planned(process)
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    finished = process.poll() == 0
    victim = chance.choice([process.pid, *workers(process.pid)])
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    process.communicate()
    return finished


def workers(pid: int) -> list[int]:
    """The processes that a process began (Linux)."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []


def finished(place: Path, asked: Sequence[str]) -> dict[str, int]:
    """Brings a film to its end; the last event."""
    out, _ = begun(place, asked).communicate()
    last = json.loads(out.splitlines()[-1])
    return last if last["event"] == "done" else {"reused": 0, "ran": 0}


def faults(place: Path, model: Path) -> list[str]:
    """What is wrong with a resumed film, held against an uninterrupted one."""
    found = [] if same(place, model) else ["not the film it would have been"]
    names = {path.name for path in place.iterdir()} - {*BESIDE, "film.run"}
    found += [f"left over: {name}" for name in sorted(names)]
    found += [f"left over: {path.name}" for path in place.rglob(".tmp-*")]
    swept = subprocess.run(
        command("gc", "film.run"),
        cwd=place,
        env=environment(place),
        capture_output=True,
        check=False,
    )
    dropped = json.loads(swept.stdout)["dropped"] if swept.returncode == 0 else "failed"
    return found if dropped == 0 else [*found, f"gc: {dropped}"]


def same(a: Path, b: Path, names: Sequence[str] = BESIDE) -> bool:
    """Whether two folders hold the same film and manifest. A kill may come between the two."""
    both = [(place / name for place in (a, b)) for name in names]
    return all(x.is_file() and y.is_file() and x.read_bytes() == y.read_bytes() for x, y in both)


def begun(place: Path, asked: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command("generate", *asked),
        cwd=place,
        env=environment(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def planned(process: subprocess.Popen[bytes]) -> float:
    """Waits for a film's plan; the time then."""
    assert process.stdout is not None
    process.stdout.readline()
    return time.monotonic()


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "longtake", *words, "--json"]


def environment(place: Path) -> dict[str, str]:
    told = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TOY_CALLS": str(notes(place))}
    return {**os.environ, **told}


if __name__ == "__main__":
    main()
