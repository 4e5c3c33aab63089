"""Steps computed by other processes of this machine."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from longtake.engine.executors.here import Result, Task
from longtake.engine.executors.parcels import (
    Hand,
    Losses,
    Make,
    Pulse,
    parcel_of,
    result_of,
    said,
)

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

BEAT = 1.0  # seconds between a worker's signs of life
PATIENCE = 300.0  # seconds after which a worker that does nothing is taken for hanging


class Processes:
    """`n` workers, each with a system of its own, built there by `make` (importable by name).

    Workers use as many threads as this process does, because the number can change how sums round.
    A worker that dies or hangs is replaced and its step begun again, once.
    """

    def __init__(self, n: int, make: Make) -> None:
        self.n, self.make = n, make
        self._idle: list[Worker] = []
        self._busy: list[Worker] = []
        self._losses = Losses()

    def room(self) -> int:
        """Workers without work."""
        return self.n - len(self._busy)

    def submit(self, task: Task) -> None:
        """Hands the task to a worker, a new one if all have work."""
        while self._idle:
            worker = self._idle.pop()
            if worker.begin(task):
                self._busy.append(worker)
                return
            worker.stop()  # it died without work; nothing is lost with it
        worker = Worker(self.make)
        self._busy.append(worker)
        worker.begin(task)  # if it is dead already, `wait` finds that out

    def wait(self) -> Result:
        """The first answer to come; MachineError if a step has cost two workers."""
        from multiprocessing.connection import wait

        while True:
            ready = wait([worker.pipe for worker in self._busy], BEAT)
            for worker in tuple(self._busy):
                reply, why = None, "it did nothing any more"
                if worker.pipe in ready:
                    reply, why = worker.end()
                elif not worker.hangs():
                    continue
                self._busy.remove(worker)
                assert worker.task is not None, "a busy worker has a task"
                if reply is not None:
                    self._idle.append(worker)
                    return result_of(reply, worker.task, self._losses.of(worker.task))
                worker.stop()
                self._losses.note(worker.task, why)
                self.submit(worker.task)

    def close(self) -> None:
        """Ends the workers."""
        for worker in (*self._idle, *self._busy):
            worker.stop()
        self._idle.clear()
        self._busy.clear()


class Worker:
    """A process with a system in it, the pipe to it, and the processor time it has used."""

    def __init__(self, make: Make) -> None:
        import multiprocessing

        import torch

        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._used, self._pulse = context.RawValue("d", 0.0), Pulse()
        self.process: SpawnProcess = context.Process(
            target=_work,
            args=(theirs, make, torch.get_num_threads(), self._used, os.getpid()),
            daemon=True,
        )
        with _undisturbed():
            self.process.start()
        theirs.close()
        self.task: Task | None = None

    def begin(self, task: Task) -> bool:
        """Hands over a task; whether there was somebody to take it."""
        self.task = task
        self._pulse.begin()
        try:
            self.pipe.send(parcel_of(task))
        except OSError:
            return False
        return True

    def end(self) -> tuple[dict[str, Any] | None, str]:
        """The reply, or None and why there is none."""
        try:
            return self.pipe.recv(), ""
        except (EOFError, OSError):
            self.process.join(1)
            return None, f"exit code {self.process.exitcode}"

    def hangs(self) -> bool:
        """Whether it has done nothing for long; how long it takes to come to life is not judged."""
        if not self._used.value:
            self._pulse.begin()
        return self._pulse.stopped(self._used.value, PATIENCE)

    def stop(self) -> None:
        """Ends the process, a stopped one too."""
        self.pipe.close()
        self.process.kill()
        self.process.join(5)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Processes that are started here never hear of Ctrl-C, not even while they import things.

    A terminal sends it to all. Here it is only put off, where ignoring it would lose one.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it takes the mask away when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(pipe: Connection, make: Make, threads: int, used: Any, parent: int) -> None:
    """A worker's life: build the system, answer until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    threading.Thread(target=_live, args=(used, parent), daemon=True).start()
    hand: Hand | None = None
    while True:
        try:
            parcel = pipe.recv()
        except EOFError:
            return
        try:
            hand = hand or Hand(make, threads)
            reply = hand.answer(parcel)
        except Exception as error:
            reply = said(error)
        try:
            pipe.send(reply)
        except OSError:  # the parent is gone
            return


def _live(used: Any, parent: int) -> None:
    """Tells of life, and ends it when nobody is left to work for."""
    while os.getppid() == parent:
        used.value = time.process_time()
        time.sleep(BEAT)
    os._exit(1)
