"""Ratios of two things run in turn in the same process tree: medians and spread of at least five rounds.

    python benchmarks/run.py                                    # all cases; JSON lines
    python benchmarks/run.py --case overhead --rounds 9 --record
    python benchmarks/run.py --page                             # docs/benchmarks.md from what is recorded

Each round runs both, in turn first and second, so that whatever else slows the machine slows both;
a figure is never a promise in seconds. `--record` puts cases into benchmarks/results.json, from which
the page is made. Exit code 1 if a case is outside its bar.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import torch
import watching

from longtake import api
from longtake.brief.systems import make_system
from longtake.clip import Clip
from longtake.engine import Batched, Executor, Job, Memory, Processes, Ray, Result, Serial, Task
from longtake.engine.decode import develop, windows
from longtake.engine.run import render
from longtake.video import VideoWriter

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).with_name("results.json")
PAGE = ROOT / "docs" / "benchmarks.md"
PROMPT = "a bright noon over the plain, scattered fluffy clouds drifting right"
WIDE = "coarse-to-fine"  # its waves are wide
LONGER = 54  # times: of a thousand frames these are ninety minutes, 10 a second

Line = dict[str, Any]
Work = Callable[[], float | None]  # done once, and timed, unless it says how long it took itself


@dataclasses.dataclass(frozen=True)
class Film:
    """What is made: a brief's options."""

    model: str
    frames: int
    threads: int

    def job(self, scheme: str = "", frames: int = 0) -> Job:
        """The job of that film."""
        options: Any = {"model": self.model, "frames": frames or self.frames}
        options |= {"scheme": scheme} if scheme else {}
        return api.order_of(PROMPT, options, run=None, executor="serial").job

    def make(self) -> Callable[[], Any]:
        """Builds the system in a worker."""
        asked = {"model": self.model, "settings": {}, "scheme": "", "device": ""}
        return functools.partial(make_system, asked)


@dataclasses.dataclass(frozen=True)
class Case:
    """Two things and what their ratio, first by second, must be."""

    name: str
    first: str
    second: str
    bar: str  # "<= 1.05"
    pair: Callable[[Film], Iterator[tuple[Work, Work]]]  # yields once, cleans up after

    def holds(self, ratio: float) -> bool:
        """Whether a ratio is within the bar."""
        sign, _, limit = self.bar.partition(" ")
        return ratio <= float(limit) if sign == "<=" else ratio >= float(limit)


class Recording(Serial):
    """Keeps what was asked and answered."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[Task] = []
        self.clips: dict[int, Clip] = {}

    def submit(self, task: Task) -> None:
        """Notes the task."""
        self.tasks.append(task)
        super().submit(task)

    def wait(self) -> Result:
        """Notes the answer."""
        result = super().wait()
        self.clips[result.number] = result.clip
        return result


def recorded(job: Job) -> Recording:
    """All requests of a film of one stage."""
    kept = Recording()
    for _ in render(dataclasses.replace(job, repair="off"), Memory(), kept):
        pass
    return kept


def widest(job: Job) -> list[Task]:
    """The tasks of the widest wave that share a shape."""
    waves = dict(zip((call.number for call in job.calls), job.waves, strict=True))
    groups: dict[Any, list[Task]] = {}
    for task in recorded(job).tasks:
        seen = task.request.observed
        alike = (waves[task.number], len(task.request.targets), seen and len(seen.at))
        groups.setdefault(alike, []).append(task)
    return max(groups.values(), key=len)


def overhead(film: Film) -> Iterator[tuple[Work, Work]]:
    """`generate` to a file with a run folder, and a bare loop of the same calls, decoding, encoding."""
    job = film.job()
    kept = recorded(job)
    codec = job.system.stages[0].codec
    with tempfile.TemporaryDirectory() as folder:
        place, count = Path(folder), iter(range(10**6))

        def whole() -> None:
            out = place / f"{next(count)}.mp4"
            options: Any = {"model": film.model, "frames": film.frames}
            for _ in api.stream(PROMPT, out=out, **options):
                pass

        def bare() -> None:
            out = place / f"{next(count)}.mp4"
            with VideoWriter(out, size=job.size, fps=job.fps) as writer, torch.no_grad():
                clips = [task.part.made.sample(task.request) for task in kept.tasks]
                latents = Clip.join(clips)
                for window in windows(job.takes, codec.spec.context, codec.spec.stride):
                    seen = latents.pick(window.reads)
                    writer.write(develop(codec.made, seen, window, job).pixels)

        bare()
        whole()
        yield whole, bare


def answered(executor: Executor, tasks: Sequence[Task]) -> None:
    """All tasks, as many at a time as the executor can use."""
    waiting, open_ = list(tasks), 0
    while waiting or open_:
        while waiting and executor.room():
            executor.submit(waiting.pop(0))
            open_ += 1
        executor.wait()
        open_ -= 1


def batched(film: Film) -> Iterator[tuple[Work, Work]]:
    """A wide wave, one call after the other and in batches."""
    tasks = widest(film.job(WIDE))
    one, many = Serial(), Batched(8)
    answered(one, tasks)
    answered(many, tasks)
    yield lambda: answered(one, tasks), lambda: answered(many, tasks)


def two_workers(film: Film, hire: Callable[[int], Executor]) -> Iterator[tuple[Work, Work]]:
    """A wide wave by one worker and by two, which have their weights already."""
    found = widest(film.job(WIDE))
    tasks = found[: len(found) // 2 * 2]  # an odd one would leave a worker without work
    with closing(hire(1)) as one, closing(hire(2)) as two:
        answered(one, tasks[:2])
        answered(two, tasks)
        yield lambda: answered(one, tasks), lambda: answered(two, tasks)


def processes(film: Film) -> Iterator[tuple[Work, Work]]:
    """Processes of one thread each."""
    return two_workers(film, lambda count: Processes(count, film.make()))


def ray(film: Film) -> Iterator[tuple[Work, Work]]:
    """Actors of one thread each."""
    import ray as cluster

    cluster.init(num_cpus=3, log_to_driver=False)  # one worker and two stand by side by side
    yield from two_workers(film, lambda count: Ray("", film.make(), most=count))


def length(film: Film) -> Iterator[tuple[Work, Work]]:
    """A long film, and short ones that are as long together; no model is as quick as the toy."""
    toy = dataclasses.replace(film, model=f"{ROOT / 'tests' / 'toy.py'}:toy")
    short, long = toy.job(), toy.job(frames=LONGER * film.frames)

    def made(job: Job) -> None:
        for _ in render(job, Memory(), Serial()):
            pass

    def several() -> None:
        for _ in range(LONGER):
            made(short)

    made(short)
    yield lambda: made(long), several


def watched(film: Film) -> Iterator[tuple[Work, Work]]:
    """A film of the studio under fifty pairs of eyes, and under none."""
    yield from watching.watched(film, PROMPT)


def visible(film: Film) -> Iterator[tuple[Work, Work]]:
    """A film's first picture in the studio, and the step it shows."""
    yield from watching.first_picture(film, PROMPT)


