"""Trains the clip features of `tfvd` without labels and writes `longtake/weights/tfvd.safetensors`.

    python tools/train_tfvd.py render --folder work/tfvd --film bbb.mp4
    python tools/train_tfvd.py train --folder work/tfvd --minutes 5
    python tools/train_tfvd.py finish --folder work/tfvd --out longtake/weights/tfvd.safetensors

Two tasks at once. A clip is harmed in up to three of eleven ways and the net tells how strongly each
was done; and of the harmed clips in a batch it finds the other one of the same take (Oord et al. 2018).
`finish` fits the last map anew, in closed form.
`--film` names a film of real pictures (any long video file); without one only the world is used.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import click
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.metrics.clipnet import FRAMES, SIDE, WIDTH, ClipNet
from longtake.metrics.moments import Moments
from longtake.metrics.resizing import square
from longtake.worlds.sky import Sky, draw_script

RAW = 24  # frames of a stored clip: some may be dropped
PER_TAKE, GROUP, SECONDS = 4, 16, 60.0
TRAIN, HELD = 3_000_000, 4_000_000  # first seeds
RATES, SHARES = (10.0, 8.0, 16.0, 25.0), (0.7, 0.1, 0.1, 0.1)
FILM_HELD = 0.75  # of a film, where the part begins that is not trained on
CONTRAST = 0.3  # weight of the second task


# --- clips -----------------------------------------------------------------------------------------


def take(seed: int, rates: bool) -> Tensor:
    """Clips of one take of the world: (PER_TAKE, RAW, 3, 64, 64) uint8."""
    rng = np.random.default_rng([seed, 11])
    script = draw_script(rng, seconds=SECONDS, changes=5)
    side = int(rng.choice((64, 96), p=(0.8, 0.2)))
    fps = float(rng.choice(RATES, p=SHARES)) if rates else 10.0
    sky = Sky(script, seed=seed, size=(side, side), fps=fps)
    begins = rng.integers(0, int(SECONDS * fps) - RAW, PER_TAKE)
    return torch.stack([small(sky.render(range(b, b + RAW))) for b in begins])


def small(frames: Tensor) -> Tensor:
    """Frames as the net sees them, in bytes."""
    return square(frames, SIDE).mul(255).round().byte()


def film_clips(film: Path, count: int) -> Tensor:
    """Pairs of clips of a film at 12 frames/s, the pair 2 s apart: (count, RAW, 3, 64, 64) uint8.

    From its beginning, less 15 s, to FILM_HELD of it.
    """
    from longtake.video import probe, read_frames

    info = probe(film)
    end = FILM_HELD * info.seconds
    width = round(SIDE * info.width / info.height)
    shown = read_frames(film, fps=12, size=(width, SIDE), seconds=Fraction(end))
    frames = small(torch.stack(list(shown)))
    begins = np.linspace(15 * 12, len(frames) - 24 - RAW - 1, count // 2).astype(int)
    return torch.stack([frames[b + later : b + later + RAW] for b in begins for later in (0, 24)])


def render(folder: Path, seeds: range, rates: bool) -> None:
    """Shards of GROUP takes each; those that exist stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for begin in range(seeds.start, seeds.stop, GROUP):
        path = folder / f"takes-{begin}.safetensors"
        if not path.exists():
            clips = torch.stack([take(seed, rates) for seed in range(begin, begin + GROUP)])
            save_file({"clips": clips}, f"{path}.part")
            Path(f"{path}.part").replace(path)


def load(folder: Path) -> Tensor:
    """All clips of a folder by take: (takes, clips, RAW, 3, 64, 64) uint8, pairs of a film last."""
    parts = []
    for path in sorted(folder.glob("*.safetensors")):
        clips = load_file(path)["clips"]
        parts.append(clips.unflatten(1, (-1, 2)).flatten(0, 1))
    return torch.cat(parts)


# --- harms: (clip (RAW, 3, h, w) in 0..1, strength 0..1, rng) -> clip of the same length or shorter --


