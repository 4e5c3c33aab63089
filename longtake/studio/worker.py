"""The process that makes films: one job a line on stdin, its events as lines on stdout.

It lives as long as its server: weights and kernels are read once. When stdin ends it is gone at
once, in the middle of a step if need be, for finished steps are safe in the run folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from longtake.clip import Clip
from longtake.engine.events import Failed
from longtake.engine.job import Call, Job
from longtake.engine.store import Folder
from longtake.errors import LongtakeError, MachineError
from longtake.studio.takes import forget_takes, show_takes

if TYPE_CHECKING:
    from longtake.cli.figures import Gauge

Line = dict[str, Any]
PICTURE = 256  # pixels of a small picture's longer side, at most


class Watched(Folder):
    """A run folder that also lays a small picture of every clip it is given.

    So pictures of a film appear in the order in which it is made, which need not be that of the film.
    """

    def __init__(self, path: Path, job: Job, pictures: Path, tell: Any) -> None:
        super().__init__(path)
        self._job, self._pictures, self._tell = job, pictures, tell
        # numbers of steps that make stretches again are set aside: they have gaps
        self._numbered = {call.number: call for call in job.calls}
        self._calls: dict[str, Call] = {}

    def record(self, line: Any) -> None:
        """Also notes which call a key belongs to: the journal comes before the clip."""
        super().record(line)
        if line.get("seconds") is not None:
            self._calls[line["key"]] = self._numbered[line["step"]]

    def put(self, key: str, clip: Clip) -> None:
        """Also makes the picture; a film does not fail for want of one."""
        super().put(key, clip)
        call = self._calls.pop(key, None)
        if call is not None:
            with contextlib.suppress(LongtakeError, OSError, ValueError, RuntimeError):
                self._show(key, clip, call)

    def _show(self, key: str, clip: Clip, call: Call) -> None:
        import torch

        from longtake.video import write_image

        index = call.step.targets[len(call.step.targets) // 2]
        codec = self._job.system.stages[call.stage].codec.made
        with torch.no_grad():
            frame = codec.decode(clip.pick([index]).frames)[0, 0].float()
        high, wide = frame.shape[1:]
        if max(high, wide) > PICTURE:
            share = PICTURE / max(high, wide)
            sides = (max(1, round(high * share)), max(1, round(wide * share)))
            frame = torch.nn.functional.interpolate(frame[None], sides, mode="area")[0]
        picture = frame.clamp(0, 1).mul(255).round().to(torch.uint8).cpu()
        name = picture_name(key)
        write_image(picture, self._pictures / name)
        take = [take for take in self._job.takes if take.start <= index][-1]
        place = max(self._job.first_frame(take, index), take.first)
        self._tell({"event": "shown", "step": call.number, "frame": place, "picture": name})


def picture_name(key: str) -> str:
    """What the picture of a step's clip is called."""
    return f"{key[:32]}.jpg"


def make(task: Line, tell: Any) -> None:
    """Makes one film; its events are told as they happen.

    Stretches that were made again stay so, as far as an edit leaves them in their place.
    """
    from dataclasses import replace

    from longtake import api
    from longtake.brief.notes import lasting
    from longtake.cli.figures import Gauge
    from longtake.cli.runs import remember

    folder, options = Path(task["folder"]), task["options"]
    drafts, redoes = options.get("draft"), "redo" in options
    out = folder / ("film.draft.mp4" if drafts else "film.mp4")
    run, brief = folder / "film.run", str(folder / "board" / "storyboard.toml")
    if not drafts and not redoes:
        options = lasting(brief, options, out)
    order = api.order_of(brief, options, run=run, executor=task["executor"], film=out)
    order = replace(order, store=Watched(run, order.job, folder / "pictures", tell))
    noted, gauge = False, Gauge()
    choice: Line = {"take": 0, "scores": {}}
    for event in api.written(order, out, None, None):
        noted = noted or remember(run, str(out), brief, options)
        line = event.line()
        gauge.hear(line)
        if line["event"] == "done" and redoes:
            show_takes(order.job, choice, order.store, folder / "takes")
        elif line["event"] == "done" and not drafts:
            forget_takes(order.job, order.store, folder / "takes")
            _note(order.job, gauge, Path(task["figures"]))
        if line["event"] == "chosen":
            choice = line
        tell(line)


