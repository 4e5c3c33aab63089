"""The adversarial family: a style for a film, a motion code for every moment, frames in one pass.

Without an observer a frame depends on nothing but the film's noise and its time, so any real time can
be asked by itself; what a clip observes is then heard by `Inverted`, or not at all. With an
observer the generator sees observed frames, and the critic judges them together with what was made.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from longtake.clip import Clip, ClipRequest, ClipSpec, Noise
from longtake.controls import Controls
from longtake.errors import FitError, InputError, nearest
from longtake.keys import fingerprint
from longtake.models.picking import uniform
from longtake.nets.adversarial import GAMES, steepness
from longtake.nets.critics import Critic
from longtake.nets.synthesis import Generator

Augment = Callable[[Tensor, Tensor], Tensor]  # frames (b, t, c, h, w), chance (b, 4) -> frames


@dataclasses.dataclass(frozen=True)
class Playing:
    """How the game is trained. game: of `GAMES`. steep: weight of R1, half of gamma; steep_made: of R2.
    every: both are asked at one batch in so many, at so many times the weight (Karras et al. 2020,
    StyleGAN2, appendix B). near: weight of the mean absolute error of what is made beside something
    observed (Isola et al. 2017, eq. 3). augment: of real and made clips alike (Zhao et al. 2020), one
    change for all frames of a clip.
    """

    game: str = "non-saturating"
    steep: float = 1.0
    steep_made: float = 0.0
    every: int = 1
    near: float = 0.0
    augment: Augment | None = None

    def __post_init__(self) -> None:
        if self.game not in GAMES:
            raise InputError(f"unknown game '{self.game}'", "GAN", nearest(self.game, GAMES))
        for name in ("steep", "steep_made", "near"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name}={getattr(self, name)}", "GAN", f"{name}=1, 0 for none")
        if self.every < 1:
            raise InputError(f"every={self.every}", "GAN", "every=1")


class GANModel:
    """A generator that answers clip requests, and its critics; see `ClipModel` and `Trainable`.

    critics: each as in `nets.critics`. truncation: below 1, styles nearer to their mean: fewer
    kinds of film, of better quality. Train `nets` with `fit(..., parts=model.parts)`.
    """

    def __init__(
        self,
        generator: Generator,
        critics: Sequence[Critic],
        spec: ClipSpec,
        truncation: float = 1.0,
        playing: Playing | None = None,
    ) -> None:
        if not 0 <= truncation <= 1:
            raise InputError(f"truncation={truncation}", "GAN", "0 to 1, 1 for none")
        told = "any" if generator.observer is not None else "none"
        self.spec = dataclasses.replace(spec, observes=told)
        self.generator, self.truncation, self.playing = generator, truncation, playing or Playing()
        self.critics, self._judges = nn.ModuleList(critics), tuple(critics)
        self.nets = nn.ModuleDict({"generator": generator, "critics": self.critics})

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """Which of `nets` each loss trains."""
        near = {"near": self.generator} if self.playing.near else {}
        return {"generator": self.generator, "critic": self.critics} | near

    @torch.no_grad()
    def sample(self, request: ClipRequest) -> Clip:
        """A clip at `request.targets`."""
        if len(request.at) > self.spec.window:
            raise FitError(f"{len(request.at)} frames in a call", "GAN", str(self.spec.window))
        self.nets.eval()
        times = _seconds(request.targets, request.interval)
        frames = self.painted(self.styles(request), request, times)
        return Clip(frames.cpu(), request.targets)

    @torch.no_grad()
    def render(
        self, noise: Noise, samples: Sequence[int], times: Sequence[float], frame: tuple[int, ...]
    ) -> Tensor:
        """Films `samples` at any real `times` (seconds), (b, t, *frame): random access."""
        self.nets.eval()
        request = ClipRequest((0,), None, Controls(), noise, frame, tuple(samples))
        return self.painted(self.styles(request), request, torch.tensor(times, dtype=torch.float64))

    def styles(self, request: ClipRequest, truncation: float | None = None) -> Tensor:
        """(b, style): one for every film, whatever is asked of it; truncation: the model's unless given."""
        width = self.generator.shape.style
        z = torch.stack([request.noise.of(s, -1, (width,), "style") for s in request.samples])
        psi = self.truncation if truncation is None else truncation
        found: Tensor = self.generator.mapping(z.to(self._device), psi)
        return found

    def painted(
        self,
        styles: Tensor,
        request: ClipRequest,
        times: Tensor,
        moved: tuple[range, Tensor] | None = None,
    ) -> Tensor:
        """Frames (b, t, *frame) of a request's films at `times` (t,) under `styles`.

        moved: anchors, and what is added to their noise (b, a, motion).
        """
        seen = None
        if request.observed is not None and self.generator.observer is not None:
            at = _seconds(request.observed.at, request.interval)
            seen = request.observed.frames.to(self._device), at.to(self._device)
        motion, width = self.generator.motion, self.generator.shape.motion
        span = motion.anchors(times)
        anchors = request.noise.clip(request.samples, span, (width,), "anchor").to(self._device)
        if moved is not None:
            both = [n for n in span if n in moved[0]]
            rows = [n - span.start for n in both]
            shift = moved[1][:, [n - moved[0].start for n in both]]
            anchors = anchors.index_add(1, torch.tensor(rows, device=anchors.device).long(), shift)
        h, w = request.frame[-2:]
        frames: Tensor = self.generator(styles, anchors, times.to(self._device), (h, w), seen)
        return frames

    def losses(self, request: ClipRequest, truth: Clip) -> Mapping[str, Tensor]:
        """ "generator" and "critic", summed over the critics; "near" if asked.

        Truth at observed indices, too, says that what is observed is no part of it, as what the model made
        itself is not: critics then compare it whole, and nothing is near.
        Only the frames some critic looks at are made. Both players' losses come from one pass; `fit`
        with `parts` takes from each what is its own.
        """
        self.nets.train()
        play, styles = self.playing, self.styles(request, truncation=1.0)
        seen = request.observed
        own = seen is not None and set(seen.at) <= set(truth.at)
        whole = truth if seen is None or own else Clip.join([seen, truth])
        views = [
            self._looked_at(request, whole.at, critic.frames, number)
            for number, critic in enumerate(self._judges)
        ]
        told = seen is not None and not own  # which film it is
        near = bool(play.near) and told
        held = float(self._chance(request, "held")[0, 0]) < 1 / play.every
        looked_at = {index for at in views for index in at}
        targets = tuple(n for n in request.targets if near or n in looked_at)
        painted = self.painted(styles, request, _seconds(targets, request.interval))
        made = Clip(painted, targets)
        if seen is not None:
            made = Clip.join([made, Clip(seen.frames.to(painted), seen.at)])
        named = {"generator": torch.zeros(()), "critic": torch.zeros(())}
        for number, (critic, at) in enumerate(zip(self._judges, views, strict=True)):
            fake, real = made.pick(at).frames, whole.pick(at).frames.to(styles)
            if play.augment is not None:
                real, fake = (
                    play.augment(clip, self._chance(request, f"{use} {number}"))
                    for clip, use in ((real, "real"), (fake, "made"))
                )
            real = real.requires_grad_()
            times = _seconds(at, request.interval).to(styles)
            truly, falsely = critic(real, times), critic(fake, times)
            generator, judging = GAMES[play.game](truly, falsely)
            if play.steep and held:
                judging = judging + play.every * play.steep * steepness(truly, real)
            if play.steep_made and held:
                judging = judging + play.every * play.steep_made * steepness(falsely, fake)
            named["generator"] = named["generator"] + generator
            named["critic"] = named["critic"] + judging
        if play.near:
            named["near"] = torch.zeros(())
        if near:
            error = made.pick(truth.at).frames - truth.frames.to(painted)
            named["near"] = play.near * error.abs().flatten(1).mean(1)
        return named

    @staticmethod
    def _chance(request: ClipRequest, use: str) -> Tensor:
        """(b, 4) numbers in (0, 1), one row a film."""
        rows = [request.noise.of(sample, -1, (4,), use) for sample in request.samples]
        return uniform(torch.stack(rows))

    def _looked_at(
        self, request: ClipRequest, at: tuple[int, ...], count: int | None, number: int
    ) -> tuple[int, ...]:
        """Which frames a critic looks at: so many, drawn for the batch, at least one of them made."""
        if count is None:
            return at
        if len(at) < count:
            raise FitError(f"{len(at)} frames for a critic of {count}", "GAN", f"{count} or more")
        rank = request.noise.of(request.samples[0], -1, (len(at),), f"looked {number}")
        order = [at[n] for n in rank.argsort().tolist()]
        first = next(index for index in order if index in request.targets)
        others = [index for index in order if index != first]
        return tuple(sorted([first, *others[: count - 1]]))

    @property
    def _device(self) -> torch.device:
        return next(self.generator.parameters()).device