CASES = (
    Case("overhead", "`generate`", "the same calls, decoding and encoding", "<= 1.05", overhead),
    Case("batched", "a wave in `serial`", "the same in `batched:8`", ">= 1", batched),
    Case("processes", "a wave in `processes:1`", "in `processes:2`", ">= 1.8", processes),
    Case("ray", "a wave by one `ray` worker", "by two", ">= 1.8", ray),
    Case(
        "length",
        "a film of the toy model",
        f"{LONGER} that are as long together",
        "<= 1.05",
        length,
    ),
    Case(
        "watched", "a film in the studio that 50 watch", "that nobody watches", "<= 1.05", watched
    ),
    Case("visible", "from start to first picture in the studio", "its step", "<= 1.5", visible),
)


def measured(case: Case, film: Film, rounds: int) -> Line:
    """A case's figures: seconds of every round, the ratios' median, least and most."""
    torch.set_num_threads(film.threads)
    seconds: list[tuple[float, float]] = []
    for first, second in case.pair(film):
        for number in range(rounds):
            order = (first, second) if number % 2 == 0 else (second, first)
            a, b = (timed(work) for work in order)
            seconds.append((a, b) if number % 2 == 0 else (b, a))
    ratios = [a / b for a, b in seconds]
    middle = statistics.median(ratios)
    return {
        "case": case.name,
        "ratio": round(middle, 4),
        "spread": [round(min(ratios), 4), round(max(ratios), 4)],
        "bar": case.bar,
        "holds": case.holds(middle),
        "seconds": [[round(a, 6), round(b, 6)] for a, b in seconds],
        "film": dataclasses.asdict(film),
        "with": machine(),
    }


def timed(work: Work) -> float:
    """Seconds that a thing took."""
    began = time.perf_counter()
    told = work()
    return time.perf_counter() - began if told is None else told


def machine() -> Line:
    """What it was measured with."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    return {"commit": commit, "cores": os.cpu_count(), "system": platform.machine(), **versions}


def page(results: Mapping[str, Line]) -> str:
    """docs/benchmarks.md."""
    lines = [
        "# Benchmarks",
        "",
        "Made by `python benchmarks/run.py --page` from `benchmarks/results.json`; do not edit.",
        "",
        "Each figure is a ratio of two things run in turn in one process tree, so that it says something on any machine: the median of the",
        "rounds, least and most in brackets.",
        "",
        "| case | first | by second | ratio | must be | rounds | frames | threads |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        told = results.get(case.name)
        figures = "not measured yet | " + case.bar + " | | |"
        if told is not None:
            low, high = told["spread"]
            bar = case.bar if told["holds"] else f"{case.bar}: **missed**"
            film = told["film"]
            rounds = len(told["seconds"])
            figures = f"{told['ratio']:.3f} ({low:.3f}-{high:.3f}) | {bar} | {rounds} | "
            figures += f"{film['frames']} | {film['threads']} |"
        if told is None:
            figures += " |"
        lines.append(f"| `{case.name}` | {case.first} | {case.second} | {figures}")
    machines = sorted(
        {", ".join(f"{k} {v}" for k, v in r["with"].items()) for r in results.values()}
    )
    return "\n".join([*lines, "", *(f"Measured with {told}." for told in machines)]).rstrip() + "\n"


def known() -> dict[str, Line]:
    """What is recorded."""
    found: dict[str, Line] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return found


@click.command()
@click.option("--case", "names", multiple=True, type=click.Choice([case.name for case in CASES]))
@click.option("--rounds", default=5, type=click.IntRange(5), help="Of both, in turn.")
@click.option("--model", default="skies")
@click.option("--frames", default=400, help="Of the films.")
@click.option("--threads", default=1, help="Of this process and of every worker.")
@click.option("--record", is_flag=True, help="Keep the figures for the page, and make it.")
@click.option("--page", "only_page", is_flag=True, help="Only make docs/benchmarks.md.")
def main(
    names: Sequence[str],
    rounds: int,
    model: str,
    frames: int,
    threads: int,
    record: bool,
    only_page: bool,
) -> None:
    """Measure cases."""
    results, missed = known(), False
    for case in () if only_page else CASES:
        if not names or case.name in names:
            line = measured(case, Film(model, frames, threads), rounds)
            click.echo(json.dumps(line))
            results[case.name] = line
            missed |= not line["holds"]
    if record:
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    if record or only_page:
        PAGE.write_text(page(known()), encoding="utf-8")
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
