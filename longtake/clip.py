"""A clip, the request for one, and what answers: `ClipModel.sample` and `Trainable.losses`.

Shapes, project-wide: b samples, t frames, c channels, h w space, s latent frames, n tokens, d width.
torch is imported when a tensor is made, not with this module.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from longtake.controls import Controls
from longtake.errors import FitError
from longtake.steps import Indices

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Clip:
    """Frames and the indices they belong to.

    frames: (b, t, *frame). carry: what frames cannot rebuild (a noise queue, a memory), stored with them.
    """

    frames: Tensor
    at: Indices
    carry: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.frames.shape[1] != len(self.at):
            raise FitError(f"{self.frames.shape[1]} frames for {len(self.at)} indices", "Clip")

    def pick(self, indices: Sequence[int]) -> Clip:
        """The frames at `indices`, in that order; carry stays behind."""
        place = {index: n for n, index in enumerate(self.at)}
        return Clip(self.frames[:, [place[index] for index in indices]], tuple(indices))

    @staticmethod
    def join(clips: Sequence[Clip]) -> Clip:
        """Several clips as one, in index order; carry of the latest wins."""
        import torch

        at = tuple(index for clip in clips for index in clip.at)
        order = sorted(range(len(at)), key=at.__getitem__)
        frames = torch.cat([clip.frames for clip in clips], dim=1)[:, order]
        carry = {name: value for clip in clips for name, value in clip.carry.items()}
        return Clip(frames, tuple(at[n] for n in order), carry)


@dataclasses.dataclass(frozen=True)
class Noise:
    """Gaussian noise that belongs to (seed, sample, index): no window, batch or worker changes it."""

    seed: int

    def of(self, sample: int, index: int, shape: Sequence[int], use: str = "start") -> Tensor:
        """Standard normal of `shape`, made on the CPU; `use` names independent draws for one frame."""
        import torch

        text = f"{self.seed}/{sample}/{index}/{use}".encode()
        state = int.from_bytes(hashlib.sha256(text).digest()[:8], "big", signed=True)
        generator = torch.Generator().manual_seed(state)
        return torch.randn(tuple(shape), generator=generator)

    def clip(
        self,
        samples: Sequence[int],
        indices: Sequence[int],
        frame: Sequence[int],
        use: str = "start",
    ) -> Tensor:
        """Noise of a whole clip, (b, t, *frame)."""
        import torch

        rows = [torch.stack([self.of(s, i, frame, use) for i in indices]) for s in samples]
        return torch.stack(rows)


class NoiseSource(Protocol):
    """Standard normal numbers for every (sample, index): `Noise`, or what holds one (`models.noise`)."""

    @property
    def seed(self) -> int: ...

    def of(self, sample: int, index: int, shape: Sequence[int], use: str = "start") -> Tensor: ...

    def clip(
        self,
        samples: Sequence[int],
        indices: Sequence[int],
        frame: Sequence[int],
        use: str = "start",
    ) -> Tensor: ...


@dataclasses.dataclass(frozen=True)
class ClipRequest:
    """Write `targets` given `observed`, under `controls`, out of `noise`.

    samples: which films of the batch (their noise differs). frame: shape of one frame.
    interval: seconds from one index to the next. start: where sampling starts from instead of pure
    noise, `strength` of the way (video to video, SDEdit).
    """

    targets: Indices
    observed: Clip | None
    controls: Controls
    noise: NoiseSource
    frame: tuple[int, ...]
    samples: Indices = (0,)
    interval: float = 1.0
    start: Clip | None = None
    strength: float = 1.0

    @property
    def at(self) -> Indices:
        """All indices of the call, in order of time."""
        seen = self.observed.at if self.observed is not None else ()
        return tuple(sorted({*seen, *self.targets}))


@dataclasses.dataclass(frozen=True)
class ClipSpec:
    """What a clip model can be asked.

    window: most frames in a call. frame: shape of a frame, None where any size goes.
    observes: "none", "first", "ends", "past" or "any" (see `longtake.schemes.fits`).
    tracks: control tracks it reads and their width. begins: answers requests that observe nothing.
    sibling: a model of the same kind that could observe more.
    fingerprint: of weights, sampler settings and code version: changes when pixels may.
    codes: frames are whole numbers (torch.int64) below it; 0: real numbers.
    """

    window: int
    frame: tuple[int | None, ...]
    fingerprint: str
    observes: str = "any"
    tracks: Mapping[str, int] = dataclasses.field(default_factory=dict)
    codes: int = 0
    begins: bool = True
    sibling: str = ""


class ClipModel(Protocol):
    """Anything that samples clips: the four families, pretrained pipelines, wrappers, the oracle."""

    @property
    def spec(self) -> ClipSpec: ...

    def sample(self, request: ClipRequest) -> Clip:
        """A clip at `request.targets`, in that order."""


@runtime_checkable
class SamplesBatches(Protocol):
    """A clip model that answers requests of equal shape together, each exactly as if alone up to rounding."""

    def sample_batch(self, requests: Sequence[ClipRequest]) -> list[Clip]: ...


class Trainable(Protocol):
    """Training is sampling with the answer attached; one optimiser per named loss."""

    def losses(self, request: ClipRequest, truth: Clip) -> Mapping[str, Tensor]:
        """Named losses, each (b,). `truth` holds the frames at `request.targets`."""


@dataclasses.dataclass(frozen=True)
class CodecSpec:
    """What a codec's latents look like.

    channels and down: a latent frame is (channels, ceil(h/down), ceil(w/down)). stride: video frames in a latent frame.
    context: latent frames the decoder wants on each side of those it decodes.
    codes: as in `ClipSpec`.
    lead: video frames that the first latent frame of a take lacks (causal codecs: stride - 1).
    holds: latent frames of a take, as in `longtake.steps.lay_takes`: what is decoded together is made whole.
    streams: decodes in the order of film, by a `CodecStream`; `context[1]` is how far that looks ahead.
    stills: pixels of given pictures are stored with their latents, for models that look at pixels.
    """

    channels: int
    down: int
    stride: int
    context: tuple[int, int]
    fingerprint: str
    codes: int = 0
    lead: int = 0
    holds: tuple[int, int, int] = (1, 1, 0)
    streams: bool = False
    stills: bool = False


class Codec(Protocol):
    """Video to latents and back. Pixels are floats in [0, 1], (b, t, 3, h, w)."""

    @property
    def spec(self) -> CodecSpec: ...

    def encode(self, video: Tensor) -> Tensor:
        """(b, t, 3, h, w) -> (b, s, channels, h/down, w/down); t + lead a multiple of stride."""

    def decode(self, latents: Tensor) -> Tensor:
        """(b, s, ...) -> (b, s*stride - lead, 3, h, w); frames within `context` of an inner end are not final."""


@runtime_checkable
class InnerCodec(Protocol):
    """A codec that can leave out frames for which it has latents only as context."""

    def decode_inner(self, latents: Tensor, before: int, after: int) -> Tensor:
        """(b, s, ...) -> the frames that `decode` makes of latents `before` to `s - after`, and no others."""


class CodecStream(Protocol):
    """A take's decoding under way; holds what later frames need of earlier latents."""

    def push(self, latents: Tensor, last: bool) -> Tensor:
        """The next latents (b, s, ...) -> the next final frames (b, t, 3, h, w), t perhaps 0; last: no more come."""


@runtime_checkable
class StreamingCodec(Protocol):
    """A codec whose frames depend on all earlier latents of their take (`CodecSpec.streams`)."""

    def stream(self, length: int | None) -> CodecStream:
        """A new stream for a take of `length` latent frames (None: endless)."""
