"""How `skies` is made: a codec, latents, a transformer; the same on a CPU and on a GPU.

    longtake train skies --data sky --run skies.training --minutes 60 [--set film=bbb.mp4]

The decoder comes twice: with its encoder, and at the end on latents as the transformer leaves
them. Every stage continues where it stopped. The film, if given, teaches the codec real
pictures and the transformer to go on from them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest, ClipSpec, Noise
from longtake.codecs.kl import DecoderTraining, KLCodec, KLTraining
from longtake.controls import Controls
from longtake.errors import InputError, nearest
from longtake.keys import file_fingerprint
from longtake.models.diffusion import FlowModel, Scene, flow_loss
from longtake.nets.autoencoder import Autoencoder, AutoencoderShape
from longtake.nets.dit import DiTShape, SpaceTimeTransformer
from longtake.recipes.skies import data
from longtake.recipes.skies.crops import FPS, Crops, stretches
from longtake.recipes.skies.parts import SAMPLING, fitting, read, save
from longtake.recipes.skies.pictures import Shots, picture_take
from longtake.train import Logged, Schedule, fit
from longtake.video import read_video

Take = Callable[[int, tuple[int, int]], dict[str, Tensor]]  # a number and a size -> a take

SHAPES = ("square", "wide")
CODEC, MODEL = "skies_codec.safetensors", "skies.safetensors"


@dataclasses.dataclass(frozen=True)
class Making:
    """The knobs of a training: minutes of each stage, takes and stretches rendered, clips in a batch."""

    folder: Path
    film: Tensor | None = None  # (t, 3, h, w) uint8 at 20 frames/s, about 144 pixels high
    device: str = "cpu"
    codec_minutes: float = 90
    stretches: int = 400
    takes: int = 1200
    pictures: int = 600  # takes made of the film's frames
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
        frames = read_video(Path(film), fps=Fraction(20), size=(256, 144))
    return Making(folder, frames, **values)


def make(making: Making) -> Iterator[Logged]:
    """All stages, as one training curve; leaves `skies_codec.safetensors` and `skies.safetensors` in the folder."""
    crops = crops_of(making)
    yield from make_codec(making, crops)
    make_latents(making)
    yield from make_model(making)
    yield from make_decoder(making, crops)


def crops_of(making: Making) -> Crops:
    """What the codec learns from; without a film, the world stands in for it."""
    world = stretches(making.stretches, making.seed)
    return Crops(world, world if making.film is None else making.film)


def make_codec(making: Making, crops: Crops) -> Iterator[Logged]:
    """Trains the autoencoder on crops of the world, of the film and of stills."""
    torch.manual_seed(making.seed)
    net = Autoencoder().to(making.device, memory_format=torch.channels_last)

    def batch(step: int) -> Tensor:
        rng = np.random.default_rng([making.seed, step])
        clips = [crops.clip(rng, 16) for _ in range(8)]
        return torch.stack(clips).to(making.device)

    schedule = Schedule(10**6, rate=3e-3, minutes=0.6 * making.codec_minutes, ema=0.998)
    yield from fit(net, KLTraining(net, 5e-4), batch, schedule, making.folder / "codec")
    codec = KLCodec(net, torch.zeros(net.shape.channels), torch.ones(net.shape.channels), "")
    sample = [codec.encode(clip[None, :16].float() / 255)[0] for clip in crops.world[:200]]
    flat = torch.cat(sample).transpose(0, 1).flatten(1)
    # One scale for all channels: those that carry little stay small, as detail should.
    scale = torch.full_like(flat[:, 0], 1 / float(flat.std(1).square().mean().sqrt()))
    save_codec(net, flat.mean(1), scale, making.folder / CODEC)


def make_decoder(making: Making, crops: Crops) -> Iterator[Logged]:
    """Trains the decoder alone, on latents as the transformer leaves them; writes the codec again."""
    torch.manual_seed(making.seed)
    codec = load_codec(making.folder / CODEC, making.device)
    left = remade(codec, load_net(making.folder / MODEL, making.device), crops.world, making.seed)
    spread = float(1 / codec.scale.mean())

    @torch.no_grad()
    def batch(step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([making.seed, 1, step])
        clips, latents = [], []
        for _ in range(6):
            if rng.random() < 0.3:
                clip, latent = crops.remade(rng, left)
            else:
                clip = crops.clip(rng, crops.world.shape[1])
                latent = codec.net.encoder(clip[None].to(making.device) * 2 - 1)[0][0]
                amount = spread * rng.uniform(0, 0.25) * (rng.random() < 0.5)
                latent = latent + amount * torch.randn_like(latent)
            clips.append(clip.to(making.device))
            latents.append(latent.float().to(making.device))
        return torch.stack(clips), torch.stack(latents)

    decoder = codec.net.decoder
    schedule = Schedule(10**6, rate=1.5e-3, minutes=0.4 * making.codec_minutes, ema=0.998)
    yield from fit(decoder, DecoderTraining(decoder), batch, schedule, making.folder / "decoder")
    save_codec(codec.net, codec.mean.flatten(), codec.scale.flatten(), making.folder / CODEC)


@torch.no_grad()
def remade(codec: KLCodec, net: SpaceTimeTransformer, clips: Tensor, seed: int) -> Tensor:
    """Latents (n, s, c, h, w), not normalised, of clips (n, t, 3, h, w): part of the way to noise and back.

    Half of them in two calls, the second observing what the first left, as in any longer film.
    """
    spec = ClipSpec(len(clips[0]) // codec.spec.stride, (codec.spec.channels, None, None), "")
    model = FlowModel(net, spec, SAMPLING)
    rng, found = np.random.default_rng([seed, 4]), []
    for some in torch.arange(len(clips)).split(20):
        truth = Clip(codec.encode(clips[some].float() / 255).cpu(), tuple(range(spec.window)))
        strength = float(rng.uniform(0.2, 0.75))
        half = spec.window // 2 if rng.random() < 0.5 else spec.window
        made: Clip | None = None
        for targets in filter(None, (truth.at[:half], truth.at[half:])):
            request = ClipRequest(
                targets,
                made,
                Controls(),
                Noise(seed),
                tuple(truth.frames.shape[2:]),
                samples=tuple(some.tolist()),
                interval=codec.spec.stride / FPS,
                start=truth.pick(targets),
                strength=strength,
            )
            part = model.sample(request)
            made = part if made is None else Clip.join([made, part])
        assert made is not None
        found.append(made.frames.to(codec.device) / codec.scale + codec.mean)
    return torch.cat(found)


def make_latents(making: Making) -> None:
    """Renders and encodes takes, shard after shard; those that exist stay."""
    codec = load_codec(making.folder / CODEC, making.device)
    write = functools.partial(write_shards, making.folder / "latents")
    write("sky", making.takes, lambda seed, size: data.world_take(codec, seed, size))
    if (film := making.film) is not None:
        write("picture", making.pictures, lambda n, size: picture_take(codec, film, n, size))
        for name, size in zip(SHAPES, data.SIZES, strict=True):
            path = making.folder / "latents" / f"shots-{name}.safetensors"
            if not path.exists() and (shots := list(Shots(film).takes(codec, size))):
                data.write_shard(shots, path)


def write_shards(folder: Path, kind: str, takes: int, take: Take, group: int = 20) -> None:
    """Takes number 0 to `takes` in shards of `group`; every fourth shard is wide."""
    folder.mkdir(parents=True, exist_ok=True)
    for begin in range(0, takes, group):
        wide = begin // group % 4 == 3
        path = folder / f"{kind}-{SHAPES[wide]}-{begin:06}.safetensors"
        if not path.exists():
            seeds = range(begin, min(begin + group, takes))
            data.write_shard([take(seed, data.SIZES[wide]) for seed in seeds], path)


def make_model(making: Making) -> Iterator[Logged]:
    """Trains the transformer on the latents there are; shards that come meanwhile are taken in."""
    torch.manual_seed(making.seed)
    net = SpaceTimeTransformer(DiTShape()).to(making.device)
    latents = data.Latents(making.folder / "latents")

    def batch(step: int) -> tuple[Scene, Tensor]:
        if step % 100 == 0 or not latents.shards:
            latents.refresh()
        scene, level = latents.batch(step, making.clips)
        return Scene.join([scene], torch.device(making.device)), level.to(making.device)

    def losses(batch: tuple[Scene, Tensor]) -> dict[str, Tensor]:
        scene, level = batch
        with torch.autocast(making.device, dtype=torch.bfloat16):
            return {"flow": flow_loss(net, scene, torch.randn_like(scene.latents), level)}

    schedule = Schedule(10**6, rate=2e-3, warmup=100, minutes=making.minutes, ema=0.9985)
    yield from fit(net, losses, batch, schedule, making.folder / "model")
    save(net.state_dict(), making.folder / MODEL, net.shape)


def save_codec(net: Autoencoder, mean: Tensor, scale: Tensor, path: Path) -> None:
    """Weights in half precision, with the mean and scale of latents over the world, both (c,)."""
    save(net.state_dict() | {"mean": mean, "scale": scale}, path, net.shape, rows=True)


def load_codec(path: Path, device: str = "cpu", fits: int = 0) -> KLCodec:
    """The codec of a weight file; fits: see `KLCodec`."""
    shape, state = read(path)
    with fitting(path):
        sizes = {k: tuple(v) if isinstance(v, list) else v for k, v in shape.items()}
        net = Autoencoder(AutoencoderShape(**sizes))
        mean, scale = state.pop("mean"), state.pop("scale")
        net.load_state_dict(state)
    net = net.to(device, memory_format=torch.channels_last)
    return KLCodec(net, mean.to(device), scale.to(device), file_fingerprint(path), fits)


def load_net(path: Path, device: str = "cpu") -> SpaceTimeTransformer:
    """The transformer of a weight file."""
    shape, state = read(path)
    with fitting(path):
        net = SpaceTimeTransformer(DiTShape(**shape))
        net.load_state_dict(state)
    return net.to(device).eval()