def main() -> None:
    """Reads jobs until stdin ends."""
    # what a model's file prints is nobody's event
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    desk = _Desk()
    signal.signal(signal.SIGINT, desk.interrupt)
    threading.Thread(target=desk.read, args=(sys.stdin.buffer,), daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(5)  # the server answers first

    def tell(line: Line) -> None:
        out.write(json.dumps(line).encode() + b"\n")

    _warm()
    # whoever asks for a film ends this, and will hear of what is wrong
    with contextlib.suppress(Exception, KeyboardInterrupt), desk.spare():
        _measure(json.loads(sys.argv[1]))
    while True:
        task = desk.tasks.get()
        line: Line = {"event": "rested"}
        try:
            with desk.busy(task["task"]):
                make(task, tell)
        except KeyboardInterrupt:
            line["stopped"] = True
        except BaseException as error:
            tell(Failed(str(_known(error))).line())
        tell(line)


class _Desk:
    """Tasks that came, and the numbers of those that are to be stopped, begun or not."""

    def __init__(self) -> None:
        self.tasks: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._now, self._spare = 0, False
        self._stopped = 0  # the highest number: tasks come one at a time

    def read(self, stdin: IO[bytes]) -> None:
        """Hears the server, on a thread of its own; ends the process when it is gone."""
        for text in stdin:
            line = json.loads(text)
            if "stop" in line:
                self._stopped = line["stop"]
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:
                self.tasks.put(line)
                if self._spare:
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        os._exit(0)

    @contextlib.contextmanager
    def busy(self, number: int) -> Iterator[None]:
        """While a task may be interrupted."""
        self._now = number
        try:
            if self._stopped >= number:
                raise KeyboardInterrupt
            yield
        finally:
            self._now = 0

    @contextlib.contextmanager
    def spare(self) -> Iterator[None]:
        """While there is nothing to do; KeyboardInterrupt when there is."""
        self._spare = True
        try:
            if not self.tasks.empty():
                raise KeyboardInterrupt
            yield
        finally:
            self._spare = False

    def interrupt(self, number: int, frame: object) -> None:
        """Stops the task, once, if it is one that is to be stopped, or what is done while there is none."""
        if self._spare:
            self._spare = False
            raise KeyboardInterrupt
        if 0 < self._now <= self._stopped:
            self._now = 0
            raise KeyboardInterrupt


def _warm() -> None:
    """Imports what every film needs, before there is one."""
    import longtake.engine
    import longtake.recipes.skies
    import longtake.video.writing  # noqa: F401


def _measure(told: Line) -> None:
    """Makes a short film while nobody wants one, so that plans tell time and memory before the first; once a machine."""
    from longtake.brief import job_of
    from longtake.cli.figures import gauged, name_of, read_figures

    figures, job = Path(told["figures"]), job_of("a calm sea at dawn", told["options"])
    name = name_of(job)
    if name not in read_figures(figures) and name not in read_figures():
        _note(job, gauged(job), figures)


def _note(job: Job, gauge: Gauge, place: Path) -> None:
    """Keeps what a film took; a film does not fail for want of it."""
    from longtake.cli.figures import name_of, write_figure

    figure = gauge.figure()
    if figure is not None:
        with contextlib.suppress(OSError):
            write_figure(name_of(job), figure, place)


def _known(error: BaseException) -> LongtakeError:
    if isinstance(error, LongtakeError):
        return error
    if isinstance(error, MemoryError):
        return MachineError("out of memory", "", "a smaller size")
    reason = " ".join(str(error).split())[:300]
    return MachineError(f"unexpected {type(error).__name__}: {reason}")


if __name__ == "__main__":
    main()
