"""Takes from pictures the world never made, so that a photograph or a stranger's clip is gone on from.

A film lends its frames: as land under the world's sky, as a backdrop that drifts behind such land,
as a still before a camera that rests or sways, and its own shots.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from longtake.clip import Codec
from longtake.recipes.skies import data
from longtake.worlds.sky import ATTRIBUTES, SPEEDS, WIDTH, Moment, Sky
from longtake.worlds.sky.canvas import Land, jagged, rolling
from longtake.worlds.sky.script import draw_moment

SHOT = 20  # latent frames of a shot of the film


def picture_take(codec: Codec, film: Tensor, seed: int, size: tuple[int, int]) -> dict[str, Tensor]:
    """A take like `data.world_take`'s, made of one or two frames of `film` (t, 3, h, w) uint8.

    Words that a picture contradicts are said half of the time: what is seen counts for more.
    """
    rng = np.random.default_rng([seed, 5])
    script = data.draw_take(rng)
    at = data.kept(rng, script)
    stride = codec.spec.stride
    middles = [index * stride + stride // 2 for index in at]
    frames = [index * stride + n for index in at for n in range(stride)]
    style = rng.random()
    if style < 0.55:
        land = pictured(rng, still(rng, film, size))
        sky = Sky(script, seed=seed, size=size, land=land)
        video = sky.render(frames).float() / 255
        controls = sky.truth(middles)["controls"]
        _say(controls, "land", rng)
    else:
        moment = draw_moment(rng)
        seconds = torch.tensor(frames) / 10
        controls = _told(moment)[None].repeat(len(at), 1)
        if style < 0.8:
            video = drifting(rng, still(rng, film, size), still(rng, film, size), moment, seconds)
            unsaid = [name for name in ATTRIBUTES if name not in ("wind", "speed")]
        else:
            video = swaying(rng, still(rng, film, size), seconds)
            unsaid = list(ATTRIBUTES)
        controls *= rng.random() < 0.7
        for name in unsaid:
            _say(controls, name, rng)
    latents = codec.encode(video[None].clamp(0, 1))[0]
    return {"latents": latents.half(), "at": torch.tensor(at), "controls": controls.half()}


def still(rng: np.random.Generator, film: Tensor, size: tuple[int, int]) -> Tensor:
    """(3, h, w) in [0, 1]: part of some frame, maybe mirrored, at a contrast of its own."""
    frame = film[int(rng.integers(len(film)))].float() / 255
    width, height = size
    scale = max(width / frame.shape[-1], height / frame.shape[-2]) * rng.uniform(1, 1.6)
    frame = F.interpolate(frame[None], scale_factor=scale, mode="bicubic", antialias=True)[0]
    top, left = (
        int(rng.integers(0, max(0, have - wanted) + 1))
        for have, wanted in zip(frame.shape[-2:], (height, width), strict=True)
    )
    frame = frame[:, top : top + height, left : left + width]
    frame = frame.flip(-1) if rng.random() < 0.5 else frame
    bright, contrast = rng.uniform(-0.08, 0.08), rng.uniform(0.8, 1.25)
    return ((frame - 0.5) * contrast + 0.5 + bright).clamp(0, 1)


def ridge(rng: np.random.Generator, size: tuple[int, int]) -> Tensor:
    """(1, h, w) in [0, 1]: what lies below an outline, rolling, jagged or built, high above or low."""
    width, height = size
    x = (torch.arange(width) + 0.5) / height - width / height / 2
    foot = rng.uniform(0.25, 0.62)
    style = rng.random()
    if style < 0.3:
        line = foot + rng.uniform(0.02, 0.12) * rolling(rng, x, rng.uniform(0.5, 2))
    elif style < 0.5:
        line = foot - rng.uniform(0.1, 0.3) * jagged(rng, x, rng.uniform(0.6, 2)) + 0.1
    else:
        line = torch.full_like(x, foot + 0.1)
        for _ in range(int(rng.integers(1, 5))):
            middle = float(rng.uniform(-0.5, 0.5) * width / height)
            line = torch.minimum(line, foot + 0.1 - tower(rng, (x - middle).abs()))
    y = (torch.arange(height) + 0.5)[:, None] / height
    return ((y - line.clamp(0.04, 0.62)) * height + 0.5).clamp(0, 1)[None]


def tower(rng: np.random.Generator, x: Tensor) -> Tensor:
    """How high something built rises at distances x from its middle: straight, or in tiers with eaves."""
    half, high = rng.uniform(0.03, 0.28), rng.uniform(0.05, 0.6)
    if rng.random() < 0.5:
        return torch.where(x < half, high * (1 - rng.random() * x / half), 0.0)
    rise, tiers = torch.zeros_like(x), int(rng.integers(2, 6))
    for tier in range(1, tiers + 1):
        reach = half * (1 - rng.uniform(0.5, 1) * (tier - 1) / tiers)
        eave = rng.uniform(0, 0.6) * high / tiers * x / reach  # roofs fall away from the middle
        rise = torch.where(x < reach, torch.maximum(rise, high * tier / tiers - eave), rise)
    return rise


def pictured(rng: np.random.Generator, picture: Tensor) -> Land:
    """Land that shows a picture (3, h, w); the world lights it as it lights its own."""
    height, width = picture.shape[-2:]
    mask = ridge(rng, (width, height))
    top = int(torch.nonzero(mask[0].amax(1))[0])
    flat = torch.zeros_like(mask[:, top:])
    return Land(
        top=top,
        mask=mask[:, top:],
        albedo=picture[:, top:],
        slope=flat,
        depth=flat + rng.uniform(0, 0.3),
        lamps=flat.expand(3, -1, -1),
        water=flat,
        shore=2.0,
    )


def drifting(
    rng: np.random.Generator, back: Tensor, front: Tensor, moment: Moment, seconds: Tensor
) -> Tensor:
    """(t, 3, h, w): one picture drifts with the moment's wind behind another that stands."""
    height, width = front.shape[-2:]
    mask = ridge(rng, (width, height))
    pace = rng.uniform(*SPEEDS[moment.speed]) * (1 if moment.wind == "right" else -1)
    moved = _seen(back, -pace * seconds, torch.zeros_like(seconds), torch.ones_like(seconds))
    return moved + (front - moved) * mask


