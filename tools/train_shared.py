"""Makes a codec that all proofs on a world share: python tools/train_shared.py maze --kind kl."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from longtake import worlds
from longtake.lab import shared
from longtake.lab.home import shared_codec
from longtake.metrics.fidelity import psnr


def main() -> None:
    """Trains, says what it keeps of takes it has not seen, and lays it on the shelf."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("world", choices=sorted(worlds.WORLDS))
    parser.add_argument("--kind", choices=sorted(shared.SHAPES), default="kl")
    parser.add_argument("--steps", type=int, help=f"{shared.STEPS}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", type=Path, default=Path("shared.training"))
    asked = parser.parse_args()
    asked.run.mkdir(parents=True, exist_ok=True)
    for logged in shared.make_codec(
        asked.world,
        asked.kind,
        asked.run,
        steps=asked.steps or shared.STEPS[asked.kind],
        seed=asked.seed,
    ):
        sys.stdout.write(f"{logged.line()}\n")
        sys.stdout.flush()
    place = shared_codec(asked.world, asked.kind)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes((asked.run / place.name).read_bytes())
    codec = shared.codec(asked.world, asked.kind)
    found = []
    for seed in range(8):
        video = worlds.make(asked.world, seed=seed, size=shared.SIZE).render(range(32))
        made = codec.decode(codec.encode(video[None].float() / 255))[0]
        found.append(psnr(video, (made * 255).round().byte()))
    told = torch.tensor(found)
    sys.stdout.write(f"{place.name}: {told.mean():.1f} dB ({told.min():.1f} to {told.max():.1f})\n")


if __name__ == "__main__":
    main()
