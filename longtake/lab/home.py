"""Where proofs stand on this machine, and whether a system's weights are there. No torch."""

from __future__ import annotations

import os
from pathlib import Path


def home(name: str, seed: int = 0, scale: str = "cpu") -> Path:
    """The folder of a proof, below the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "longtake" / "proofs" / f"{name}-{scale}-{seed}"


def weights_of(folder: Path, arm: str) -> Path:
    """Where an arm's averaged weights stand once it is trained."""
    return folder / "arms" / arm / "average.safetensors"


def shared_codec(world: str, kind: str) -> Path:
    """Where the codec lies that all proofs on a world share, `tools/train_shared.py` makes it."""
    return Path(__file__).parent.parent / "weights" / "shared" / f"{world}_{kind}.safetensors"
