"""The diffusion family: rectified flow over any subset of frames, observed ones in place.

A request's frames lie at real times in one array; observed frames keep noise level `hold`, targets
travel from noise to data (Lipman et al. 2023; Liu et al. 2023). Which frames are observed is only
a flag, so one set of weights extends, fills, links and makes keyframes (Harvey et al. 2022, FDM).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest, ClipSpec
from longtake.errors import FitError
from longtake.models.guidance import against, guided
from longtake.models.samplers import Denoise, Levels, Sampling, sampler, tail
from longtake.nets.frames import FrameNet


@dataclasses.dataclass(frozen=True)
class Scene:
    """Frames of a call as arrays, in order of time.

    latents (b, t, c, h, w), observed (b, t) bool, times (b, t) seconds, text (b, t, d), tracks:
    further control tracks by name, (b, t, ...).
    """

    latents: Tensor
    observed: Tensor
    times: Tensor
    text: Tensor
    tracks: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    @staticmethod
    def join(scenes: Sequence[Scene], device: torch.device) -> Scene:
        """Scenes of equal shape as one batch."""
        names = ("latents", "observed", "times", "text")
        arrays = [torch.cat([getattr(s, name) for s in scenes]).to(device) for name in names]
        tracks = {
            name: torch.cat([s.tracks[name] for s in scenes]).to(device)
            for name in scenes[0].tracks
        }
        return Scene(*arrays, tracks)

    def keep(self, kept: Tensor) -> Scene:
        """The frames flagged in `kept` (b, t), as many in every row."""

        def rows(x: Tensor) -> Tensor:
            return x[kept].unflatten(0, (len(x), -1))

        tracks = {name: rows(track) for name, track in self.tracks.items()}
        return Scene(
            rows(self.latents), rows(self.observed), rows(self.times), rows(self.text), tracks
        )


def scene_of(request: ClipRequest, spec: ClipSpec, text: int, truth: Clip | None = None) -> Scene:
    """A request as arrays; targets are `truth`, or empty. text: width of that track.

    Of other tracks those that `spec` names are there. FitError where the request is too long.
    """
    at, b = request.at, len(request.samples)
    if len(at) > spec.window:
        raise FitError(f"{len(at)} frames in a call", "FlowModel", str(spec.window))
    latents = torch.zeros(b, len(at), *request.frame)
    observed = torch.zeros(b, len(at), dtype=torch.bool)
    place = {index: n for n, index in enumerate(at)}
    for clip, seen in ((request.observed, True), (truth, False)):
        if clip is not None:
            rows = [place[index] for index in clip.at]
            latents[:, rows] = clip.frames.to(latents)
            observed[:, rows] = seen
    times = torch.tensor([index * request.interval for index in at], dtype=torch.float32)
    told = request.controls.at(at)
    words = told.get("text")
    if words is None:
        words = torch.zeros(len(at), text)
    tracks = {
        name: track.float().expand(b, *track.shape)
        for name, track in told.items()
        if name != "text" and name in spec.tracks
    }
    return Scene(latents, observed, times.expand(b, -1), words.float().expand(b, -1, -1), tracks)


class FrameModel:
    """What models of any objective share: requests in batches, from noise along levels to clips.

    levels, rule: see `models.samplers`.
    """

    def __init__(self, net: FrameNet, spec: ClipSpec, levels: Levels, rule: str) -> None:
        self.net, self.spec, self.levels, self.rule = net, spec, levels, rule

    def sample(self, request: ClipRequest) -> Clip:
        """A clip at `request.targets`."""
        return self.sample_batch([request])[0]

    @torch.no_grad()
    def sample_batch(self, requests: Sequence[ClipRequest]) -> list[Clip]:
        """Requests of equal numbers of targets and observed frames, as one batch."""
        denoise = self.denoiser(self.scene(requests), requests)
        return self.travelled(requests, denoise, self.start(requests))

    def scene(self, requests: Sequence[ClipRequest]) -> Scene:
        """Requests as one batch of arrays, where the net is."""
        self.net.eval()
        scenes = [scene_of(request, self.spec, self.net.shape.text) for request in requests]
        return Scene.join(scenes, self._device)

    def start(self, requests: Sequence[ClipRequest]) -> Tensor:
        """Where the targets' way begins, (b, targets, c, h, w)."""
        return torch.cat([self._start(request) for request in requests]).to(self._device)

    def travelled(
        self, requests: Sequence[ClipRequest], denoise: Denoise, start: Tensor
    ) -> list[Clip]:
        """From `start` along the levels to a clip for every request."""
        levels = tail(self.levels, requests[0].strength)

        def draw(use: str) -> Tensor:
            rows = [r.noise.clip(r.samples, r.targets, r.frame, use) for r in requests]
            return torch.cat(rows).to(start.device)

        x = sampler(self.rule)(denoise, start, levels, draw)
        rows = x.cpu().split([len(r.samples) for r in requests])
        return [Clip(row, r.targets) for row, r in zip(rows, requests, strict=True)]

    @property
    def _device(self) -> torch.device:
        return next(self.net.parameters()).device

    def denoiser(self, scene: Scene, requests: Sequence[ClipRequest]) -> Denoise:
        """x0 of a scene's targets, (b, targets, c, h, w)."""
        raise NotImplementedError

    def _start(self, request: ClipRequest) -> Tensor:
        """Noise at the targets, or a given start part of the way to noise."""
        noise = request.noise.clip(request.samples, request.targets, request.frame)
        if request.start is None:
            return noise
        alpha, sigma = tail(self.levels, request.strength)[0]
        return alpha * request.start.pick(request.targets).frames + sigma * noise


