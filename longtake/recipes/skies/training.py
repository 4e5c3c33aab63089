"""How `skies` is made: a codec, latents, a transformer; the same on a CPU and on a GPU.

    longtake train skies --data sky --run skies.training --minutes 60 [--set film=bbb.mp4]

Every stage continues where it stopped. The film, if given, teaches the codec real pictures and the
transformer to go on from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from longtake.codecs.kl import KLCodec, KLTraining, SmoothTraining
from longtake.errors import InputError, nearest
from longtake.keys import file_fingerprint
from longtake.models.diffusion import Scene, flow_loss
from longtake.nets.autoencoder import Autoencoder, AutoencoderShape
from longtake.nets.dit import DiTShape, SpaceTimeTransformer
from longtake.recipes.skies import data
from longtake.recipes.skies.parts import read, save
from longtake.train import Batches, Logged, Schedule, fit
from longtake.video import read_video
from longtake.worlds.sky import Sky


@dataclasses.dataclass(frozen=True)
class Making:
    """The knobs of a training: minutes of each stage, takes rendered, clips in a batch."""

    folder: Path
    film: Tensor | None = None  # (t, 3, h, w) uint8 at 10 frames/s, about 144 pixels high
    device: str = "cpu"
    codec_minutes: float = 90
    takes: int = 1200
    minutes: float = 60
    clips: int = 16
    seed: int = 0


def making_of(folder: Path, film: str = "", **knobs: Any) -> Making:
    """A making with knobs as they come from the command line."""
    kinds = {f.name: f.type for f in dataclasses.fields(Making)}
    values: dict[str, Any] = {}
    for name, value in knobs.items():
        if name not in kinds:
            raise InputError(f"unknown knob '{name}'", "--set", nearest(name, kinds))
        values[name] = {"int": int, "float": float}.get(str(kinds[name]), str)(value)
    frames = None
    if film:
        frames = read_video(Path(film), fps=Fraction(10), size=(256, 144))
    return Making(folder, frames, **values)


def make(making: Making) -> Iterator[Logged]:
    """All stages, as one training curve; leaves `skies_codec.safetensors` and `skies.safetensors` in the folder."""
    yield from make_codec(making)
    make_latents(making, range(making.takes))
    yield from make_model(making)


def make_codec(making: Making) -> Iterator[Logged]:
    """Trains the autoencoder on crops of the world, of the film and of stills; then its decoder alone."""
    torch.manual_seed(making.seed)
    net = Autoencoder().to(making.device, memory_format=torch.channels_last)
    world = _pool(400, making.seed)
    film = world if making.film is None else making.film

    def batches(length: int) -> Batches:
        def batch(step: int) -> Tensor:
            rng = np.random.default_rng([making.seed, length, step])
            clips = [_crop(rng, world, film, length) for _ in range(128 // length)]
            return torch.stack(clips).to(making.device) / 255

        return batch

    whole = Schedule(10**6, rate=3e-3, minutes=0.8 * making.codec_minutes, ema=0.998)
    yield from fit(net, KLTraining(net, 5e-4), batches(16), whole, making.folder / "codec")
    smooth = Schedule(10**6, rate=1.5e-3, minutes=0.2 * making.codec_minutes, ema=0.998)
    losses = SmoothTraining(net)
    yield from fit(net.decoder, losses, batches(24), smooth, making.folder / "decoder")
    save_codec(net, world, making.folder / "skies_codec.safetensors")


def make_latents(making: Making, takes: range, group: int = 20) -> None:
    """Renders and encodes takes, shard after shard; those that exist stay."""
    codec = load_codec(making.folder / "skies_codec.safetensors", making.device)
    folder = making.folder / "latents"
    folder.mkdir(parents=True, exist_ok=True)
    for begin in range(takes.start, takes.stop, group):
        wide = begin // group % 4 == 3
        path = folder / f"sky-{'wide' if wide else 'square'}-{begin:06}.safetensors"
        if not path.exists():
            seeds = range(begin, min(begin + group, takes.stop))
            data.write_shard([data.world_take(codec, s, data.SIZES[wide]) for s in seeds], path)
    if making.film is not None:
        for name, size in zip(("square", "wide"), data.SIZES, strict=True):
            path = folder / f"film-{name}.safetensors"
            if not path.exists():
                data.write_shard(list(data.film_takes(codec, making.film, size)), path)


def make_model(making: Making) -> Iterator[Logged]:
    """Trains the transformer on the latents there are; shards that come meanwhile are taken in."""
    torch.manual_seed(making.seed)
    net = SpaceTimeTransformer(DiTShape()).to(making.device)
    latents = data.Latents(making.folder / "latents")

    def batch(step: int) -> tuple[Scene, Tensor]:
        if step % 100 == 0 or not latents.shards:
            latents.refresh()
        scene, level = latents.batch(step, making.clips)
        moved = [getattr(scene, f.name).to(making.device) for f in dataclasses.fields(scene)]
        return Scene(*moved), level.to(making.device)

    def losses(batch: tuple[Scene, Tensor]) -> dict[str, Tensor]:
        scene, level = batch
        with torch.autocast(making.device, dtype=torch.bfloat16):
            return {"flow": flow_loss(net, scene, torch.randn_like(scene.latents), level)}

    schedule = Schedule(10**6, rate=2e-3, warmup=100, minutes=making.minutes, ema=0.9985)
    yield from fit(net, losses, batch, schedule, making.folder / "model")
    save(net.state_dict(), making.folder / "skies.safetensors", net.shape)


def save_codec(net: Autoencoder, world: Tensor, path: Path) -> None:
    """Weights in half precision, with the mean and scale of latents over the world."""
    codec = KLCodec(net, torch.zeros(net.shape.channels), torch.ones(net.shape.channels), "")
    sample = torch.cat([codec.encode(clip[None, :16].float() / 255)[0] for clip in world[:200]])
    flat = sample.transpose(0, 1).flatten(1)
    spread = flat.std(1)
    # One scale for all channels: those that carry little stay small, as detail should.
    scale = torch.full_like(spread, 1 / float(spread.square().mean().sqrt()))
    state = net.state_dict() | {"mean": flat.mean(1), "scale": scale}
    save(state, path, net.shape, rows=True)


def load_codec(path: Path, device: str = "cpu", fits: int = 0) -> KLCodec:
    """The codec of a weight file; fits: see `KLCodec`."""
    shape, state = read(path)
    sizes = {k: tuple(v) if isinstance(v, list) else v for k, v in shape.items()}
    net = Autoencoder(AutoencoderShape(**sizes))
    mean, scale = state.pop("mean"), state.pop("scale")
    net.load_state_dict(state)
    net = net.to(device, memory_format=torch.channels_last)
    return KLCodec(net, mean.to(device), scale.to(device), file_fingerprint(path), fits)


def load_net(path: Path, device: str = "cpu") -> SpaceTimeTransformer:
    """The transformer of a weight file."""
    shape, state = read(path)
    net = SpaceTimeTransformer(DiTShape(**shape))
    net.load_state_dict(state)
    return net.to(device).eval()


def _pool(count: int, seed: int) -> Tensor:
    """(count, 24, 3, 128, 128) uint8 stretches of the world."""
    rng = np.random.default_rng([seed, 3])
    clips = []
    for n in range(count):
        sky = Sky(data.draw_take(rng), seed=n)
        begin = int(rng.integers(0, 900))
        clips.append(sky.render(range(begin, begin + 24)))
    return torch.stack(clips)


def _crop(rng: np.random.Generator, world: Tensor, film: Tensor, length: int) -> Tensor:
    """(length, 3, 64, 64): a world clip, a film clip, or one frame held still."""
    style = rng.random()
    source = world[int(rng.integers(len(world)))] if style < 0.45 else film.flatten(0, -4)
    clip = source[int(rng.integers(len(source) - length + 1)) :][:length]
    if style < 0.04 or style > 0.66:  # photographs come as stills
        clip = clip[:1].expand(length, -1, -1, -1)
    side = 128 if style >= 0.45 and rng.random() < 0.6 else 64
    top, left = (int(rng.integers(0, extent - side + 1)) for extent in clip.shape[-2:])
    clip = clip[..., top : top + side, left : left + side].float()
    clip = F.avg_pool2d(clip, 2) if side == 128 else clip
    return clip.flip(-1) if rng.random() < 0.5 else clip