def blur(clip: Tensor, s: float, rng: np.random.Generator) -> Tensor:
    sigma = 0.3 + 2.7 * s
    reach = math.ceil(3 * sigma)
    row = torch.exp(-torch.arange(-reach, reach + 1.0).square() / (2 * sigma**2))
    row = (row / row.sum()).expand(3, 1, 1, -1)
    wide = F.pad(clip, (reach,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(wide, row, groups=3), row.transpose(2, 3), groups=3)


def noise(clip: Tensor, s: float, rng: np.random.Generator) -> Tensor:
    return clip + torch.randn_like(clip) * 0.15 * s


def blocks(clip: Tensor, s: float, rng: np.random.Generator) -> Tensor:
    """Coarse cosine coefficients of 8x8 blocks, as JPEG has them."""
    n = torch.arange(8.0)
    basis = torch.cos(torch.pi / 8 * (n[None] + 0.5) * n[:, None]) / 2
    basis[0] /= 2**0.5
    steps = 0.15 * s * (1 + n[:, None] + n[None]) / 2 + 1e-4
    tiles = clip.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)
    waves = ((basis @ tiles @ basis.T) / steps).round() * steps
    return (basis.T @ waves @ basis).transpose(3, 4).flatten(4, 5).flatten(2, 3)


def shuffle(clip: Tensor, s: float, rng: np.random.Generator) -> Tensor:
    """A share of the frames in random order."""
    count = max(2, round(s * FRAMES))
    places = np.sort(rng.choice(FRAMES, count, replace=False))
    order = np.arange(len(clip))
    order[places] = rng.permutation(places)
    return clip[torch.from_numpy(order)]


def freeze(clip: Tensor, s: float, rng: np.random.Generator) -> Tensor:
    """A stretch that stands still, anywhere."""
    length = round(s * (FRAMES - 1))
    begin = int(rng.integers(0, FRAMES - length))
    out = clip.clone()
    out[begin : begin + length + 1] = clip[begin]
    return out


def drop(clip: Tensor, s: float, rng: np.random.Generator) -> Tensor:
    """Frames left out here and there: what follows comes early."""
    gone = rng.choice(np.arange(1, FRAMES), round(s * (RAW - FRAMES)), replace=False)
    return clip[torch.from_numpy(np.setdiff1d(np.arange(len(clip)), gone))]


def drift(clip: Tensor, s: float, rng: np.random.Generator) -> Tensor:
    """Colours that run away over the clip."""
    way = torch.from_numpy(rng.normal(size=3)).float()
    way = way / way.abs().max() * 0.5 * s
    ramp = torch.linspace(0, 1, len(clip))[:, None]
    return clip * (1 + ramp * way)[:, :, None, None]


def tone(clip: Tensor, s: float, rng: np.random.Generator) -> Tensor:
    """Contrast and saturation off, all through."""
    sign = 1.0 if rng.random() < 0.5 else -1.0
    mean = clip.mean((0, 1, 2, 3)) if rng.random() < 0.5 else clip.mean(1, keepdim=True)
    return mean + (clip - mean) * (1 + sign * 0.8 * s)


def flicker(clip: Tensor, s: float, rng: np.random.Generator) -> Tensor:
    gains = 1 + 0.2 * s * torch.from_numpy(rng.normal(size=len(clip))).float()
    return clip * gains[:, None, None, None]


def ghost(clip: Tensor, s: float, rng: np.random.Generator) -> Tensor:
    """Each frame mixed with those around it."""
    wide = torch.cat([clip[:1], clip[:1], clip, clip[-1:], clip[-1:]])
    near = sum(wide[n : n + len(clip)] for n in range(5)) / 5
    return clip + s * (near - clip)


HARMS: dict[str, Callable[[Tensor, float, np.random.Generator], Tensor]] = {
    "drop": drop,
    "shuffle": shuffle,
    "freeze": freeze,
    "ghost": ghost,
    "drift": drift,
    "flicker": flicker,
    "tone": tone,
    "blur": blur,
    "noise": noise,
    "blocks": blocks,
}
NAMES = (*HARMS, "seam")