@dataclasses.dataclass(frozen=True)
class Inverted:
    """A generator that observes nothing, made to: the film that looks most like what is observed.

    Projection by gradient descent from the film's own style and motion (Karras et al. 2020,
    StyleGAN2, appendix D). Motion is found at the anchors that observed frames depend on, and frames
    beside them depend on the same anchors: so it goes on. steps: of descent. keep: weight of staying
    near what the film's noise says. Each film's search knows itself alone.
    """

    model: GANModel
    steps: int = 50
    rate: float = 0.1
    keep: float = 1e-3

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.rate > 0 or not self.keep >= 0:
            what = f"steps={self.steps}, rate={self.rate}, keep={self.keep}"
            raise InputError(what, "Inverted", "steps=50, rate=0.1, keep=0.001")

    @property
    def spec(self) -> ClipSpec:
        """The inner model's, which now observes."""
        inner = self.model.spec
        mark = fingerprint(["inverted", self.steps, self.rate, self.keep, inner.fingerprint])
        return dataclasses.replace(inner, observes="any", fingerprint=mark)

    def sample(self, request: ClipRequest) -> Clip:
        """Targets of the style found; what the inner model gives if nothing is observed."""
        if request.observed is None:
            return self.model.sample(request)
        styles, moved = self._found(request, request.observed)
        with torch.no_grad():
            times = _seconds(request.targets, request.interval)
            frames = self.model.painted(styles, request, times, moved)
        return Clip(frames.cpu(), request.targets)

    def _found(self, request: ClipRequest, seen: Clip) -> tuple[Tensor, tuple[range, Tensor]]:
        """Style, and motion at the anchors of what is seen."""
        self.model.nets.eval()
        with torch.no_grad():
            begun = self.model.styles(request)
        times = _seconds(seen.at, request.interval)
        generator = self.model.generator
        span = generator.motion.anchors(times)
        shift = begun.new_zeros(len(begun), len(span), generator.shape.motion, requires_grad=True)
        styles, truth = begun.clone().requires_grad_(), seen.frames.to(begun)
        adam = torch.optim.Adam([styles, shift], lr=self.rate)
        with torch.enable_grad():
            for step in range(self.steps):
                adam.param_groups[0]["lr"] = self.rate * (1 - step / self.steps)
                made = self.model.painted(styles, request, times, (span, shift))
                error = (made - truth).square().flatten(1).mean(1)
                away = (styles - begun).square().mean(1) + shift.square().mean((1, 2))
                error = error + self.keep * away
                styles.grad, shift.grad = torch.autograd.grad(error.sum(), [styles, shift])
                adam.step()
        return styles.detach(), (span, shift.detach())


def jittered(frames: Tensor, chance: Tensor) -> Tensor:
    """Brightness, contrast and place of a clip, (b, t, c, h, w), by chance (b, 4); all its frames alike.

    Brightness by up to a half, contrast from a half to one and a half, shifts by up to an eighth of
    an edge with zeros behind (Zhao et al. 2020, DiffAugment, section 3.3).
    """
    wide = chance.to(frames)[:, :, None, None, None, None]
    frames = frames + (wide[:, 0] - 0.5)
    mean = frames.mean((2, 3, 4), keepdim=True)
    frames = mean + (frames - mean) * (0.5 + wide[:, 1])
    rows = []
    for frame, draw in zip(frames, chance, strict=True):
        h, w = frame.shape[-2:]
        down, right = (round((float(draw[n]) - 0.5) * side / 4) for n, side in ((2, h), (3, w)))
        moved = nn.functional.pad(frame, (right, -right, down, -down))
        rows.append(moved)
    return torch.stack(rows)


def _seconds(at: Sequence[int], interval: float) -> Tensor:
    """Film time of indices, float64: late frames keep their place between anchors."""
    return torch.tensor([index * interval for index in at], dtype=torch.float64)
