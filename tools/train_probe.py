"""Trains the sky probe on the world's truth and writes `longtake/weights/probe.safetensors`.

    python tools/train_probe.py render --folder work/probe
    python tools/train_probe.py train --folder work/probe --minutes 8 --out work/first.safetensors
    python tools/train_probe.py train --folder work/probe --minutes 5 --start work/first.safetensors \
        --out longtake/weights/probe.safetensors

Rendering goes shard by shard and continues where it stopped; training uses the shards there are.
"""

from __future__ import annotations

import copy
import json
import math
import time
from pathlib import Path

import click
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from longtake.metrics.moments import Moments
from longtake.metrics.net import FRAMES, SIDE, SPACING, WIDTH, ProbeNet, shrink
from longtake.metrics.probe import Probe
from longtake.worlds.sky import ATTRIBUTES, Sky, draw_script

SECONDS, CHANGES, PER_TAKE, GROUP = 60.0, 5, 8, 10
TRAIN, HELD = 1_000_000, 2_000_000  # first seeds
SIZES = ((SIDE, SIDE), (96, 96), (128, 128), (112, SIDE))
WEIGHTS = {"kind": 0.5, "time": 1.5, "cover": 1.5}  # kind cannot be seen in a clear sky
RATES = (8.0, 10.0, 12.0, 24.0, 25.0, 30.0)


def take(seed: int) -> tuple[Tensor, Tensor]:
    """Windows of one take of the world: (n, 8, 3, 64, 64) uint8, and their controls (n, classes)."""
    rng = np.random.default_rng([seed, 7])
    script = draw_script(rng, seconds=SECONDS, changes=CHANGES)
    size = SIZES[int(rng.choice(4, p=(0.45, 0.15, 0.25, 0.15)))]
    fps = float(rng.choice(RATES, p=(0.05, 0.55, 0.1, 0.1, 0.1, 0.1)))
    sky = Sky(script, seed=seed, size=size, fps=fps)
    clips, truths = [], []
    for _ in range(PER_TAKE):
        begin = int(rng.integers(0, int((SECONDS - 2) * fps)))
        places = [begin + round(n * SPACING * fps) for n in range(FRAMES)]
        frames = sky.render(places)
        if size[0] > size[1]:
            left = int(rng.integers(0, size[0] - size[1] + 1))
            frames = frames[..., left : left + size[1]]
        clips.append(shrink(frames).mul(255).round().byte())
        truths.append(sky.truth(places)["controls"].mean(0))
    return torch.stack(clips), torch.stack(truths)


