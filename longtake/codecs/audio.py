"""Sound as tokens: waveforms to a few whole numbers a step, causally, and back; for any length in bounded memory.

After SoundStream (Zeghidour et al. 2021), which VideoPoet reads sound with (Kondratyuk et al. 2024).
Losses are of the wave and of its spectrum; SoundStream's critics are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from longtake.errors import FitError
from longtake.nets.sound import Past, SoundVQ, spectra

CHUNK = 16  # steps that are computed together


@dataclasses.dataclass(frozen=True)
class SoundSpec:
    """What a codec's tokens look like: (b, s, depth) whole numbers below `codes`, one step for `stride` samples.

    rate: samples a second. tracks: of the waveforms (b, tracks, n), floats in [-1, 1]. fingerprint: of
    the weights.
    """

    rate: int
    tracks: int
    stride: int
    depth: int
    codes: int
    fingerprint: str

    @property
    def interval(self) -> float:
        """Seconds between steps."""
        return self.stride / self.rate


class SoundCodec:
    """Waveforms to tokens and back.

    A step knows its own samples and those before them, so tokens of a beginning are the same to the
    bit whatever follows; a filter's rounding depends on how much it is given, and chunks are equal.
    """

    def __init__(self, net: SoundVQ, rate: int, fingerprint: str) -> None:
        self.net, shape, quantiser = net.eval(), net.shape, net.quantiser
        self.spec = SoundSpec(
            rate, shape.tracks, shape.stride, quantiser.depth, quantiser.size, fingerprint
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.net.parameters()).device

    def encode(self, wave: Tensor) -> Tensor:
        """(b, tracks, n) -> (b, ceil(n / stride), depth); silence after the end."""
        return self.encoding().push(wave, last=True)

    def decode(self, codes: Tensor) -> Tensor:
        """(b, s, depth or fewer) -> (b, tracks, s * stride) in [-1, 1]."""
        return self.decoding().push(codes, last=True)

    def encoding(self) -> Encoding:
        """A stream that takes waveforms of any lengths and gives tokens."""
        return Encoding(self)

    def decoding(self) -> Decoding:
        """A stream that takes tokens and gives waveforms."""
        return Decoding(self)


class Stream:
    """A sound on its way through half a codec, in equal chunks; holds less than one and what filters saw last.

    into, out: the dimensions of time. grain, makes: how many places a step takes up in each.
    """

    into, out = 1, 1
    grain, makes = 1, 1

    def __init__(self, codec: SoundCodec) -> None:
        self.codec, self._past = codec, Past()
        self._rest: Tensor | None = None

    def made(self, part: Tensor) -> Tensor:
        """Of a chunk, given the past; of nothing, nothing."""
        raise NotImplementedError

    @property
    def held(self) -> int:
        """Bytes kept between calls."""
        kept = [*self._past.values(), *([] if self._rest is None else [self._rest])]
        return sum(part.numel() * part.element_size() for part in kept)

    @torch.no_grad()
    def push(self, more: Tensor, last: bool = False) -> Tensor:
        """The next part, of any length -> what is final by it; last: the end is filled up with zeros."""
        rest = more if self._rest is None else torch.cat([self._rest, more], self.into)
        chunk, found = CHUNK * self.grain, []
        whole = rest.shape[self.into] // chunk * chunk
        for part in rest.narrow(self.into, 0, whole).split(chunk, self.into):
            found.append(self.made(part))
        rest = rest.narrow(self.into, whole, rest.shape[self.into] - whole)
        if last and (count := rest.shape[self.into]):
            shape = list(rest.shape)
            shape[self.into] = chunk - count
            end = self.made(torch.cat([rest, rest.new_zeros(shape)], self.into))
            found.append(end.narrow(self.out, 0, -(-count // self.grain) * self.makes))
            rest = rest.narrow(self.into, 0, 0)
        self._rest = rest.clone()  # not a view of all that was given
        return torch.cat(found, self.out)


class Encoding(Stream):
    """Waveforms (b, tracks, n) -> tokens (b, s, depth)."""

    into = 2

    def __init__(self, codec: SoundCodec) -> None:
        super().__init__(codec)
        self.grain = codec.spec.stride

    def made(self, part: Tensor) -> Tensor:
        spec = self.codec.spec
        if part.shape[1] != spec.tracks:
            raise FitError(f"{part.shape[1]} tracks", "SoundCodec", str(spec.tracks))
        if not part.shape[2]:
            return torch.zeros(len(part), 0, spec.depth, dtype=torch.long, device=self.codec.device)
        return self.codec.net.codes(part.to(self.codec.device), self._past)


class Decoding(Stream):
    """Tokens (b, s, depth or fewer) -> waveforms (b, tracks, n)."""

    out = 2

    def __init__(self, codec: SoundCodec) -> None:
        super().__init__(codec)
        self.makes = codec.spec.stride

    def made(self, part: Tensor) -> Tensor:
        spec = self.codec.spec
        if not part.shape[1]:
            return torch.zeros(len(part), spec.tracks, 0, device=self.codec.device)
        if not 0 <= int(part.min()) <= int(part.max()) < spec.codes:
            raise FitError("a code beyond the codebook", "SoundCodec", f"0 to {spec.codes - 1}")
        return self.codec.net.made(part.to(self.codec.device), self._past).clamp(-1, 1)


class SoundTraining:
    """Losses of a quantised autoencoder on waveforms (b, tracks, n) in [-1, 1], n a multiple of its stride.

    Of the wave, mean absolute error; of spectra in windows of `sizes` samples, magnitudes and their
    logarithms (SoundStream, equation 5, of plain bins, not mel bands); and the quantiser's.
    """

    def __init__(self, net: SoundVQ, sizes: tuple[int, ...] = (64, 256, 1024)) -> None:
        self.net, self.sizes = net, sizes

    def __call__(self, wave: Tensor) -> Mapping[str, Tensor]:
        """Named losses; their sum is the objective."""
        made, found = self.net(wave)
        losses = {"wave": 10 * F.l1_loss(made.float(), wave)}
        far = [
            F.l1_loss(a, b) + 0.1 * F.mse_loss((a + 1e-3).log(), (b + 1e-3).log())
            for a, b in zip(spectra(made, self.sizes), spectra(wave, self.sizes), strict=True)
        ]
        losses["spectrum"] = torch.stack(far).mean()
        return losses | dict(found.losses)
