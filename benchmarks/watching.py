"""Films in the studio for `run.py`: made while many watch, and how soon there is something to see."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WATCHERS = 50

Line = dict[str, Any]


class Studio:
    """`longtake studio` in a process of its own, with one model."""

    def __init__(self, folder: str, model: str, threads: int) -> None:
        words = [sys.executable, "-m", "longtake", "studio", "--json", "--port", "0"]
        words += ["--folder", folder, "--model", model]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, env=env, text=True)
        assert self.process.stdout is not None
        self.address: str = json.loads(self.process.stdout.readline())["address"].rstrip("/")
        for _ in range(200):  # the port is taken before the first request is answered
            with contextlib.suppress(OSError):
                self.ask("GET", "/v1/session")
                return
            time.sleep(0.05)

    def ask(self, method: str, path: str, body: Line | None = None) -> Line:
        """A request's answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, method=method)
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: Line = json.loads(answer.read() or b"{}")
            return found

    def film(self, prompt: str, frames: int) -> str:
        """A film that is not begun; its name."""
        board = {"seed": 0, "fps": 10, "shot": [{"prompt": prompt, "seconds": frames / 10}]}
        name: str = self.ask("POST", "/v1/videos", {"storyboard": board, "start": False})["id"]
        return name

    def events(self, name: str) -> Iterator[Line]:
        """A film's events, as they happen."""
        path = f"{self.address}/v1/videos/{name}/events"
        with urllib.request.urlopen(path, timeout=600) as stream:
            for text in stream:
                if text.startswith(b"data: "):
                    yield json.loads(text[6:])

    def made(self, name: str) -> None:
        """Has a film made; returns when it is."""
        self.ask("POST", f"/v1/videos/{name}/start", {})
        for line in self.events(name):
            if line["event"] == "completed":
                return
            if line["event"] in ("failed", "cancelled"):
                raise RuntimeError(str(line))

    def close(self) -> None:
        """Ends the server."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Watchers:
    """Clients that watch a film as pages do: its events, and every picture when it is shown."""

    def __init__(self, studio: Studio, name: str, count: int = WATCHERS) -> None:
        host, _, port = studio.address.removeprefix("http://").partition(":")
        self._place, self._film = (host, int(port)), f"/v1/videos/{name}"
        self._wait = selectors.DefaultSelector()
        for _ in range(count):
            pictures = socket.create_connection(self._place)  # one for all of a page's pictures
            self._wait.register(pictures, selectors.EVENT_READ, None)
            events = socket.create_connection(self._place)
            self._ask(events, f"{self._film}/events")
            self._wait.register(events, selectors.EVENT_READ, pictures)
        self.pictures = self.bytes = 0
        self._end = False
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _ask(self, client: socket.socket, path: str) -> None:
        host = f"{self._place[0]}:{self._place[1]}"
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())

    def _watch(self) -> None:
        while not self._end:
            for key, _ in self._wait.select(0.2):
                client: Any = key.fileobj
                data = client.recv(1 << 16)
                self.bytes += len(data)
                if not data:
                    self._wait.unregister(client)
                    client.close()
                elif key.data is not None:
                    for line in data.split(b"\n"):
                        self._look(line, key.data)

    def _look(self, line: bytes, pictures: socket.socket) -> None:
        if line.startswith(b"data: ") and b'"shown"' in line:
            with contextlib.suppress(ValueError):  # a line that came in two parts
                shown = json.loads(line[6:])["picture"]
                self._ask(pictures, f"{self._film}/pictures/{shown}")
                self.pictures += 1

    def close(self) -> None:
        """They look away."""
        self._end = True
        self._thread.join()
        for key in list(self._wait.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._wait.close()


@contextlib.contextmanager
def studio_of(film: Any) -> Iterator[Studio]:
    """A studio that has made a film already: weights and kernels are there."""
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(folder, film.model, film.threads)
        try:
            studio.made(studio.film("a calm sea", 40))
            yield studio
        finally:
            studio.close()


def watched(film: Any, prompt: str) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """A film that fifty watch, and one that nobody but this process waits for."""
    with studio_of(film) as studio:

        def alone() -> None:
            studio.made(studio.film(prompt, film.frames))

        def crowded() -> None:
            name = studio.film(prompt, film.frames)
            with contextlib.closing(Watchers(studio, name)):
                studio.made(name)

        yield crowded, alone


def first_picture(
    film: Any, prompt: str
) -> Iterator[tuple[Callable[[], float], Callable[[], float]]]:
    """From the start of a film to its first picture; and its first step's own time, as told by the engine."""
    with studio_of(film) as studio:
        left: dict[str, float] = {}  # of the last film, what was not asked for yet

        def look() -> None:
            name = studio.film(prompt, film.frames)
            began = time.perf_counter()
            studio.ask("POST", f"/v1/videos/{name}/start", {})
            found: dict[str, float] = {}
            for line in studio.events(name):
                if line["event"] == "shown":
                    found.setdefault("shown", time.perf_counter() - began)
                elif line["event"] == "finished":
                    found.setdefault("step", line["seconds"])
                if len(found) == 2:
                    break
            studio.ask("DELETE", f"/v1/videos/{name}")
            left.update(found)

        def told(what: str) -> float:
            if what not in left:
                look()
            return left.pop(what)

        yield functools.partial(told, "shown"), functools.partial(told, "step")