def render(folder: Path, seeds: range) -> None:
    """Shards of takes, `GROUP` takes each; those that exist stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for begin in range(seeds.start, seeds.stop, GROUP):
        path = folder / f"takes-{begin:06}.safetensors"
        if not path.exists():
            clips, truths = zip(*(take(seed) for seed in range(begin, begin + GROUP)), strict=True)
            save_file({"clips": torch.cat(clips), "truth": torch.cat(truths)}, f"{path}.part")
            Path(f"{path}.part").replace(path)


def worn(rng: np.random.Generator, clips: Tensor) -> Tensor:
    """Clips (b, 8, 3, 64, 64) in 0..1 as a codec or a model may leave them: each harm by chance."""
    b, t = clips.shape[:2]
    flat = clips.flatten(0, 1)
    if rng.random() < 0.6:
        flat = _moved(rng, flat, b, t)
    if rng.random() < 0.4:
        side = int(rng.integers(30, 60))
        small = F.interpolate(flat, (side, side), mode="bilinear", antialias=True)
        flat = F.interpolate(small, (SIDE, SIDE), mode="bicubic")
    if rng.random() < 0.4:
        flat = _quantised(flat, float(rng.uniform(0.005, 0.06)))
    clips = flat.unflatten(0, (b, t))
    if rng.random() < 0.4:
        share = float(rng.uniform(0, 0.45))
        around = torch.cat([clips[:, :1], clips, clips[:, -1:]], 1)
        clips = (1 - share) * clips + share * (around[:, :-2] + around[:, 2:]) / 2
    if rng.random() < 0.4:
        coarse = torch.randn(b * t, 3, 16, 16) * float(rng.uniform(0, 0.02))
        clips = clips + F.interpolate(coarse, (SIDE, SIDE), mode="bilinear").unflatten(0, (b, t))
    if rng.random() < 0.5:
        clips = clips + torch.randn_like(clips) * float(rng.uniform(0, 0.015))
    gain = 1 + 0.05 * torch.randn(b, 1, 1, 1, 1) + 0.02 * torch.randn(b, 1, 3, 1, 1)
    clips = (clips - 0.4) * (1 + 0.05 * torch.randn(b, 1, 1, 1, 1)) + 0.4
    return (clips * gain + 0.015 * torch.randn(b, 1, 1, 1, 1)).clamp(0, 1)


def _moved(rng: np.random.Generator, flat: Tensor, b: int, t: int) -> Tensor:
    """Every clip a little larger and off centre, all its frames alike."""
    scale = torch.from_numpy(rng.uniform(0.9, 1.0, (b, 1))).float()
    shift = torch.from_numpy(rng.uniform(-1, 1, (b, 2))).float() * (1 - scale)
    zero = torch.zeros(b, 1)
    rows = [torch.cat([scale, zero, shift[:, :1]], 1), torch.cat([zero, scale, shift[:, 1:]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), [b, 3, SIDE, SIDE], align_corners=False)
    return F.grid_sample(flat, grid.repeat_interleave(t, 0), align_corners=False)


def _quantised(flat: Tensor, step: float) -> Tensor:
    """Coarser cosine coefficients of 8x8 blocks, as JPEG has them."""
    n = torch.arange(8.0)
    basis = torch.cos(torch.pi / 8 * (n[None] + 0.5) * n[:, None]) / 2
    basis[0] /= 2**0.5
    steps = step * (1 + n[:, None] + n[None]) / 2
    blocks = flat.unflatten(3, (8, 8)).unflatten(2, (8, 8)).transpose(3, 4)
    waves = ((basis @ blocks @ basis.T) / steps).round() * steps
    return (basis.T @ waves @ basis).transpose(3, 4).flatten(4, 5).flatten(2, 3)


def load(folder: Path) -> tuple[Tensor, Tensor]:
    """All shards of a folder: clips (n, 8, 3, 64, 64) uint8, truth (n, classes)."""
    shards = [load_file(path) for path in sorted(folder.glob("*.safetensors"))]
    return torch.cat([s["clips"] for s in shards]), torch.cat([s["truth"] for s in shards])


def parts(rows: Tensor) -> dict[str, Tensor]:
    """Columns by attribute."""
    widths = [len(classes) for classes in ATTRIBUTES.values()]
    return dict(zip(ATTRIBUTES, rows.split(widths, 1), strict=True))


def loss_of(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy against the shares of classes, slightly smoothed, summed over attributes."""
    total = logits.new_zeros(())
    wanted = parts(truth)
    for name, part in parts(logits).items():
        soft = 0.98 * wanted[name] + 0.02 / part.shape[1]
        share = (soft * part.log_softmax(1)).sum(1).mean()
        total = total - share * WEIGHTS.get(name, 1.0)
    return total


def accuracy(net: ProbeNet, clips: Tensor, truth: Tensor, harm: bool) -> dict[str, float]:
    """Share read rightly by attribute, among windows in which the attribute is at rest."""
    rng = np.random.default_rng(5)
    torch.manual_seed(5)
    logits = []
    with torch.inference_mode():
        for batch in clips.split(24):
            windows = batch.float() / 255
            logits.append(net(worn(rng, windows) if harm else windows)[1])
    found, wanted, shares = parts(torch.cat(logits)), parts(truth), {}
    for name, part in found.items():
        rest = wanted[name].amax(1) > 0.99
        said, right = part[rest].argmax(1), wanted[name][rest].argmax(1)
        shares[name] = float((said == right).float().mean())
        if name == "time":
            phase = torch.tensor([0, 1, 1, 1, 2, 3])
            shares["phase"] = float((phase[said] == phase[right]).float().mean())
    return {name: round(share, 4) for name, share in shares.items()}


