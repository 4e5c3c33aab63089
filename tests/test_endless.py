"""Films without end: what they keep, where they go, how they stop, and what is refused."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from click.testing import CliRunner, Result

import longtake
from longtake.brief import job_of
from longtake.cli import cli
from longtake.controls import Shot, Storyboard
from longtake.engine import tail
from longtake.engine.run import Queue
from longtake.errors import InputError, PlanError
from longtake.schemes import SCHEMES, find_scheme
from longtake.steps import Ledger, Step, Timeline, linked
from longtake.video import VideoWriter, check_out, streaming
from longtake.video.encoding import unbroken
from longtake.video.files import segments_of

TOY = f"{Path(__file__).parent / 'toy.py'}:toy"
ENDLESS = ("m", "--model", TOY, "--seconds", "inf")


pytestmark = pytest.mark.usefixtures("here", "one_thread")


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def process(*words: str) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    command, pipe = [sys.executable, "-m", "longtake", *words], subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment)


def greys(first: int, count: int) -> torch.Tensor:
    """Frames (t, 3, 16, 16) whose brightness tells their number."""
    levels = torch.arange(first, first + count) % 50 * 4 + 20
    return levels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 16, 16)


def shown(path: str | Path, **options: str) -> list[int]:
    """Numbers, modulo 50, of the frames that a player finds."""
    with av.open(str(path), options=options) as container:
        frames = container.decode(video=0)
        return [round((f.to_ndarray(format="gray").mean() - 20) / 4) for f in frames]


def wait_for(file: Path, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while not file.exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)


# --- laying steps in constant memory


def test_a_ledger_forgets_who_wrote_but_never_that_it_was_written() -> None:
    ledger = Ledger((3,), reach=4)
    for index in (0, 1, 2, 5, 4, 6, 8):
        assert index not in ledger
        ledger.write(index, index * 10)
    assert all(index in ledger for index in (0, 1, 2, 3, 4, 5, 6, 8)) and 7 not in ledger
    assert -1 not in ledger
    assert (ledger.writer(3), ledger.writer(5)) == (-1, 50)
    ledger.write(7, 70)  # 4 was used longest ago
    assert ledger.writer(5) == 50
    with pytest.raises(PlanError, match=r"frame 4 read too late \(endless film\); try within 4"):
        ledger.writer(4)


def test_an_endless_film_is_linked_as_a_finite_one_and_held_to_the_same_laws() -> None:
    scheme, reach = find_scheme("unified:window=8"), 300
    some = list(itertools.islice(linked(scheme.steps(Timeline(None)), (), reach), 500))
    assert some == list(itertools.islice(linked(scheme.steps(Timeline(None)), ()), 500))
    chain = [Step((0,)), *(Step((n,), (n - 1,)) for n in range(1, 50))]
    for wrong, what in (
        (Step((3,), (49,)), "frame 3 written twice"),
        (Step((60,), (59,)), "frame 59 read before"),
        (Step((60,), (3,)), "frame 3 read too late"),
    ):
        with pytest.raises(PlanError, match=what):
            list(linked([*chain, wrong], (), 10))


def test_a_scheme_that_leaves_a_hole_is_found_out() -> None:
    with pytest.raises(PlanError, match="frame 2 not written yet"):
        list(linked((Step((n,)) for n in itertools.count() if n != 2), (), 20))


@pytest.mark.parametrize("name", [n for n, kind in SCHEMES.items() if kind.endless])
@pytest.mark.parametrize("knobs", ["window=8", "window=8,step=7", "window=16,step=1"])
@pytest.mark.parametrize("given", [(), (0, 1, 2), (5, 6, 40)])
def test_no_scheme_reaches_farther_than_it_says(
    name: str, knobs: str, given: tuple[int, ...]
) -> None:
    scheme = find_scheme(f"{name}:{knobs}")
    pairs = linked(scheme.steps(Timeline(None, given)), given, scheme.reach)
    assert len(list(itertools.islice(pairs, 1200))) == 1200


def test_no_call_runs_away_from_one_that_is_slow() -> None:
    queue = Queue(job_of("m", {"model": TOY, "seconds": "inf", "scheme": "unified:window=8"}))
    slow, taken = queue.next(), []
    queue.finish(slow)  # type: ignore[arg-type]
    slow = queue.next()
    while (call := queue.next()) is not None:
        taken.append(call.number)
        queue.finish(call)
    assert slow is not None and slow.number not in taken
    assert max(taken) < slow.number + 64


# --- what is kept


HELD = """
import gc, itertools, math, os, sys
import torch, longtake
from toy import toy

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

