"""What codecs of codes keep, for how many codes: codecs of several shapes, trained alike for one proof."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from longtake import worlds
from longtake.codecs.vq import VQCodec, VQTraining
from longtake.lab import quantities
from longtake.lab.shared import CODES, SIZE
from longtake.metrics.fidelity import psnr
from longtake.nets.convolutional import VideoShape, VQVideo
from longtake.nets.quantise import VectorQuantiser
from longtake.system import Measured

if TYPE_CHECKING:
    from longtake.clip import Codec
    from longtake.lab.bench import Lab, Trained

BATCH, CLIP = 4, 16  # clips that a codec learns from at a time, and their frames


def films(
    lab: Lab,
    world: str,
    use: str,
    count: int,
    frames: int,
    fps: float,
    size: tuple[int, int] = SIZE,
) -> Tensor:
    """Films of a world in bytes, (n, t, 3, h, w)."""
    drawn = [lab.number(f"{use}/{n}") % 2**31 for n in range(lab.count(count, least=8))]
    made = [worlds.make(world, seed=n, size=size, fps=fps) for n in drawn]
    return torch.stack([one.render(range(frames)) for one in made])


def learned(
    lab: Lab, arm: str, shape: VideoShape, pool: Tensor, steps: int
) -> Generator[Trained, None, VQCodec]:
    """A codec of a shape, trained on clips of `pool`, whose batches are the same for every shape."""

    def batch(step: int) -> Tensor:
        rng = np.random.default_rng([lab.seed, step])
        rows = rng.integers(len(pool), size=BATCH)
        starts = rng.integers(pool.shape[1] - CLIP + 1, size=BATCH)
        cut = [pool[r, s : s + CLIP] for r, s in zip(rows, starts, strict=True)]
        return torch.stack(cut).float() / 255

    torch.manual_seed(lab.seed)
    net = VQVideo(shape, VectorQuantiser(CODES, shape.channels))
    yield from lab.train(f"codecs/{arm}", net, VQTraining(net), batch, steps, rate=3e-3)
    return VQCodec(lab.trained(f"codecs/{arm}", net), "")


def kept(codec: Codec, video: Tensor) -> float:
    """PSNR in dB of films (n, t, 3, h, w) in bytes that went through a codec."""
    made = codec.decode(codec.encode(video.float() / 255)).mul(255).round().byte()
    return float(np.mean([psnr(one, other) for one, other in zip(video, made, strict=True)]))


def codes_of(codec: Codec, frames: int) -> float:
    """How many codes a clip has."""
    return frames / codec.spec.stride * (SIZE[0] // codec.spec.down) * (SIZE[1] // codec.spec.down)


def spent_alike(decibels: float, coarse: tuple[float, float], fine: tuple[float, float]) -> float:
    """Codes at which one of two like codecs, each (codes, dB), would keep `decibels`.

    On a line from one to the other over the logarithm of codes, and not beyond them.
    """
    place = (decibels - coarse[1]) / max(fine[1] - coarse[1], 1e-6)
    return float(coarse[0] * (fine[0] / coarse[0]) ** min(max(place, 0.0), 1.0))


def changed(codec: Codec, video: Tensor) -> tuple[float, float]:
    """Shares of the codes before and after a film's middle that change with the frames after it."""
    half = video.shape[1] // 2
    other = torch.cat([video[:, :half], video[:, half:].roll(1, 0)], 1)
    one, two = (codec.encode(film.float() / 255) for film in (video, other))
    differ = (one != two).float().chunk(2, 1)
    return float(differ[0].mean()), float(differ[1].mean())


def causal_savings(
    lab: Lab, shapes: Mapping[str, VideoShape], world: str, fps: float, steps: int
) -> Iterator[Any]:
    """What codes that are causal in time save, against codecs of single frames trained alike; and that they are causal.

    shapes: by arm, of the causal codec, of one of single frames with few codes, and of one with many.
    """
    causal, coarse, fine = shapes
    pool, test = (films(lab, world, *use, fps) for use in (("codecs", 96, 64), ("test", 12, 32)))
    found = {}
    for arm, shape in shapes.items():
        codec = yield from learned(lab, arm, shape, pool, steps)
        found[arm] = (codes_of(codec, CLIP), kept(codec, test))
        yield Measured(quantities.CODES, arm, found[arm][0])
        yield Measured(quantities.KEPT, arm, found[arm][1])
        if arm == causal:
            before, after = changed(codec, test)
            yield Measured(quantities.CHANGED, arm, before)
            yield Measured(quantities.CHANGED_BY_OWN, arm, after)
    alike = spent_alike(found[causal][1], found[coarse], found[fine])
    yield Measured(quantities.codes_alike(causal), causal, found[causal][0])
    yield Measured(quantities.codes_alike(causal), "frame by frame", alike)
