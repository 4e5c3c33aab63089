"""Runs a recipe's proof: its experiment, then every expectation held against what was found."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from longtake.errors import InputError, nearest
from longtake.keys import fingerprint
from longtake.lab.bench import Lab
from longtake.lab.catalogue import provable
from longtake.lab.plot import plot
from longtake.system import Curve, Measured, Proof

RESULT = "result.json"
PLOT = "plot.svg"


@dataclasses.dataclass(frozen=True)
class Proven:
    """The last event: what was found, in the shape that `results/` keeps."""

    result: dict[str, Any]

    @property
    def holds(self) -> bool:
        """Whether every expectation did."""
        return bool(self.result["holds"])

    def line(self) -> dict[str, Any]:
        """For `--json`."""
        return {"event": "proved", **self.result}


def proof_of(name: str) -> Proof:
    """A recipe's proof."""
    plain = name.replace("-", "_")
    if plain not in provable():
        raise InputError(f"no proof of '{name}'", "longtake prove", nearest(plain, provable()))
    proof: Proof = importlib.import_module(f"longtake.recipes.{plain}").PROOF
    return proof


def prove(name: str, lab: Lab) -> Iterator[Any]:
    """Training curves and measurements as they come, and `Proven` last; result and plot in the folder."""
    proof, begun = proof_of(name), time.monotonic()
    lab.folder.mkdir(parents=True, exist_ok=True)
    spent = _spent(lab, proof)
    measured: list[Measured] = []
    curves: list[Curve] = []
    torch.manual_seed(lab.seed)
    for event in proof.experiment(lab):
        if isinstance(event, Measured):
            measured.append(event)
        elif isinstance(event, Curve):
            curves.append(event)
        yield event
        _write(lab.folder / "spent.json", {"seconds": spent + time.monotonic() - begun})
    found = {(m.quantity, m.arm): m.value for m in measured}
    judged = [
        {"words": e.words(), "why": e.why, "holds": e.holds(found)} for e in proof.expectations
    ]
    result = {
        "name": name.replace("-", "_"),
        "claim": proof.claim,
        "world": proof.world,
        "seed": lab.seed,
        "scale": lab.scale,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "seconds": round(spent + time.monotonic() - begun),
        "measured": [dataclasses.asdict(m) for m in measured],
        "curves": [dataclasses.asdict(c) for c in curves],
        "expectations": judged,
        "holds": bool(judged) and all(one["holds"] for one in judged),
        "whole": lab.hurry >= 1,
    }
    _write(lab.folder / RESULT, result)
    drawn = plot(measured, curves, tuple(proof.arms))
    (lab.folder / PLOT).write_text(drawn, encoding="utf-8")
    yield Proven(result)


def _spent(lab: Lab, proof: Proof) -> float:
    """Seconds that earlier, stopped runs took; refuses a folder of another proof or seed."""
    mark = lab.folder / "proof.json"
    here = {
        "proof": fingerprint([proof.claim, [e.words() for e in proof.expectations]]),
        "seed": lab.seed,
        "scale": lab.scale,
        "hurry": lab.hurry,
    }
    if mark.exists() and json.loads(mark.read_text()) != here:
        raise InputError(
            "the folder holds another proof, seed or scale", str(lab.folder), "--run DIR"
        )
    _write(mark, here)
    try:
        return float(json.loads((lab.folder / "spent.json").read_text())["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def _write(path: Path, value: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1))
    os.replace(part, path)