torch.set_num_threads(1)
model = toy(window=16, scheme=sys.argv[1])
film = iter(longtake.generate("m", model=model, seconds=math.inf))
held = []  # after every thousand frames: what is held rises and falls as the allocator gives back
for _ in range(20):
    assert sum(1 for _ in itertools.islice(film, 1000)) == 1000
    held.append(resident())
print(min(held[1:6]), min(held[-5:]))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux says how much is held")
@pytest.mark.parametrize("scheme", ["autoregressive:window=8", "unified:window=16"])
def test_memory_stays_flat_over_twenty_thousand_frames(scheme: str) -> None:
    tests = Path(__file__).parent
    path = os.pathsep.join((str(tests), str(tests.parent)))
    words = [sys.executable, "-c", HELD, scheme]
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    early, late = subprocess.check_output(words, env=environment, text=True).split()
    assert float(late) - float(early) < 10  # MiB


def test_a_take_without_end_remembers_its_latest_events() -> None:
    take = longtake.generate("m", model=TOY, seconds=math.inf)
    for _ in itertools.islice(take, 8000):
        pass
    assert len(take.events) == 1000
    assert take.frames is None
    with pytest.raises(TypeError):
        len(take)


def clips(run: Path) -> set[str]:
    return {file.stem for file in (run / "endless").glob("clips/*/*.safetensors")}


