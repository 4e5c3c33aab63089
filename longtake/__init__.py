"""Long videos out of models that only know short clips.

Names are resolved at first use, so that importing this costs nothing. It says one thing to torch,
which has to hear it before it is imported: how long its threads wait busily for one another.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from longtake.api import Take, generate, load, plan, score, stream
    from longtake.clip import Clip, ClipModel, ClipRequest, ClipSpec, Codec, CodecSpec, Noise
    from longtake.controls import Controls, Cue, Pin, Shot, Storyboard
    from longtake.engine.job import Given, Job
    from longtake.errors import ClaimError, InputError, LongtakeError, MachineError
    from longtake.prompts.storyboard import read_storyboard, save_storyboard
    from longtake.schemes import find_scheme
    from longtake.steps import Plan, Scheme, Step, Timeline
    from longtake.system import Part, Stage, System

_HOME = {
    "api": ("Take", "generate", "load", "plan", "score", "stream"),
    "clip": ("Clip", "ClipModel", "ClipRequest", "ClipSpec", "Codec", "CodecSpec", "Noise"),
    "controls": ("Controls", "Cue", "Pin", "Shot", "Storyboard"),
    "engine.job": ("Given", "Job"),
    "errors": ("ClaimError", "InputError", "LongtakeError", "MachineError"),
    "prompts.storyboard": ("read_storyboard", "save_storyboard"),
    "schemes": ("find_scheme",),
    "steps": ("Plan", "Scheme", "Step", "Timeline"),
    "system": ("Part", "Stage", "System"),
}

__all__ = [
    "ClaimError",
    "Clip",
    "ClipModel",
    "ClipRequest",
    "ClipSpec",
    "Codec",
    "CodecSpec",
    "Controls",
    "Cue",
    "Given",
    "InputError",
    "Job",
    "LongtakeError",
    "MachineError",
    "Noise",
    "Part",
    "Pin",
    "Plan",
    "Scheme",
    "Shot",
    "Stage",
    "Step",
    "Storyboard",
    "System",
    "Take",
    "Timeline",
    "__version__",
    "find_scheme",
    "generate",
    "load",
    "plan",
    "read_storyboard",
    "save_storyboard",
    "score",
    "stream",
]


# Waiting threads give their core up after some 30 microseconds: see "Threads" in docs/decisions.md.
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "10000"


def __getattr__(name: str) -> object:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"longtake.{module}"), name)
    raise AttributeError(f"module 'longtake' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
