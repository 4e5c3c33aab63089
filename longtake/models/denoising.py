"""Diffusion under any objective, on any path of levels, guided by comparing views of the scene.

What a net predicts is one straight combination of data and noise, p x0 + q eps; with the state
x = alpha x0 + sigma eps that gives x0 back. So DDPM's eps, v-prediction, x0 and the flow's velocity
are four pairs (p, q), and every sampler of `models.samplers` serves them all.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest, ClipSpec
from longtake.errors import InputError, nearest
from longtake.models.diffusion import FrameModel, Scene, scene_of
from longtake.models.guidance import chained, during, guided
from longtake.models.samplers import Denoise, Level, Levels, cosine_levels
from longtake.nets.frames import FrameNet

PREDICTIONS: Mapping[str, Callable[[float, float], tuple[float, float]]] = {
    "x0": lambda alpha, sigma: (1.0, 0.0),
    "eps": lambda alpha, sigma: (0.0, 1.0),  # Ho et al. 2020, equation 14
    "v": lambda alpha, sigma: (-sigma, alpha),  # Salimans and Ho 2022, section 4
    "flow": lambda alpha, sigma: (-1.0, 1.0),  # Lipman et al. 2023
}


@dataclasses.dataclass(frozen=True)
class Objective:
    """What the net predicts, and the levels at which it learns to.

    predicts: of `PREDICTIONS`. levels: a fine path, noisiest first; each sample of a batch is trained at
    one of them, all as likely, but for the last, which has no noise. weight: of the loss at a level.
    """

    predicts: str = "v"
    levels: Levels = dataclasses.field(default_factory=lambda: cosine_levels(1000))
    weight: Callable[[float, float], float] = lambda alpha, sigma: 1.0

    def __post_init__(self) -> None:
        if self.predicts not in PREDICTIONS:
            what = f"unknown prediction '{self.predicts}'"
            raise InputError(what, "Objective", nearest(self.predicts, PREDICTIONS))

    def clean(self, x: Tensor, found: Tensor, level: Level) -> Tensor:
        """x0 of a state and what the net found; InputError where that says nothing of x0."""
        alpha, sigma = level
        p, q = PREDICTIONS[self.predicts](alpha, sigma)
        share = alpha * q - sigma * p
        if abs(share) < 1e-6:
            what = f"{self.predicts} at alpha={alpha:g} says nothing of the picture"
            raise InputError(
                what, "Objective", "predicts='v', or levels that begin below all noise"
            )
        return (q * x - sigma * found) / share

    def aim(self, clean: Tensor, noise: Tensor, level: Level) -> Tensor:
        """What the net should find."""
        p, q = PREDICTIONS[self.predicts](*level)
        return p * clean + q * noise


def min_snr(gamma: float = 5.0) -> Callable[[float, float], float]:
    """Weights of a loss of v that count no level more than signal `gamma` times the noise does.

    min(snr, gamma) / (snr + 1) (Hang et al. 2023, section 3.4).
    """

    def weight(alpha: float, sigma: float) -> float:
        snr = (alpha / sigma) ** 2
        return min(snr, gamma) / (snr + 1)

    return weight


def noisiness(level: Level) -> float:
    """How noisy a level is, from 0 to 1 on any path: what nets are told."""
    alpha, sigma = level
    return math.atan2(sigma, alpha) * 2 / math.pi


# ---- views of a scene, and guidance by comparing them

View = Callable[[Scene], Scene]


def whole(scene: Scene) -> Scene:
    """All that is known."""
    return scene


def untold(scene: Scene) -> Scene:
    """Without the text."""
    return dataclasses.replace(scene, text=torch.zeros_like(scene.text))


def unseen(scene: Scene) -> Scene:
    """The targets alone: without observed frames."""
    return scene.keep(~scene.observed)


def unled(scene: Scene) -> Scene:
    """Without the frames observed after the last target: an ending that need not be reached exactly."""
    targets = ~scene.observed
    return scene.keep(targets.flip(1).cumsum(1).flip(1).gt(0) | targets.cumsum(1).eq(0))


def framewise(scene: Scene) -> Scene:
    """Every target by itself, as a picture."""
    alone = unseen(scene)
    tracks = {name: track.flatten(0, 1)[:, None] for name, track in alone.tracks.items()}
    rows = [
        x.flatten(0, 1)[:, None]
        for x in (alone.latents, alone.observed, torch.zeros_like(alone.times), alone.text)
    ]
    return Scene(*rows, tracks)


@dataclasses.dataclass(frozen=True)
class Guide:
    """Views of a scene, and what is made of the denoisers that see them."""

    views: tuple[View, ...] = (whole,)
    rule: Callable[[Sequence[Denoise]], Denoise] = lambda branches: branches[-1]


def on_text(scale: float) -> Guide:
    """Away from the film without its text (Ho and Salimans 2021)."""
    return Guide((untold, whole), lambda b: guided(b, chained(scale)))


def on_context(scale: float) -> Guide:
    """Away from the film that observes nothing (Blattmann et al. 2023, equation 5; PVDM's w = scale - 1)."""
    return Guide((unseen, whole), lambda b: guided(b, chained(scale)))


def on_text_and_context(text: float, context: float) -> Guide:
    """First towards what is observed, then towards the text (Brooks et al. 2023, equation 3)."""
    views = (lambda scene: untold(unseen(scene)), untold, whole)
    return Guide(views, lambda b: guided(b, chained(context, text)))


def on_video(scale: float) -> Guide:
    """Away from pictures that do not know of each other (Chen et al. 2023, Control-A-Video, section 3.4)."""
    return Guide((framewise, whole), lambda b: guided(b, chained(scale)))


def led_at_first(until: float) -> Guide:
    """Frames observed after the targets are heard only while sigma / alpha is above `until`.

    So that an ending steers the clip but is not pasted onto it (Zeng et al. 2023, PixelDance,
    section 3.3).
    """
    return Guide((unled, whole), lambda b: during(b[1], b[0], low=until))


class DenoisingModel(FrameModel):
    """A net of frames under any objective; see `ClipModel` and `Trainable`.

    levels: those that sampling visits, of the objective's path or near them. rule: of
    `samplers.SAMPLERS`; "euler" is DDIM, "ddim" with all its noise drawn anew is DDPM.
    """

    def __init__(
        self,
        net: FrameNet,
        spec: ClipSpec,
        levels: Levels,
        objective: Objective | None = None,
        rule: str = "euler",
        guide: Guide | None = None,
    ) -> None:
        super().__init__(net, spec, levels, rule)
        self.objective, self.guide = objective or Objective(), guide or Guide()
        nothing = torch.zeros(1)
        self.objective.clean(nothing, nothing, levels[0])

    def losses(self, request: ClipRequest, truth: Clip) -> Mapping[str, Tensor]:
        """Mean square of what the net should find, over the targets; each sample at a level of its own."""
        scene = scene_of(request, self.spec, self.net.shape.text, truth)
        noise = request.noise.clip(request.samples, request.at, request.frame)
        path = self.objective.levels[:-1]
        drawn = [path[n] for n in torch.randint(len(path), (len(scene.latents),)).tolist()]
        return {"denoise": denoising_loss(self.net, self.objective, scene, noise, drawn)}

    def denoiser(self, scene: Scene, requests: Sequence[ClipRequest]) -> Denoise:
        """x0 of the targets, as the guide has it."""
        return self.guide.rule([self._branch(view(scene)) for view in self.guide.views])

    def _branch(self, scene: Scene) -> Denoise:
        targets, flags = ~scene.observed, scene.observed.float()

        def denoise(x: Tensor, alpha: float, sigma: float) -> Tensor:
            spread = math.hypot(alpha, sigma)
            latents = scene.latents.clone()
            latents[targets] = x.flatten(0, 1) / spread
            level = torch.where(scene.observed, 0.0, noisiness((alpha, sigma)))
            found = self.net(
                latents, level, flags, scene.times, scene.text, scene.latents, **scene.tracks
            )
            return self.objective.clean(x, found[targets].reshape(x.shape), (alpha, sigma))

        return denoise


def denoising_loss(
    net: FrameNet, objective: Objective, scene: Scene, noise: Tensor, levels: Sequence[Level]
) -> Tensor:
    """Mean square over targets of what the net should find, (b,), sample n at levels[n].

    Observed frames stand without noise, and no loss is theirs.
    """
    seen = scene.observed[:, :, None, None, None]
    rows = list(zip(scene.latents, noise, levels, strict=True))
    x = [(level[0] * x0 + level[1] * eps) / math.hypot(*level) for x0, eps, level in rows]
    shown = torch.where(seen, scene.latents, torch.stack(x))
    told = scene.latents.new_tensor([[noisiness(level)] for level in levels])
    level = torch.where(scene.observed, 0.0, told)
    flags = scene.observed.float()
    found = net(shown, level, flags, scene.times, scene.text, scene.latents, **scene.tracks)
    aim = torch.stack([objective.aim(x0, eps, level) for x0, eps, level in rows])
    error = (found - aim).square().mean((2, 3, 4)) * ~scene.observed
    weight = error.new_tensor([objective.weight(*level) for level in levels])
    return weight * error.sum(1) / (~scene.observed).sum(1).clamp(min=1)