def test_disk_stays_bounded_and_a_second_run_reuses_what_is_left(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # only for speed
    monkeypatch.setattr(tail, "LINES", 50)
    finite = longtake.generate("m", model=TOY, frames=80, run="r")
    kept = sum(1 for _ in finite)
    before = sorted((here / "r").glob("clips/*/*"))
    take = longtake.generate("m", model=TOY, seconds=math.inf, run="r")
    reach = take.job.reach
    begun = [frame.clone() for frame in itertools.islice(take, 6000)][:kept]
    assert all(torch.equal(a, b) for a, b in zip(finite, begun, strict=True))
    left = clips(here / "r")
    assert reach / 4 - 2 <= len(left) <= reach / 4 + 2, "clips of four indices"
    assert len((here / "r/endless/journal.jsonl").read_text().splitlines()) <= 100
    assert sorted((here / "r").glob("clips/*/*")) == before, "a finished film's steps stay"
    del take
    again = longtake.generate("m", model=TOY, seconds=math.inf, run="r")
    anew = [frame.clone() for frame in itertools.islice(again, 5000)]
    assert all(torch.equal(a, b) for a, b in zip(anew, begun, strict=False))
    kinds = [type(event).__name__ for event in again.events]
    assert "Reused" in kinds, "what the first run had not dropped"
    assert len(clips(here / "r")) <= 2 * reach / 4 + 2


def test_clips_of_earlier_runs_are_dropped_at_last(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "LEFT", 5)
    for seed in range(4):
        take = longtake.generate("m", model=TOY, seconds=math.inf, seed=seed, run="r")
        for _ in itertools.islice(take, 200):
            pass
        made = len(clips(here / "r"))
        del take
    assert made <= 5 + 200 / 16 + 6


def test_two_endless_films_do_not_share_a_folder() -> None:
    first = iter(longtake.generate("m", model=TOY, seconds=math.inf, run="r"))
    next(first)
    with pytest.raises(InputError, match="another endless film is being made with this run folder"):
        next(iter(longtake.generate("m", model=TOY, seconds=math.inf, run="r")))
    *steps, _ = longtake.plan("m", model=TOY, seconds=math.inf, run="r")
    assert steps[0]["cached"], "a plan only looks"


# --- what can be asked


def test_lengths_without_end(here: Path) -> None:
    for seconds in (math.inf, "inf", " Infinity ", "+INF"):
        job = job_of("m", {"model": TOY, "seconds": seconds})
        assert job.frames is None and job.cues[-1].stop is None
    shots = (Shot("a", 1.0), Shot("b", math.inf, cut=False))
    assert job_of(Storyboard(shots), {"model": TOY}).frames is None
    assert job_of(Storyboard(shots), {"model": TOY, "seconds": 3}).frames == 30
    longtake.save_storyboard(Storyboard(shots), "film.toml")
    assert longtake.read_storyboard("film.toml") == Storyboard(shots)
    job = job_of("film.toml", {"model": TOY})
    assert [(cue.start, cue.stop) for cue in job.cues] == [(0.0, 1.0), (1.0, None)]
    halves = {"model": TOY, "settings": {"plans": "yes"}, "seconds": "inf"}
    assert [cue.stop for cue in job_of("a. b", halves).cues] == [30.0, None]  # type: ignore[arg-type]
    with pytest.raises(InputError, match="shot 1 of 2 has no end"):
        job_of(Storyboard(shots[::-1]), {"model": TOY})


FIRST = '[[shot]]\nprompt = "a"\nseconds = inf\n[[shot]]\nprompt = "b"\nseconds = 3\n'


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (ENDLESS, "endless films cannot be written here (--out film.mp4); try --out film.m3u8"),
        ((*ENDLESS, "--out", "a.mkv"), "(--out a.mkv); try --out a.m3u8, or --out - for a pipe"),
        ((*ENDLESS, "--out", "pngs"), "(--out pngs); try --out pngs.m3u8"),
        ((*ENDLESS, "--out", "-", "--json"), "stdout takes the film or JSON lines"),
        ((*ENDLESS, "--out", "-", "--frames", "9"), "both seconds and frames"),
        ((*ENDLESS, "--out", "a.m3u8", "--scheme", "hierarchy"), "(--scheme hierarchy); try adapt"),
        ((*ENDLESS, "--out", "a.m3u8", "--sheet", "s.png"), "a sheet shows a whole film"),
        ((*ENDLESS, "--out", "a.m3u8", "--image", "end=x.png"), "a shot ends that does not"),
        (("first.toml", "--out", "a.m3u8"), "a shot without end before the last (first.toml, shot"),
        (("m", "--frames", "inf", "--out", "a.m3u8"), "'inf' is not a whole number"),
        ((*ENDLESS, "--out", "full.m3u8"), "the folder holds other files (full.segments)"),
        ((*ENDLESS, "--out", "link.m3u8"), "is no folder, and segments would go there"),
        ((*ENDLESS, "--out", "a.m3u8", "--run", "a.segments"), "would lie where the film goes"),
    ],
)
def test_what_has_no_end_is_refused_in_one_line(
    words: tuple[str, ...], line: str, here: Path
) -> None:
    (here / "first.toml").write_text(FIRST)
    (here / "full.segments").mkdir()
    (here / "full.segments" / "mine.m4s").touch()
    (here / "link.segments").symlink_to(here.parent)
    before = sorted(here.rglob("*"))
    result = run("generate", *words)
    assert result.exit_code == 2 and line in result.stderr
    assert result.stderr.startswith("longtake: error: ") and result.stderr.count("\n") == 1
    assert sorted(here.rglob("*")) == before


def test_worlds_and_sound_need_an_end() -> None:
    result = run("data", "render", "sky", "--seconds", "inf", "--out", "a.m3u8")
    assert result.exit_code == 2 and "cannot go on for ever" in result.stderr
    assert run("data", "render", "sky", "--frames", "3", "--out", "-").exit_code == 2
    with pytest.raises(InputError, match=r"holds no sound \(-\); try film.mp4"):
        VideoWriter("-", size=(16, 16), fps=10, audio="a.wav")


