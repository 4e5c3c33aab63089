"""What the proofs on a world share: one codec of each kind, so that all arms begin with the same latents.

    tools/train_shared.py maze --kind kl

makes one; it lies in the package. "kl": frame by frame, 8 numbers for 8x8 pixels. "vq": 4 frames by 8x8
pixels to one of 512 codes, causal in time. "fine": the same of 2 frames.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from longtake import worlds
from longtake.clip import Codec
from longtake.codecs.kl import KLCodec, KLTraining
from longtake.codecs.vq import VQCodec, VQTraining
from longtake.errors import InputError
from longtake.keys import file_fingerprint
from longtake.lab.home import shared_codec
from longtake.nets.convolutional import KLVideo, VideoShape, VQVideo
from longtake.nets.quantise import VectorQuantiser
from longtake.train import Logged, Schedule, fit

SIZE = (64, 64)
SHAPES = {
    "kl": VideoShape(8, (32, 64, 96), (False, False), patch=(1, 2)),
    "vq": VideoShape(16, (40, 80), (True,), taps=3, causal=True, patch=(2, 4)),
    "fine": VideoShape(16, (40, 80), (False,), taps=3, causal=True, patch=(2, 4)),
}
CODES = 512
STEPS = {"kl": 1500, "vq": 2500, "fine": 2500}  # of training


def codec(world: str, kind: str = "kl", device: str = "cpu") -> Codec:
    """The shared codec of a world."""
    worlds.find(world)
    return read_codec(shared_codec(world, kind), kind, device)


@functools.lru_cache(maxsize=4)
def read_codec(path: Path, kind: str, device: str = "cpu") -> Codec:
    """A codec that `make_codec` wrote."""
    hint = f"tools/train_shared.py {path.stem.partition('_')[0]} --kind {kind}, which makes it"
    try:
        with safe_open(path, "np") as file:
            notes = file.metadata() or {}
        stored = {name: value.float() for name, value in load_file(path).items()}
        shape = VideoShape(**_tuples(json.loads(notes["shape"])))
        if shape != SHAPES[kind]:
            raise ValueError("of another shape")
        net = bare(kind)
        mean, scale = stored.pop("mean"), stored.pop("scale")
        net.load_state_dict(stored)
    except FileNotFoundError:
        raise InputError("no shared codec", str(path), hint) from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        told = str(error).partition("\n")[0]
        raise InputError(f"not a shared codec: {told}", str(path), hint) from None
    net.to(device).requires_grad_(False)
    print_of = file_fingerprint(path)
    if isinstance(net, KLVideo):
        return KLCodec(net, mean.to(device), scale.to(device), print_of)
    return VQCodec(net, print_of)


def _tuples(fields: dict[str, object]) -> dict[str, object]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}


def bare(kind: str) -> KLVideo | VQVideo:
    """The network, untrained."""
    if kind == "kl":
        return KLVideo(SHAPES[kind])
    return VQVideo(SHAPES[kind], VectorQuantiser(CODES, SHAPES[kind].channels))


def make_codec(
    world: str, kind: str, folder: Path, *, steps: int, seed: int = 0, takes: int = 160
) -> Iterator[Logged]:
    """Trains a shared codec on takes of its world and writes it to `folder`."""
    torch.manual_seed(seed)
    net = bare(kind)
    length = 32 if kind == "kl" else 64
    videos = [
        worlds.make(world, seed=10**9 + seed * takes + n, size=SIZE).render(range(n, n + length))
        for n in range(takes)
    ]
    pool = torch.stack(videos)
    clip = 4 if kind == "kl" else 16

    def batch(step: int) -> Tensor:
        rng = np.random.default_rng([seed, step])
        rows = rng.integers(len(pool), size=(32 if kind == "kl" else 64) // clip)
        starts = rng.integers(length - clip + 1, size=len(rows))
        clips = [pool[r, s : s + clip] for r, s in zip(rows, starts, strict=True)]
        return torch.stack(clips).float() / 255

    losses = KLTraining(net, 1e-4) if isinstance(net, KLVideo) else VQTraining(net)
    schedule = Schedule(steps, rate=3e-3, ema=0.995, save_every=200, seed=seed)
    yield from fit(net, losses, batch, schedule, folder / f"{world}_{kind}.training")
    save_codec(net, batch(0), folder / f"{world}_{kind}.safetensors")


def save_codec(net: KLVideo | VQVideo, sample: Tensor, path: Path) -> None:
    """In half precision, with the mean and scale of its latents, taken on `sample` (b, t, 3, h, w)."""
    channels = net.shape.channels
    mean, scale = torch.zeros(channels), torch.ones(channels)
    if isinstance(net, KLVideo):
        latents = KLCodec(net, mean, scale, "").encode(sample).transpose(1, 2).transpose(0, 1)
        flat = latents.flatten(1)
        mean = flat.mean(1)
        scale = torch.full_like(mean, 1 / float(flat.std(1).square().mean().sqrt()))
    state = {n: v.detach().half().contiguous() for n, v in net.state_dict().items()}
    notes = {"shape": json.dumps(dataclasses.asdict(net.shape))}
    save_file(state | {"mean": mean, "scale": scale}, path, notes)


def parameters(net: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(p.numel() for p in net.parameters())
