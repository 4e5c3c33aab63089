"""The generation loop: the only one in the house."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress

from longtake.engine.decode import Frames, Reel, showing
from longtake.engine.desk import Desk, Order
from longtake.engine.events import (
    Done,
    Event,
    Finished,
    Planned,
    Repaired,
    Reused,
    Started,
    Suspect,
)
from longtake.engine.executors import Executor
from longtake.engine.job import AHEAD, Call, Job, lay
from longtake.engine.store import Store
from longtake.engine.takes import Takes
from longtake.errors import MachineError, PlanError

PAUSE = 0.05  # seconds between looks at what another process is making


def render(
    job: Job,
    store: Store,
    executor: Executor,
    *,
    only: tuple[int, int] | None = None,
    settled: Callable[[Order], None] | None = None,
) -> Iterator[Event | Frames]:
    """Makes the film: events as they happen, frames in film order.

    Stop it anywhere and run it again: what is stored is reused and the frames are the same.
    only: frames [first, end) of a finite film none of whose takes is to be chosen yet, and no step
    that they do not need. settled: hears of every call whose observation and key are known, perhaps
    more than once.
    The executor is closed at the end. MachineError says what is safe.
    """
    began, ran, reused = time.perf_counter(), 0, 0
    desk = Desk(job, store)
    wanted = None if only is None else needed(job, only)
    queue, takes = Queue(job, wanted), Takes(job, desk, wanted)
    reel = Reel(job, desk.shown, only)
    orders: dict[int, Order] = {}

    def landed(call: Call | None = None) -> Iterator[Event | Frames]:
        """What can be told and shown now that a call is finished."""
        if choice := takes.finish(call):
            reel.settle(choice.take)
            yield choice
        # decoding may fall behind other processes' work; an endless film's clips would be dropped
        wait = job.frames is None or not orders
        if call is None or call.view is not None:
            yield from reel.land(wait=wait)
        else:
            yield from reel.land(call.step.targets, call.stage, wait=wait)

    yield planned(job)
    try:
        yield from landed()
        while True:
            while executor.room() and (call := queue.next()) is not None:
                order = desk.order(call)
                key = order.key.key
                if settled is not None:
                    settled(order)
                if not desk.find(order):
                    if not store.claim(order.claim):
                        queue.postpone(call)
                        continue
                    if not desk.find(order):  # nobody finished it between the look and the claim
                        if key in store.damaged:
                            yield Repaired(call.number, store.damaged.pop(key))
                        order, fault = desk.turned_down(order)
                        if fault:
                            yield Repaired(call.number, fault, order.key.attempt)
                        orders[call.number] = order
                        yield Started(call.number)
                        executor.submit(desk.task(order))
                        continue
                    store.release(order.claim)
                reused += 1
                queue.finish(call)
                yield Reused(call.number)
                if fault := desk.fault(order):
                    yield Suspect(call.number, fault)
                yield from landed(call)
            if orders:
                result = executor.wait()
                for loss in result.lost:
                    yield Repaired(result.number, f"a worker was lost ({loss})")
                order, fault = desk.keep(orders[result.number], result)
                if fault:
                    orders[result.number] = order
                    yield Repaired(result.number, fault, order.key.attempt)
                    executor.submit(desk.task(order))
                    continue
                del orders[result.number]
                store.release(order.claim)
                if settled is not None:
                    settled(order)
                ran += 1
                queue.finish(order.call)
                yield Finished(result.number, result.seconds)
                if fault := desk.fault(order):
                    yield Suspect(result.number, fault)
                yield from landed(order.call)
            elif not queue.postponed:
                break
            else:
                time.sleep(PAUSE)
            queue.retry()
        yield from reel.rest()
        store.settle()
    except MachineError as error:
        safe = f"{error.what}; {ran + reused} finished steps are safe"
        hint = error.hint or "the same command again"
        raise MachineError(safe, error.where, hint) from error
    finally:
        reel.close()
        executor.close()
        for order in orders.values():
            store.release(order.claim)
        with suppress(MachineError):  # of which the first has been told
            store.settle()
    if not reel.over:
        raise PlanError("frames were never written", job.system.name)
    frames = job.frames or 0 if only is None else only[1] - only[0]
    yield Done("", frames, time.perf_counter() - began, ran, reused)


def planned(job: Job) -> Planned:
    """The first event: what will be made."""
    if job.frames is None:
        return Planned(None, None, None, job.size, job.fps)
    waves = 1 + max(job.waves, default=-1)
    return Planned(len(job.calls), waves, job.frames, job.size, job.fps)


def needed(job: Job, only: tuple[int, int]) -> set[int]:
    """Numbers of the calls of a finite film behind its frames [first, end)."""
    last = len(job.system.stages) - 1
    reads = {index for window in showing(job, only) for index in window.reads}
    wanted: set[int] = set()
    for call in reversed(job.calls):
        if call.number in wanted or (call.stage == last and reads.intersection(call.step.targets)):
            wanted.update((call.number, *call.needs))
    return wanted


class Queue:
    """Calls by readiness: the lowest number of those whose needs are finished comes first.

    wanted: numbers of the only calls that matter, with all that they need.
    """

    def __init__(self, job: Job, wanted: Collection[int] | None = None) -> None:
        calls = lay(job) if job.frames is None else iter(job.calls)
        self._calls = calls if wanted is None else (c for c in calls if c.number in wanted)
        self._endless, self._laid = job.frames is None, 0
        self._ready: list[tuple[int, Call]] = []
        self._missing: dict[int, tuple[Call, set[int]]] = {}
        self._readers: dict[int, list[int]] = {}
        self._open: set[int] = set()
        self.postponed: list[Call] = []

    def next(self) -> Call | None:
        """A call that may run now, if there is one."""
        while self._looks_ahead() and (call := next(self._calls, None)) is not None:
            self._add(call)
        return heapq.heappop(self._ready)[1] if self._ready else None

    def finish(self, call: Call) -> None:
        """Readies the calls that needed only this one."""
        self._open.discard(call.number)
        for number in self._readers.pop(call.number, ()):
            reader, missing = self._missing[number]
            missing.discard(call.number)
            if not missing:
                del self._missing[number]
                heapq.heappush(self._ready, (number, reader))

    def postpone(self, call: Call) -> None:
        """Puts a call aside that another process is making."""
        self.postponed.append(call)

    def retry(self) -> None:
        """Takes up again what was put aside."""
        for call in self.postponed:
            heapq.heappush(self._ready, (call.number, call))
        self.postponed = []

    def _looks_ahead(self) -> bool:
        """Whether one more call may be looked at: of an endless film none far from the oldest open one.

        While a slow worker makes that one, the others would run away from it and from the frames that are shown.
        """
        return not (self._endless and self._open and self._laid - min(self._open) >= AHEAD)

    def _add(self, call: Call) -> None:
        self._laid += 1
        self._open.add(call.number)
        missing = {number for number in call.needs if number in self._open}
        if not missing:
            heapq.heappush(self._ready, (call.number, call))
            return
        self._missing[call.number] = (call, missing)
        for number in missing:
            self._readers.setdefault(number, []).append(call.number)
