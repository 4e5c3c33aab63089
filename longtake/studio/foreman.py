"""The queue: one film is made at a time, in a process of its own; all that happens is written down first."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from longtake.studio.films import Film, Shelf, digest
from longtake.studio.journal import Journal

Line = dict[str, Any]
GRACE = 20.0  # seconds that a step may take to end when its film is stopped
CRASHES = 2  # times in a row that the worker may die under a film before the film has failed
_LONGEST_LINE = 1 << 20
OPEN = ("queued", "in_progress")


@dataclasses.dataclass
class Record:
    """How a film stands. status: draft, queued, in_progress, paused, completed, failed or cancelled.

    Times are seconds since 1970. made: the storyboard that was last made or is being made, as `digest`.
    draft: whether that is a draft. redo: what is asked of a stretch that is made again.
    """

    id: str
    owner: str
    status: str = "draft"
    created: float = dataclasses.field(default_factory=time.time)
    completed: float | None = None
    error: str = ""
    made: str = ""
    draft: bool = False
    redo: Line = dataclasses.field(default_factory=dict)
    steps: int = 0
    all_steps: int = 0
    frames: int = 0
    all_frames: int = 0
    began: float = 0.0
    ran: int = 0

    def line(self) -> Line:
        """As the journal keeps it."""
        fields = ("id", "owner", "status", "created", "completed", "error", "made", "draft", "redo")
        return {name: getattr(self, name) for name in fields}

    @property
    def progress(self) -> int:
        """Per cent, 100 only when the film stands in its place."""
        if self.status == "completed":
            return 100
        share = self.steps / self.all_steps if self.all_steps else 0.0
        shown = self.frames / self.all_frames if self.all_frames else 0.0
        return min(99, int(100 * (0.8 * share + 0.2 * shown)))

    @property
    def running(self) -> float | None:
        """Seconds since its steps began to run; None where it is not being made."""
        began = self.status == "in_progress" and self.began
        return round(time.time() - began, 2) if began else None

    def take(self, line: Line) -> None:
        """Counts an event."""
        kind = line.get("event")
        if kind == "planned":
            self.steps = self.frames = self.ran = 0
            self.all_steps, self.all_frames = line["steps"] or 0, line["frames"] or 0
            self.began = time.time()
        elif kind in ("finished", "reused"):
            self.steps += 1
            self.ran += kind == "finished"
        elif kind == "decoded":
            self.frames = line["frames"][1]


class Foreman:
    """Films by how they stand, the queue, and the worker. Everything here runs on the event loop."""

    def __init__(self, shelf: Shelf, executor: str = "serial") -> None:
        self.shelf, self.executor = shelf, executor
        self.journal = Journal(shelf.folder)
        self.records: dict[str, Record] = {}
        self.queue: list[str] = []
        self._wake, self._ticks = asyncio.Event(), dict[str, asyncio.Event]()
        self._worker: asyncio.subprocess.Process | None = None
        self._now: str | None = None
        self._stop = ""  # what becomes of the film that is being made: paused, cancelled or deleted
        self._task = 0  # counts what the worker was asked
        self._loop: asyncio.Task[None] | None = None
        self._rested = asyncio.Event()

    async def start(self) -> None:
        """Reads the journal: what was being made when the server died is made first."""
        known = {field.name for field in dataclasses.fields(Record)}
        for name, line in self.journal.replay().items():
            record = Record(**{k: v for k, v in line.items() if k in known})
            if not (self.film(record).folder / "film.json").is_file():
                continue
            self.records[name] = record
            if record.status in OPEN:
                self.queue.append(name)
        self.queue.sort(key=lambda name: self.records[name].status != "in_progress")
        for name in self.queue:
            _mend(self.film(self.records[name]))
            self.records[name].status = "queued"
        self._loop = asyncio.create_task(self._run())
        self._wake.set()

    async def close(self) -> None:
        """Lets the worker go; what it was making is taken up by the next server."""
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
        await self._dismiss()
        self.journal.close()

    def film(self, record: Record) -> Film:
        """A record's film."""
        return self.shelf.film(record.owner, record.id)

    def of(self, owner: str) -> Iterator[Record]:
        """A user's films, newest first."""
        own = (record for record in self.records.values() if record.owner == owner)
        yield from sorted(own, key=lambda record: -record.created)

    def add(self, film: Film) -> Record:
        """A film that was just created."""
        record = self.records[film.id] = Record(film.id, film.owner)
        self.journal.write(record.line())
        return record

    def submit(
        self, record: Record, *, draft: bool = False, redo: Mapping[str, Any] | None = None
    ) -> None:
        """Puts a film, its draft or a stretch of it at the end of the queue, unless it is in it."""
        if record.status in OPEN:
            return
        record.draft, record.redo = draft, dict(redo or {})
        record.error, record.completed = "", None
        self.queue.append(record.id)
        self._set(record, "queued")
        self._wake.set()

    async def stop(self, record: Record, status: str) -> None:
        """Takes a film out of the queue, or stops it: `paused` or `cancelled`. Its steps are safe."""
        if record.id in self.queue:
            self.queue.remove(record.id)
            self._set(record, status)
        elif record.id == self._now:
            self._stop, rested = status, self._rested  # the next film's is another one
            self._interrupt()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(rested.wait(), GRACE)
            if not rested.is_set() and self._worker is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._worker.kill()
                await rested.wait()
        elif record.status == "paused":
            self._set(record, status)

    async def remove(self, record: Record) -> None:
        """Forgets a film and deletes its folder."""
        await self.stop(record, "cancelled")
        self.journal.write({**record.line(), "status": "deleted"})
        del self.records[record.id]
        await asyncio.to_thread(self.shelf.remove, self.film(record))
        self._tick(record.id)

    def tick(self, name: str) -> asyncio.Event:
        """An event that is set when something more happened to a film."""
        return self._ticks.setdefault(name, asyncio.Event())

    def tell(self, record: Record, line: Line) -> None:
        """Writes an event down, counts it and wakes whoever watches."""
        with self.film(record).events.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
        record.take(line)
        self._tick(record.id)

    def rouse(self) -> None:
        """Wakes whoever watches, whatever happened."""
        for name in list(self._ticks):
            self._tick(name)

    def _tick(self, name: str) -> None:
        event = self._ticks.pop(name, None)
        if event is not None:
            event.set()

    def _set(self, record: Record, status: str) -> None:
        record.status = status
        self.journal.write(record.line())
        self.tell(record, {"event": status, **({"error": record.error} if record.error else {})})

    async def _run(self) -> None:
        while True:
            if not self.queue:
                self._wake.clear()
                # films come seldom, weights and kernels take seconds: be ready for the first
                await self._hire()
                await self._wake.wait()
                continue
            record = self.records[self.queue.pop(0)]
            self._now, self._stop = record.id, ""
            self._rested = asyncio.Event()
            try:
                status = await self._make(record)
            finally:
                self._now = None
            if record.id in self.records:
                record.completed = time.time() if status == "completed" else None
                self._set(record, status)
            self._rested.set()

    async def _make(self, record: Record) -> str:
        """Has a film made; how it stands afterwards."""
        film = self.film(record)
        try:
            text, asked = film.text(), film.asked()
        except OSError as error:
            record.error = f"the film's folder cannot be read: {error.strerror}"
            return "failed"
        options = self.shelf.options(asked, record.draft)
        record.made = digest(text + json.dumps(options, sort_keys=True))
        record.began = 0.0
        self._set(record, "in_progress")
        self._task += 1
        task = {
            "task": self._task,
            "folder": str(film.folder),
            "options": {**options, **record.redo},
            "executor": self.executor,
            "figures": str(self.shelf.figures),
        }
        for _ in range(CRASHES):
            if self._stop:
                return self._stop
            status = await self._ask(record, task)
            if status or self._stop:
                return status or self._stop
        record.error = "the worker died twice; finished steps are safe"
        return "failed"

    async def _ask(self, record: Record, task: Line) -> str:
        """Sends a task and hears its events; "" if the worker died under it."""
        worker = await self._hire()
        assert worker.stdin is not None and worker.stdout is not None
        status = ""
        try:
            worker.stdin.write(json.dumps(task).encode() + b"\n")
            await worker.stdin.drain()
            if self._stop:  # it came before there was anybody to hear it
                self._interrupt()
            while text := await worker.stdout.readline():
                line = json.loads(text)
                kind = line["event"]
                if kind == "rested":
                    return self._stop if line.get("stopped") and self._stop else status
                if kind == "failed":
                    record.error, status = line["error"], "failed"
                    continue
                if kind == "done":
                    status, line["out"] = "completed", Path(line["out"]).name
                self.tell(record, line)
        except (OSError, ValueError):
            pass
        await self._dismiss()
        return status

    async def _hire(self) -> asyncio.subprocess.Process:
        if self._worker is None or self._worker.returncode is not None:
            first = self.shelf.options(self.shelf.choices({}))
            told = {"options": first, "figures": str(self.shelf.figures)}
            words = (sys.executable, "-m", "longtake.studio.worker", json.dumps(told))
            pipe = asyncio.subprocess.PIPE
            # a session of its own: Ctrl-C at the server's terminal is the server's to hear
            self._worker = await asyncio.create_subprocess_exec(
                *words, stdin=pipe, stdout=pipe, limit=_LONGEST_LINE, start_new_session=True
            )
        return self._worker

    async def _dismiss(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None and worker.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()

    def _interrupt(self) -> None:
        worker = self._worker
        if worker is not None and worker.returncode is None and worker.stdin is not None:
            with contextlib.suppress(OSError, RuntimeError):
                worker.stdin.write(json.dumps({"stop": self._task}).encode() + b"\n")


def _mend(film: Film) -> None:
    """Cuts off an event that a crash tore, so that what follows begins a line."""
    with contextlib.suppress(FileNotFoundError), film.events.open("rb+") as file:
        data = file.read()
        if data and not data.endswith(b"\n"):
            file.truncate(data.rfind(b"\n") + 1)
            os.fsync(file.fileno())