@pytest.mark.parametrize("words", [ENDLESS, ("--scheme", "unified:window=8", "--seconds", "inf")])
def test_a_plan_without_end_shows_its_beginning(words: tuple[str, ...], here: Path) -> None:
    *steps, total = [json.loads(line) for line in run("plan", *words, "--json").stdout.splitlines()]
    assert [step["step"] for step in steps] == list(range(64))
    assert (total["event"], total["steps"], total["endless"]) == ("planned", None, True)
    assert "the first 64 steps, 0 of them cached; the film has no end" in run("plan", *words).stdout
    assert not list(here.iterdir())


# --- a pipe


def test_a_finite_film_on_stdout_is_all_there_is_on_stdout(here: Path) -> None:
    printing = here / "loud.py"
    source = Path(TOY.rpartition(":")[0]).read_text()
    printing.write_text(f"{source}\nprint('hello')\n")
    child = process("generate", "m", "--model", f"{printing}:toy", "--frames", "45", "--out", "-")
    film, told = child.communicate(timeout=120)
    assert child.returncode == 0
    assert b"hello" in told and b"-: 45 frames" in told
    (here / "film.mp4").write_bytes(film)
    assert len(shown("film.mp4")) == 45
    assert sorted(path.name for path in here.iterdir()) == ["film.mp4", "loud.py"]


def test_a_reader_that_leaves_ends_an_endless_film_quietly() -> None:
    child = process("generate", *ENDLESS, "--out", "-", "--quiet")
    assert child.stdout is not None and child.stderr is not None
    assert child.stdout.read(20_000)[4:8] == b"ftyp"
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait(60) == 141
    child.stderr.close()


def test_an_interrupted_pipe_is_a_whole_film(here: Path) -> None:
    child = process("generate", *ENDLESS, "--out", "-", "--quiet")
    assert child.stdout is not None
    film = child.stdout.read(20_000)
    child.send_signal(signal.SIGINT)
    rest, told = child.communicate(timeout=60)
    assert child.returncode == 130
    assert told.startswith(b"longtake: interrupted; again: longtake generate m ")
    assert told.count(b"\n") == 1
    (here / "film.mp4").write_bytes(film + rest)
    with av.open("film.mp4") as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert times == [Fraction(n, 10) for n in range(len(times))] and len(times) > 100


# --- a playlist


def write_list(path: str, frames: int, **extra: Any) -> None:
    with VideoWriter(path, size=(16, 16), fps=Fraction(10), **extra) as writer:
        writer.write(greys(0, frames))


def test_a_finite_playlist_names_everything_and_ends(here: Path) -> None:
    write_list("film.m3u8", 45)
    text = (here / "film.m3u8").read_text()
    assert "#EXT-X-PLAYLIST-TYPE:VOD\n" in text and text.endswith("#EXT-X-ENDLIST\n")
    assert text.count("#EXTINF:") == 3 and "#EXTINF:0.500000,\n" in text
    assert shown("film.m3u8") == list(range(45))
    once = {p.name: p.read_bytes() for p in (here / "film.segments").iterdir()}
    write_list("film.m3u8", 90)
    write_list("film.m3u8", 45)
    assert {p.name: p.read_bytes() for p in (here / "film.segments").iterdir()} == once
    assert (here / "film.m3u8").read_text() == text
    assert sorted(p.name for p in here.iterdir()) == ["film.m3u8", "film.segments"]


def test_generate_writes_a_playlist() -> None:
    assert run("generate", "m", "--model", TOY, "--frames", "30", "--out", "a.m3u8").exit_code == 0
    assert len(shown("a.m3u8")) == 30
    assert sorted(p.name for p in Path().iterdir()) == ["a.m3u8", "a.run", "a.segments"]


@pytest.mark.parametrize("name", ["a b.m3u8", "a#b.m3u8", "mer%20.m3u8", "été.m3u8", "A.M3U8"])
def test_segments_have_names_that_players_and_browsers_read_alike(name: str) -> None:
    write_list(name, 21)
    assert shown(name) == list(range(21))
    assert segments_of(Path("a b.m3u8")) != segments_of(Path("a#b.m3u8"))
    assert check_out(name) == Path(name)