class FlowModel(FrameModel):
    """A net of frames that answers clip requests by rectified flow; see `ClipModel` and `Trainable`."""

    def __init__(self, net: FrameNet, spec: ClipSpec, sampling: Sampling) -> None:
        super().__init__(net, spec, sampling.levels, sampling.rule)
        self.sampling = sampling

    def losses(self, request: ClipRequest, truth: Clip) -> Mapping[str, Tensor]:
        """Flow matching on the targets, every sample at a noise level of its own."""
        scene = scene_of(request, self.spec, self.net.shape.text, truth)
        noise = request.noise.clip(request.samples, request.at, request.frame)
        return {"flow": flow_loss(self.net, scene, noise)}

    def denoiser(self, scene: Scene, requests: Sequence[ClipRequest]) -> Denoise:
        """x0 of the targets, guided on text and on observed frames if asked."""
        shown, sampling = self._shown(scene, requests), self.sampling
        branches, scales = [self._branch(scene, shown)], list[float]()
        if sampling.guidance != 1 and scene.text.any():
            untold = dataclasses.replace(scene, text=torch.zeros_like(scene.text))
            branches.insert(0, self._branch(untold, shown))
            scales.insert(0, sampling.guidance)
        if sampling.context != 1 and scene.observed.any():
            alone = scene.keep(~scene.observed)
            branches.insert(0, self._branch(alone, alone.latents))
            scales.insert(0, sampling.context)
        return guided(branches, against(*scales)) if scales else branches[0]

    def _shown(self, scene: Scene, requests: Sequence[ClipRequest]) -> Tensor:
        """The scene's latents with noise of level `hold` on observed frames."""
        level = self.sampling.hold
        if not level or not scene.observed.any():
            return scene.latents
        noise = torch.cat([r.noise.clip(r.samples, r.at, r.frame, "hold") for r in requests])
        held = (1 - level) * scene.latents + level * noise.to(scene.latents)
        return torch.where(scene.observed[:, :, None, None, None], held, scene.latents)

    def _branch(self, scene: Scene, shown: Tensor) -> Denoise:
        targets = ~scene.observed
        flags = scene.observed.float()

        def denoise(x: Tensor, alpha: float, sigma: float) -> Tensor:
            latents = shown.clone()
            latents[targets] = x.flatten(0, 1)
            level = torch.where(scene.observed, self.sampling.hold, sigma)
            velocity = self.net(
                latents, level, flags, scene.times, scene.text, scene.latents, **scene.tracks
            )
            found = velocity[targets].reshape(x.shape)
            return x - sigma * found  # x = (1 - s) x0 + s e and v = e - x0

        return denoise


def flow_loss(net: FrameNet, scene: Scene, noise: Tensor, level: Tensor | None = None) -> Tensor:
    """|v - (e - x0)|^2 over the targets, (b,); levels logit-normal unless given (Esser et al. 2024).

    level: (b, t) of every frame, observed ones included.
    """
    b, t = scene.observed.shape
    if level is None:
        drawn = torch.sigmoid(torch.randn(b, 1, device=noise.device)).expand(b, t)
        level = torch.where(scene.observed, 0.0, drawn)
    s = level[:, :, None, None, None]
    x = (1 - s) * scene.latents + s * noise
    flags = scene.observed.float()
    velocity = net(x, level, flags, scene.times, scene.text, scene.latents, **scene.tracks)
    error = (velocity - (noise - scene.latents)).square().mean((2, 3, 4))
    targets = (~scene.observed).float()
    return (error * targets).sum(1) / targets.sum(1).clamp(min=1)
