"""Who computes a step: this process, this process in batches, several processes, or a Ray cluster.

None of them changes what a step gives, except that a batch may round differently.
"""

from __future__ import annotations

import os
import re
from typing import Protocol

from longtake.engine.executors.cluster import Ray
from longtake.engine.executors.here import Batched, Result, Serial, Task, answer, enough_memory
from longtake.engine.executors.parcels import Make
from longtake.engine.executors.workers import Processes
from longtake.errors import InputError, nearest

__all__ = [
    "Batched",
    "Executor",
    "Make",
    "Processes",
    "Ray",
    "Result",
    "Serial",
    "Task",
    "answer",
    "check_executor",
    "enough_memory",
    "executor_of",
]


class Executor(Protocol):
    """Computes tasks, in any order. `close` drops what is unfinished; it may be used again."""

    def room(self) -> int:
        """How many more tasks it can use now."""

    def submit(self, task: Task) -> None:
        """Takes a task."""

    def wait(self) -> Result:
        """The next answer."""

    def close(self) -> None:
        """Stops all work."""


def executor_of(text: str, make: Make, device: str = "cpu") -> Executor:
    """The executor of `serial`, `batched[:SIZE]`, `processes[:N]` or `ray[:ADDRESS]`.

    device: where `make` puts models.
    """
    name, value = check_executor(text)
    if name == "ray":
        return Ray(value, make, gpu=device.startswith("cuda"))
    if name == "batched":
        return Batched(int(value or 8))
    return Processes(int(value or os.cpu_count() or 1), make) if name == "processes" else Serial()


def check_executor(text: str) -> tuple[str, str]:
    """Name and value of an executor's text, `batched` and `8`; InputError where it means none."""
    name, _, value = text.partition(":")
    known = ("serial", "batched", "processes", "ray")
    if name not in known or (name == "serial" and value):
        raise InputError(f"unknown executor '{text}'", "--executor", nearest(name, known))
    if name != "ray" and value and not re.fullmatch("0*[1-9][0-9]{0,3}", value):
        what = f"'{value}' is not a number of {name} from 1 to 9999"
        raise InputError(what, "--executor", f"{name}:4")
    return name, value
