"""What a training leaves behind: checkpoints to go on from, averaged weights, its curve."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from longtake.errors import InputError
from longtake.train.averages import Average, snapshot, snapshots
from longtake.train.shards import like, whole


def forget_after(folder: Path, step: int) -> None:
    """Drops a curve's lines and the snapshots after `step`: they are about to be made again."""
    curve = folder / "curve.jsonl"
    if curve.exists():
        lines = curve.read_text().splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        if len(kept) < len(lines):
            curve.write_text("".join(kept))
    for late, path in snapshots(folder).items():
        if late > step:
            path.unlink()


def save(
    module: nn.Module,
    tools: Sequence[torch.optim.Optimizer],
    average: Average,
    folder: Path,
    step: int,
    seconds: float,
    first: bool = True,
) -> None:
    """Writes a checkpoint, each file at once or not at all.

    Of several processes the `first` writes; where weights are sharded all must call.
    """
    kept = {n: b.detach().contiguous() for n, b in _buffers(module).items()}
    state = {f"weights/{n}": p.detach() for n, p in module.named_parameters()}
    state |= {f"weights/{n}": b for n, b in kept.items()}
    for row, weights in enumerate(average.rows):
        state |= {f"{_row(row)}/{n}": p for n, p in weights.items()}
    state |= {f"tools/{n}": p for n, p in _flat(tools).items()}
    state = {name: whole(p).contiguous() for name, p in state.items()}
    if not first:
        return
    rows = [
        {n: state[f"{_row(row)}/{n}"] for n in weights} for row, weights in enumerate(average.rows)
    ]
    if average.kind:  # before the checkpoint: one that is there has its snapshot
        snapshot(folder, step, average.kind, rows, kept)
    notes = {"step": str(step), "seconds": str(seconds), "widths": average.kind}
    save_file(state, folder / "new", notes)
    os.replace(folder / "new", folder / "checkpoint.safetensors")
    save_file(rows[0] | kept, folder / "new")
    os.replace(folder / "new", folder / "average.safetensors")


def resume(
    module: nn.Module, tools: Sequence[torch.optim.Optimizer], average: Average, folder: Path
) -> tuple[int, float]:
    """Everything as the checkpoint has it; steps and seconds so far, (0, 0) where none is.

    InputError if it is of another network, or keeps other averages.
    """
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0, 0.0
    with safe_open(path, "pt") as file:
        notes = file.metadata()
    if notes.get("widths", "") != average.kind:
        has = notes.get("widths") or "one decay"
        raise InputError(
            f"checkpoint averages by {has}", str(path), "the same ema, or a new folder"
        )
    state = load_file(path)
    for name, p in (dict(module.named_parameters()) | _buffers(module)).items():
        saved = state.get(f"weights/{name}")
        if saved is None or saved.shape != p.shape:
            raise InputError(
                f"checkpoint is of another network ({name})", str(path), "a new folder"
            )
        p.data.copy_(like(saved, p))
    for row, weights in enumerate(average.rows):
        for name, p in weights.items():
            p.copy_(like(state[f"{_row(row)}/{name}"], p))
    for n, tool in enumerate(tools):
        params = [p for group in tool.param_groups for p in group["params"]]
        restored: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            head, *rest = key.split("/")
            if head == "tools" and rest[0] == str(n):
                place = int(rest[1])
                restored.setdefault(place, {})[rest[2]] = like(value, params[place])
        tool.load_state_dict(tool.state_dict() | {"state": restored})
    return int(notes["step"]), float(notes["seconds"])


def _row(number: int) -> str:
    return f"average.{number}" if number else "average"


def _buffers(module: nn.Module) -> dict[str, Tensor]:
    """What a module keeps beside its weights and saves with them: codebooks, running means."""
    kept = module.state_dict()
    return {name: b for name, b in module.named_buffers() if name in kept}


def _flat(tools: Sequence[torch.optim.Optimizer]) -> Mapping[str, Tensor]:
    flat = {}
    for n, tool in enumerate(tools):
        for place, state in tool.state_dict()["state"].items():
            for name, value in state.items():
                flat[f"{n}/{place}/{name}"] = torch.as_tensor(value).clone()
    return flat
