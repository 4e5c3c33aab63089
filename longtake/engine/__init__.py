"""The engine: one generation loop over a job, a store and an executor. Knows words, no shelf."""

from __future__ import annotations

from longtake.engine.bucket import Bucket
from longtake.engine.decode import Frames
from longtake.engine.events import (
    Chosen,
    Decoded,
    Done,
    Event,
    Failed,
    Finished,
    Planned,
    Repaired,
    Reused,
    Started,
    Suspect,
)
from longtake.engine.executors import (
    Batched,
    Executor,
    Processes,
    Ray,
    Result,
    Serial,
    Task,
    check_executor,
    executor_of,
)
from longtake.engine.job import Given, Job
from longtake.engine.redo import Redo
from longtake.engine.run import planned, render
from longtake.engine.store import Folder, Memory, Store
from longtake.engine.why import explain, plan_lines

__all__ = [
    "Batched",
    "Bucket",
    "Chosen",
    "Decoded",
    "Done",
    "Event",
    "Executor",
    "Failed",
    "Finished",
    "Folder",
    "Frames",
    "Given",
    "Job",
    "Memory",
    "Planned",
    "Processes",
    "Ray",
    "Redo",
    "Repaired",
    "Result",
    "Reused",
    "Serial",
    "Started",
    "Store",
    "Suspect",
    "Task",
    "check_executor",
    "executor_of",
    "explain",
    "plan_lines",
    "planned",
    "render",
]
