"""Decoding and encoding run beside sampling: nothing of the film changes, and no failure is lost."""

from __future__ import annotations

import _thread
import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_parts import ToyCodec, ToyModel, made, toy_job, toy_system
from torch import Tensor

import longtake
from longtake.clip import Clip, ClipRequest
from longtake.engine import Folder, Frames, Memory, Serial, render
from longtake.engine.lane import Lane
from longtake.errors import MachineError
from longtake.system import Part
from longtake.video import VideoWriter

TOY = f"{Path(__file__).with_name('toy.py')}:toy"


def with_parts(model: Any, codec: Callable[[Any], Any]) -> Any:
    """A job whose system has these parts."""
    system = toy_system()
    stage = system.stages[0]
    specs = stage.models["clip"].spec, stage.codec.spec
    stage = dataclasses.replace(
        stage,
        models={"clip": Part(specs[0], lambda: model(specs[0]))},
        codec=Part(specs[1], lambda: codec(specs[1])),
    )
    return toy_job(200, system=dataclasses.replace(system, stages=(stage,)))


def test_frames_are_decoded_while_the_model_works() -> None:
    working, decoded = threading.Event(), threading.Event()

    class Patient(ToyModel):
        """Its fifth call does not end before frames are decoded, which the third made whole."""

        def sample(self, request: ClipRequest) -> Clip:
            if len(self.calls) == 4:
                working.set()
                assert decoded.wait(20)
            return super().sample(request)

    class Beside(ToyCodec):
        def decode(self, latents: Tensor) -> Tensor:
            assert working.wait(20)
            decoded.set()
            return super().decode(latents)

    film, _ = made(with_parts(Patient, Beside), Memory())
    assert torch.equal(film, made(toy_job(200), Memory())[0])


def test_the_disk_is_asked_beside_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, going_on, here = threading.Event(), threading.Event(), threading.current_thread()
    synced: list[int] = []

    def slow(handle: int) -> None:
        if threading.current_thread() is not here:
            asked.set()
            assert going_on.wait(30), "the loop waited for the disk"
            synced.append(handle)

    class Eager(ToyModel):
        """Its second call ends the disk's silence, which began with the first one's clip."""

        def sample(self, request: ClipRequest) -> Clip:
            if self.calls:
                assert asked.wait(30)
                going_on.set()
            return super().sample(request)

    monkeypatch.setattr(os, "fsync", slow)
    store = Folder(tmp_path / "run")
    made(with_parts(Eager, ToyCodec), store)
    assert len(synced) == 2 * len(list(store.keys())), "every file and its folder, by the end"


def test_decoding_keeps_the_number_of_threads() -> None:
    seen = []

    class Counting(ToyCodec):
        def decode(self, latents: Tensor) -> Tensor:
            seen.append((torch.get_num_threads(), threading.current_thread().name))
            return super().decode(latents)

    before = torch.get_num_threads()
    torch.set_num_threads(3)  # the number can change how sums round
    try:
        made(with_parts(ToyModel, Counting), Memory())
    finally:
        torch.set_num_threads(before)
    assert {threads for threads, _ in seen} == {3}
    assert len({name for _, name in seen}) == 1


def test_what_decoding_raises_ends_the_run() -> None:
    class Small(ToyCodec):
        def decode(self, latents: Tensor) -> Tensor:
            raise MemoryError

    with pytest.raises(MachineError, match=r"out of memory; \d+ finished steps are safe .*frame 0"):
        made(with_parts(ToyModel, Small), Memory())


def test_a_run_that_is_dropped_leaves_no_thread() -> None:
    film = render(toy_job(400), Memory(), Serial())
    assert any(isinstance(item, Frames) for item in film)
    assert any(thread.name.startswith("longtake-decode") for thread in threading.enumerate())
    film.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("longtake-")]


def test_what_writing_raises_ends_the_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: VideoWriter, frames: Tensor) -> None:
        if self.frames:
            assert threading.current_thread() is not threading.main_thread()
            raise MachineError("the disk is full", str(self.path))
        kept(self, frames)

    kept = VideoWriter.write
    monkeypatch.setattr(VideoWriter, "write", write)
    out = tmp_path / "film.mp4"
    with pytest.raises(MachineError, match="disk is full"):
        list(longtake.stream("a", model=TOY, frames=200, out=out))
    assert not out.exists() and (tmp_path / "film.part.mp4").stat().st_size > 0
    monkeypatch.undo()
    *_, done = longtake.stream("a", model=TOY, frames=200, out=out)
    assert out.exists() and done.line()["reused"] > 0
    list(longtake.stream("a", model=TOY, frames=200, out=tmp_path / "other.mp4"))
    assert out.read_bytes() == (tmp_path / "other.mp4").read_bytes()


# --- the lane


def test_jobs_are_done_in_order() -> None:
    with Lane[int]("test", room=3) as lane:
        for number in range(3):
            lane.give(lambda number=number: number)
        assert lane.room == 0
        assert [lane.take() for _ in range(3)] == [0, 1, 2]
        assert lane.idle and not lane.ready


def test_the_end_waits_for_jobs_and_tells_what_they_raised() -> None:
    done = []

    def late() -> None:
        time.sleep(0.05)
        done.append(1)

    with Lane[None]("test") as lane:
        lane.give(late)
    assert done == [1]
    with pytest.raises(ZeroDivisionError), Lane[float]("test") as other:
        other.give(lambda: 1 / 0)


def test_a_failure_drops_what_has_not_begun() -> None:
    begun, done = threading.Event(), []

    def first() -> None:
        begun.set()
        time.sleep(0.05)
        done.append(1)

    with pytest.raises(ValueError, match="outside"), Lane[None]("test") as lane:
        lane.give(first)
        lane.give(lambda: done.append(2))
        assert begun.wait(20)
        raise ValueError("outside")
    assert done == [1]


@pytest.fixture
def heeded() -> Iterator[None]:
    """SIGINT raises, also where tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_waits_for_the_job_under_way(heeded: None) -> None:
    done = []

    def job() -> None:
        for _ in range(2):
            time.sleep(0.1)
            _thread.interrupt_main()
        time.sleep(0.1)
        done.append(1)

    lane = Lane[None]("test")
    lane.give(job)
    with pytest.raises(KeyboardInterrupt):
        lane.close()
    assert done == [1]
