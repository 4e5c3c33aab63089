"""What the studio's tests share: an app in this process, a server in another, a film to ask for."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from starlette.testclient import TestClient

from longtake.studio.app import make_app
from longtake.studio.limits import LIMITS, Limits

ROOT = Path(__file__).parent.parent
TOY = f"{Path(__file__).parent / 'toy.py'}:toy"
BASE = "http://127.0.0.1:8000"
DONE = ("completed", "failed", "paused", "cancelled")

Line = dict[str, Any]


def board(*seconds: float, slow: float = 0.0) -> Line:
    """A request for a film of so many shots, not begun. slow: seconds a step takes at least."""
    words = ("a calm sea", "night over hills", "storm at noon", "early fog")
    shots = [
        {"prompt": words[n % 4], "seconds": each, "cut": n == 0} for n, each in enumerate(seconds)
    ]
    return {
        "storyboard": {"seed": 7, "fps": 10, "shot": shots},
        "scheme": "autoregressive:window=8,step=4",
        "settings": {"slow": slow},
        "start": False,
    }


@contextlib.contextmanager
def studio(folder: Path, *, limits: Limits = LIMITS, **words: Any) -> Iterator[TestClient]:
    """The app in this process, its worker in another."""
    app = make_app(folder, models={"toy": TOY}, limits=limits, **words)
    with TestClient(app, base_url=BASE) as client:
        yield client


def wait(client: Any, name: str, until: tuple[str, ...] = DONE, seconds: float = 90.0) -> Line:
    """The film once it stands as wanted."""
    end = time.monotonic() + seconds
    while True:
        found: Line = client.get(f"/v1/videos/{name}").json()
        if found["status"] in until:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.05)


def events(client: Any, name: str, after: str = "0") -> list[tuple[str, Line]]:
    """(id, line) of a film's events so far."""
    text = client.get(f"/v1/videos/{name}/events?follow=false&after={after}").text
    found = []
    for block in text.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.splitlines() if line[:2] in ("id", "da")
        )
        if fields:
            found.append((fields["id"], json.loads(fields["data"])))
    return found


class Server:
    """`longtake studio` in a process of its own, with the toy."""

    def __init__(self, folder: Path, port: int = 0, errors: int | None = None) -> None:
        words = [sys.executable, "-m", "longtake", "studio", "--json", "--port", str(port)]
        words += ["--folder", str(folder), "--model", TOY]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, stdout=pipe, stderr=errors, env=env, text=True)
        assert self.process.stdout is not None
        self.address: str = json.loads(self.process.stdout.readline())["address"]
        self.client = httpx.Client(base_url=self.address, timeout=60)
        for _ in range(200):  # the port is taken before the first request is answered
            with contextlib.suppress(httpx.TransportError):
                self.client.get("/v1/session")
                return
            time.sleep(0.05)

    def kill(self) -> None:
        """As a power cut does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """As Ctrl-C does; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=30)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()