def train(folder: Path, minutes: float, start: Path | None, batch: int = 48) -> ProbeNet:
    """A probe after `minutes` of one core's time; the running mean of its weights is returned.

    start: a probe to go on from, at half the rate.
    """
    torch.manual_seed(0)
    rng = np.random.default_rng(0 if start is None else 1)
    clips, truth = load(folder)
    net, top = ProbeNet(truth.shape[1]), 2e-3
    if start is not None:
        net, top = Probe(start).net.train().requires_grad_(True), 1e-3
    mean = copy.deepcopy(net).eval()
    optimiser = torch.optim.AdamW(net.parameters(), lr=top, weight_decay=0.05)
    began, step = time.process_time(), 0
    while (done := (time.process_time() - began) / 60 / minutes) < 1:
        rate = top * min(1.0, (step + 1) / 50) * (0.02 + 0.98 * math.cos(done * math.pi / 2) ** 2)
        optimiser.param_groups[0]["lr"] = rate
        chosen = torch.from_numpy(rng.choice(len(clips), batch, replace=False))
        groups = (clips[chosen].float() / 255).split(batch // 3)
        seen = torch.cat([worn(rng, g) if rng.random() < 0.8 else g for g in groups])
        loss = loss_of(net(seen)[1], truth[chosen])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        keep = min(0.998, 1 - 1 / (step / 4 + 1))
        for old, new in zip(mean.parameters(), net.parameters(), strict=True):
            old.data.lerp_(new.data, 1 - keep)
        if step % 50 == 0:
            click.echo(f"{step:5} {done:5.0%}  loss {loss.item():.3f}")
        step += 1
    return mean


def world_moments(net: ProbeNet, clips: Tensor) -> Moments:
    """Features of the world at large."""
    moments = Moments(WIDTH)
    with torch.inference_mode():
        for batch in clips.split(24):
            moments.add(net(batch.float() / 255)[0])
    return moments


@click.group()
def main() -> None:
    """Make the probe."""
    torch.set_num_threads(1)


@main.command("train")
@click.option("--folder", type=click.Path(path_type=Path), required=True)
@click.option("--minutes", default=8.0, help="Of one core's time.")
@click.option("--start", type=click.Path(path_type=Path), help="A probe to go on from.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def train_command(folder: Path, minutes: float, start: Path | None, out: Path) -> None:
    """Train on FOLDER/train, judge on FOLDER/held, and write the weights."""
    net = train(folder / "train", minutes, start)
    half = {name: value.half() for name, value in net.state_dict().items()}
    net.load_state_dict({name: value.float() for name, value in half.items()})
    clips, truth = load(folder / "held")
    found = {
        "clean": accuracy(net, clips, truth, harm=False),
        "worn": accuracy(net, clips, truth, harm=True),
    }
    world = {f"world.{k}": v for k, v in world_moments(net, clips).tensors().items()}
    notes = {"attributes": json.dumps(ATTRIBUTES), "held_out": json.dumps(found)}
    save_file(half | world, out, notes)
    out.chmod(0o644)
    click.echo(json.dumps({"windows": len(clips), **found}))


@main.command("render")
@click.option("--folder", type=click.Path(path_type=Path), required=True)
@click.option("--takes", default=1500)
@click.option("--held", default=160)
def render_command(folder: Path, takes: int, held: int) -> None:
    """Render takes of the world into FOLDER/train, and others into FOLDER/held."""
    render(folder / "held", range(HELD, HELD + held))
    render(folder / "train", range(TRAIN, TRAIN + takes))


if __name__ == "__main__":
    main()