def harmed(clip: Tensor, other: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A clip (16, 3, h, w) with up to three harms, and how strong each is (11,)."""
    count = int(rng.choice(4, p=(0.2, 0.4, 0.25, 0.15)))
    chosen = {str(name) for name in rng.choice(NAMES, count, replace=False)}
    strengths = torch.zeros(len(NAMES))
    for place, name in enumerate(NAMES):
        if name in chosen:
            s = float(rng.uniform(0.02, 1))
            strengths[place] = s
            if name == "seam":  # a new picture from some frame on, as far as it covers the old one
                begin = int(rng.integers(2, FRAMES - 1))
                clip = clip.clone()
                clip[begin:] += s * (other[: len(clip) - begin] - clip[begin:])
            else:
                clip = HARMS[name](clip, s, rng)
    return clip[:FRAMES].clamp(0, 1), strengths


def batch_of(clips: Tensor, takes: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Two clips each of `takes` takes: (2 * takes, 16, 3, 64, 64) and (2 * takes, harms), pairs adjacent."""
    seen, told = [], []
    for place in rng.choice(len(clips), takes, replace=False):
        other = clips[int(rng.integers(len(clips))), 0].float() / 255
        flip = rng.random() < 0.5
        for clip in clips[place]:
            made, strengths = harmed(clip.float() / 255, other, rng)
            seen.append(made.flip(-1) if flip else made)
            told.append(strengths)
    return torch.stack(seen), torch.stack(told)


# --- training --------------------------------------------------------------------------------------


class Tasks(nn.Module):
    """The net and, for training alone, what the two tasks need."""

    def __init__(self) -> None:
        super().__init__()
        self.net = ClipNet()
        self.strengths = nn.Sequential(nn.ReLU(), nn.Linear(WIDTH, len(NAMES)))
        self.likeness = nn.Sequential(nn.ReLU(), nn.Linear(WIDTH, 64))

    def losses(self, clips: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """How far off the strengths are, and the contrast (InfoNCE, temperature 0.1)."""
        features = self.net(clips)
        error = F.smooth_l1_loss(self.strengths(features), told, beta=0.1)
        codes = F.normalize(self.likeness(features), dim=1)
        near = codes @ codes.T / 0.1 - 1e4 * torch.eye(len(codes))
        partner = torch.arange(len(codes)) ^ 1
        return error, F.cross_entropy(near, partner)


def train(folder: Path, minutes: float, keep_in: Path, takes: int = 8) -> None:
    """Trains for `minutes` of one core's time; the running mean of the weights is kept in a file."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    clips = load(folder)
    tasks, top = Tasks().to(memory_format=torch.channels_last), 3e-3  # faster on a CPU
    mean = copy.deepcopy(tasks.net)
    optimiser = torch.optim.AdamW(tasks.parameters(), lr=top, weight_decay=0.02)
    began, step = time.process_time(), 0
    while (done := (time.process_time() - began) / 60 / minutes) < 1:
        rate = top * min(1.0, (step + 1) / 50) * (0.01 + 0.99 * math.cos(done * math.pi / 2) ** 2)
        optimiser.param_groups[0]["lr"] = rate
        seen, told = batch_of(clips, takes, rng)
        error, contrast = tasks.losses(seen, told)
        optimiser.zero_grad()
        (error / 0.02 + CONTRAST * contrast).backward()
        torch.nn.utils.clip_grad_norm_(tasks.parameters(), 5.0)
        optimiser.step()
        keep = min(0.995, 1 - 1 / (step / 4 + 1))
        for old, new in zip(
            mean.state_dict().values(), tasks.net.state_dict().values(), strict=True
        ):
            old.lerp_(new, 1 - keep) if old.is_floating_point() else old.copy_(new)
        if step % 50 == 0:
            told_ = f"strengths {error.item():.4f}  contrast {contrast.item():.3f}"
            click.echo(f"{step:5} {done:5.0%}  {told_}")
            _keep(mean, keep_in)
        step += 1
    _keep(mean, keep_in)


def _keep(net: ClipNet, place: Path) -> None:
    state = {name: value.contiguous() for name, value in net.state_dict().items()}
    save_file(state, f"{place}.part")
    Path(f"{place}.part").replace(place)


def read_out(net: ClipNet, clips: Tensor, count: int = 1200) -> None:
    """Sets the net's last map: what is wrong with a clip, and how clean clips differ.

    The strengths of the harms by ridge regression on the readings of harmed clips; and the principal
    components of clean ones. Each has variance 1 over clean clips, so that a distance counts what a
    clean clip would never show for more than what differs among them anyway.
    """
    rng = np.random.default_rng(2)
    clean, worn, told = [], [], []
    with torch.inference_mode():
        for _ in range(0, count, 16):
            seen = [clips[int(n), 0].float() / 255 for n in rng.integers(len(clips), size=16)]
            other = clips[int(rng.integers(len(clips))), 1].float() / 255
            pairs = [harmed(clip, other, rng) for clip in seen]
            clean.append(net.readings(torch.stack([clip[:FRAMES] for clip in seen])).double())
            worn.append(net.readings(torch.stack([clip for clip, _ in pairs])).double())
            told += [strengths.double() for _, strengths in pairs]
    rows, harmed_rows, wanted = torch.cat(clean), torch.cat(worn), torch.stack(told)
    mean, scale = rows.mean(0), rows.std(0) + 1e-3
    x = (torch.cat([rows, harmed_rows]) - mean) / scale
    x = x.clamp(-20, 20)  # what is far out must not rule the fit
    y = torch.cat([torch.zeros_like(wanted), wanted])
    square = x.T @ x + 30.0 * torch.eye(x.shape[1], dtype=torch.float64)
    judged = torch.linalg.solve(square, x.T @ (y - y.mean(0)))
    z = (rows - mean) / scale
    values, vectors = torch.linalg.eigh(torch.cov(z.T))
    kept = WIDTH - judged.shape[1]
    looks = vectors[:, -kept:] / values[-kept:].sqrt()
    both = torch.cat([judged / (z @ judged).std(0), looks], 1) / scale[:, None]
    net.features.weight.data = both.T.float().contiguous()
    net.features.bias.data = -(mean @ both).float()


def world_moments(net: ClipNet, clips: Tensor) -> Moments:
    """Features of clips by take (takes, 2, RAW, ...)."""
    moments = Moments(WIDTH)
    with torch.inference_mode():
        for batch in clips.flatten(0, 1)[:, :FRAMES].split(32):
            moments.add(net(batch.float() / 255))
    return moments


@click.group()
def main() -> None:
    """Make the clip features."""
    torch.set_num_threads(1)


@main.command("render")
@click.option("--folder", type=click.Path(path_type=Path), required=True)
@click.option("--film", type=click.Path(path_type=Path), help="Real pictures too.")
@click.option("--takes", default=608)
@click.option("--held", default=512)
def render_command(folder: Path, film: Path | None, takes: int, held: int) -> None:
    """Clips of the world, and of a film, into FOLDER/train; of other takes into FOLDER/held."""
    render(folder / "train", range(TRAIN, TRAIN + takes), rates=True)
    if film is not None:
        clips = film_clips(film, 700)[None]
        save_file({"clips": clips}, folder / "train" / "film.safetensors")
    render(folder / "held", range(HELD, HELD + held), rates=False)


@main.command("train")
@click.option("--folder", type=click.Path(path_type=Path), required=True)
@click.option("--minutes", default=5.0, help="Of one core's time.")
def train_command(folder: Path, minutes: float) -> None:
    """Train on FOLDER/train; the net is kept in FOLDER/net.safetensors as it learns."""
    train(folder / "train", minutes, folder / "net.safetensors")


@main.command("finish")
@click.option("--folder", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def finish_command(folder: Path, out: Path) -> None:
    """Fit the read-out, and write the weights with the moments of FOLDER/held."""
    torch.manual_seed(1)
    net = ClipNet().eval()
    state = load_file(folder / "net.safetensors")
    half = {n: v.half() for n, v in state.items() if v.ndim and not n.startswith("features.")}
    net.load_state_dict({name: value.float() for name, value in half.items()}, strict=False)
    read_out(net, load(folder / "train"))
    half |= {f"features.{name}": value for name, value in net.features.state_dict().items()}
    moments = world_moments(net, load(folder / "held"))
    world = {f"world.{k}": v for k, v in moments.tensors().items()}
    notes = {"harms": json.dumps(NAMES), "version": "1", "clips": str(moments.count)}
    save_file(half | world, out, notes)
    out.chmod(0o644)
    click.echo(json.dumps({"world_clips": moments.count}))


if __name__ == "__main__":
    main()