def test_a_failed_film_leaves_the_one_before_or_no_end_mark(here: Path) -> None:
    write_list("film.m3u8", 5)
    for frames in (0, 45):
        with (
            pytest.raises(RuntimeError),
            VideoWriter("film.m3u8", size=(16, 16), fps=Fraction(10)) as writer,
        ):
            writer.write(greys(0, frames))
            raise RuntimeError
        assert (here / "film.m3u8").read_text().count("#EXT-X-ENDLIST") == (frames == 0)
    with (here / "film.m3u8").open("a") as file:  # for a player would wait for what comes
        file.write("#EXT-X-ENDLIST\n")
    assert len(shown("film.m3u8")) == 45


def test_a_playlist_slides_and_is_read_while_it_grows(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "LISTED", 10)
    monkeypatch.setattr(streaming, "KEPT", 21)
    monkeypatch.setattr(streaming, "time", Clock())
    stop = threading.Event()
    most: list[int] = []

    def write() -> None:
        with VideoWriter("live.m3u8", size=(16, 16), fps=Fraction(10), endless=True) as writer:
            for n in itertools.count(step=20):
                writer.write(greys(n, 20))
                most.append(len(list((here / "live.segments").glob("*.m4s"))))
                time.sleep(0.1 if stop.is_set() else 0.5)
                if stop.is_set() and n > 500:
                    return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        while not (here / "live.m3u8").exists():
            time.sleep(0.05)
        with av.open("live.m3u8", options={"live_start_index": "0"}) as container:
            frames = itertools.islice(container.decode(video=0), 100)
            seen = [round((f.to_ndarray(format="gray").mean() - 20) / 4) for f in frames]
    finally:
        stop.set()
        thread.join()
    assert seen == [(seen[0] + n) % 50 for n in range(100)]
    text = (here / "live.m3u8").read_text()
    assert text.count("#EXTINF") == 10 and text.endswith("#EXT-X-ENDLIST\n")
    assert "PLAYLIST-TYPE" not in text and "MEDIA-SEQUENCE:0\n" not in text
    assert max(most) == 21
    assert len(shown("live.m3u8")) in range(181, 201)


class Clock:
    """Time that nobody waits for."""

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.slept = seconds


def test_an_endless_film_does_not_run_ahead_of_its_viewers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(streaming, "time", clock)
    with VideoWriter("live.m3u8", size=(16, 16), fps=Fraction(10), endless=True) as writer:
        writer.write(greys(0, 320))
        assert not hasattr(clock, "slept")
        writer.write(greys(320, 40))
        assert clock.slept == pytest.approx(4), "34 s are published, of which 30 may be ahead"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_stopping_ends_the_playlist_and_a_crash_leaves_it_playable(
    number: signal.Signals, here: Path
) -> None:
    child = process("generate", *ENDLESS, "--out", "live.m3u8", "--quiet")
    wait_for(here / "live.segments" / "000009.m4s", child)
    child.send_signal(number)
    _, told = child.communicate(timeout=60)
    if number == signal.SIGKILL:
        with (here / "live.m3u8").open("a") as file:  # for a player would wait for what comes
            file.write("#EXT-X-ENDLIST\n")
    else:
        assert child.returncode == 130
        assert told.startswith(b"longtake: interrupted; ") and told.count(b"\n") == 1
        assert (here / "live.m3u8").read_text().endswith("#EXT-X-ENDLIST\n")
    assert len(shown("live.m3u8")) > 100
    names = sorted(path.name for path in here.iterdir())
    assert names == ["live.m3u8", "live.run", "live.segments"]
    told_of = run("explain", "live.run", "1", "--json")
    assert told_of.exit_code == 0 and json.loads(told_of.stdout)["step"] == 1
    swept = json.loads(run("gc", "live.run", "--json").stdout)
    assert swept["dropped"] == 0 and swept["kept"] > 3


# --- Ctrl-C


def test_ctrl_c_waits_for_the_packet() -> None:
    done = []
    # a shell's background jobs are born deaf to Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), unbroken():
            signal.raise_signal(signal.SIGINT)
            done.append(1)
        assert done == [1] and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