def swaying(rng: np.random.Generator, picture: Tensor, seconds: Tensor) -> Tensor:
    """(t, 3, h, w): a picture before a camera that rests, more often than not, or sways and nears."""
    if rng.random() < 0.55:
        return picture.expand(len(seconds), -1, -1, -1)
    waves = [
        torch.sin(2 * math.pi * (seconds / rng.uniform(30, 200) + rng.random())) for _ in range(3)
    ]
    zoom = 1 / (1.05 + rng.uniform(0, 0.25) * (1 + waves[2]))
    room = 1 - zoom
    aspect = picture.shape[-1] / picture.shape[-2]
    return _seen(picture, room * waves[0] * aspect / 2, room * waves[1] / 2, zoom)


def _seen(picture: Tensor, x: Tensor, y: Tensor, zoom: Tensor) -> Tensor:
    """(t, 3, h, w): a picture moved by x, y (t) picture heights, drawn `zoom` (t) times as wide."""
    height, width = picture.shape[-2:]
    theta = torch.zeros(len(x), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = zoom
    theta[:, 0, 2], theta[:, 1, 2] = 2 * x * height / width, 2 * y
    grid = F.affine_grid(theta, [len(x), 3, height, width], align_corners=False)
    whole = picture.expand(len(x), -1, -1, -1)
    return F.grid_sample(whole, grid, "bicubic", "reflection", align_corners=False)


def _told(moment: Moment) -> Tensor:
    """(WIDTH,): a moment's classes as a control vector."""
    parts = [
        torch.tensor([float(name == getattr(moment, attribute)) for name in classes])
        for attribute, classes in ATTRIBUTES.items()
    ]
    return torch.cat(parts)


def _say(controls: Tensor, attribute: str, rng: np.random.Generator) -> None:
    """Lets words (t, WIDTH) of one attribute tell nothing, half of the time, or anything; in place."""
    place = 0
    for name, classes in ATTRIBUTES.items():
        if name == attribute:
            said = float(controls.sum()) > 0 and rng.random() < 0.5
            controls[:, place : place + len(classes)] = 0
            controls[:, place + int(rng.integers(len(classes)))] = float(said)
        place += len(classes)


@dataclasses.dataclass(frozen=True)
class Shots:
    """Unbroken stretches of a film (t, 3, h, w) uint8 at 20 frames a second, at its pace or half of it."""

    film: Tensor

    def cuts(self) -> list[int]:
        """Frames with which something new begins; the first and the end of the film too."""
        small = F.avg_pool2d(self.film[:, :, ::2, ::2].float(), 4) / 255
        change = (small[1:] - small[:-1]).abs().mean((1, 2, 3))
        usual = F.max_pool1d(-change[None], 9, 1, 4)[0].neg()  # the least around
        found = (change > 0.06) & (change > 3 * usual)
        return [0, *(torch.nonzero(found)[:, 0] + 1).tolist(), len(self.film)]

    def takes(self, codec: Codec, size: tuple[int, int]) -> Iterator[dict[str, Tensor]]:
        """Takes without words, mirrored too."""
        stride, (width, height) = codec.spec.stride, size
        borders = self.cuts()
        for begin, end in zip(borders, borders[1:], strict=False):
            for pace in (1, 2):
                for first in range(begin + 2, end - SHOT * stride * pace - 1, SHOT * stride * pace):
                    part = self.film[first : first + SHOT * stride * pace : pace].float() / 255
                    scale = max(width / part.shape[-1], height / part.shape[-2])
                    part = F.interpolate(part, scale_factor=scale, mode="bicubic", antialias=True)
                    left = (part.shape[-1] - width) // 2
                    part = part[..., :height, left : left + width].clamp(0, 1)
                    for video in (part, part.flip(-1)):
                        yield {
                            "latents": codec.encode(video[None])[0].half(),
                            "at": torch.arange(SHOT),
                            "controls": torch.zeros(SHOT, WIDTH).half(),
                        }
