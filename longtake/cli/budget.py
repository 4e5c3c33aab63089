"""`plan --train`: what training a system would take, role by role. torch comes in when it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from longtake.cli.base import Voice
from longtake.errors import FitError

if TYPE_CHECKING:
    from longtake.system import Stage, System

Line = dict[str, Any]


def budget_lines(system: System, size: tuple[int, int]) -> Iterator[Line]:
    """A line a role: parameters, numbers a frame, and a measured step on one clip of the scheme's window."""
    width, height = size
    for number, stage in enumerate(system.stages):
        frame = system.frame(size, number)
        stride = stage.codec.spec.stride
        pixels = 3 * width * height * stride
        for role in stage.models:
            yield {
                "event": "role",
                "stage": number,
                "role": role,
                "frames": stage.scheme.window,
                "film_frames": stage.scheme.window * stride,
                "places": frame[-1] * frame[-2],
                "places_of_pixels": width * height * stride,
                "numbers": _product(frame),
                "compression": round(pixels / _product(frame), 2),
                **_measured(system, stage, role, frame),
            }


def show_budget(lines: Iterator[Line], voice: Voice, title: str) -> None:
    """JSON lines, or a table of words."""
    found = list(lines)
    for line in found:
        voice.line(line)
    total = {
        "event": "budget",
        "parameters": sum(line["parameters"] for line in found),
        "step_seconds": round(sum(line["step_seconds"] or 0 for line in found), 4),
    }
    voice.line(total)
    voice.say(title)
    for line in found:
        voice.say(_words(line))


def _measured(system: System, stage: Stage, role: str, frame: tuple[int, ...]) -> Line:
    import torch

    from longtake.clip import Clip, ClipRequest, Noise
    from longtake.controls import Controls
    from longtake.train.cost import nets_of, step_cost, trainable

    model, at = stage.model(role).made, tuple(range(stage.scheme.window))
    interval = stage.codec.spec.stride / system.fps
    codes = stage.codec.spec.codes
    shape = (1, len(at), *frame)
    frames = torch.randint(codes, shape) if codes else torch.randn(shape)
    request = ClipRequest(at, None, Controls(), Noise(0), frame, interval=interval)
    try:
        cost = step_cost(trainable(model), request, Clip(frames, at))
    except FitError as error:
        count = sum(p.numel() for net in nets_of(model) for p in net.parameters())
        return {"parameters": count, "step_seconds": None, "why": str(error)}
    return {
        "parameters": cost.parameters,
        "step_seconds": round(cost.seconds, 4),
        "bytes_a_clip": cost.kept,
        "bytes_held": list(cost.held),
    }


def _words(line: Line) -> str:
    head = (
        f"stage {line['stage']}, role {line['role']}: {line['parameters']:,} parameters; "
        f"{line['frames']} frames of {line['places']:,} places a call "
        f"({line['film_frames']} of the film; {line['places_of_pixels']:,} places in pixels, "
        f"{line['compression']:g} times the numbers)"
    )
    if line["step_seconds"] is None:
        return f"{head}; {line['why']}"
    low, high = (size / 2**20 for size in line["bytes_held"])
    kept = line["bytes_a_clip"] / 2**20
    return (
        f"{head}; a step on one clip {line['step_seconds']:.2f} s here, "
        f"{kept:.1f} MiB a clip and {low:.0f} to {high:.0f} MiB for weights and optimiser"
    )


def _product(frame: tuple[int, ...]) -> int:
    found = 1
    for side in frame:
        found *= side
    return found
