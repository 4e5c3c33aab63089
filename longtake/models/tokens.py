"""The token family: frames as codes, one after another, given the codes of what is observed.

Observed frames are a prefix in order of time that sees all of itself; targets follow, also in order
of time, each frame in raster order (a prefix language model, Raffel et al. 2020, section 3.2.3;
TATS, Ge et al. 2022; VideoPoet, Kondratyuk et al. 2024). Every position names the place it asks
about, so frames may lie anywhere: before, between or after what is observed.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest, ClipSpec
from longtake.errors import FitError
from longtake.models.picking import Picking, pick, uniform
from longtake.models.sheets import Sheet, clips, joined, sheet
from longtake.nets.gpt import GPT, Decoder
from longtake.nets.tokens import Memory, prefix_causal

ROOM = 1 << 28  # bytes of keys and values that a model keeps of prefixes


class TokenModel:
    """A GPT that answers clip requests; see `ClipModel` and `Trainable`."""

    def __init__(self, net: GPT, spec: ClipSpec, picking: Picking | None = None) -> None:
        if spec.codes != net.shape.codes:
            raise FitError(f"codes={spec.codes}", "TokenModel", f"codes={net.shape.codes}")
        self.net, self.spec, self.picking = net, spec, picking or Picking()
        self._prefixes = Prefixes(net)

    def sample(self, request: ClipRequest) -> Clip:
        """A clip of codes at `request.targets`."""
        return self.sample_batch([request])[0]

    @torch.no_grad()
    def sample_batch(self, requests: Sequence[ClipRequest]) -> list[Clip]:
        """Requests of equal numbers of targets and observed frames, as one batch."""
        self.net.eval()
        device = next(self.net.parameters()).device
        whole = joined([sheet(request, self.spec) for request in requests])
        chance = torch.cat(
            [r.noise.clip(r.samples, sorted(r.targets), r.frame[1:]).flatten(1) for r in requests]
        )
        told = [whole.text]
        if self.picking.guidance != 1 and whole.text is not None:
            told.append(torch.zeros_like(whole.text))
        sheets = [dataclasses.replace(whole, text=text) for text in told]
        readers = [self.reader(one, device) for one in sheets]
        token = torch.full((len(chance), 1), self.net.begin)
        found = []
        for n in range(chance.shape[1]):
            logits = [reader.next(token) for reader in readers]
            mixed = logits[-1] + self.picking.guidance * (logits[0] - logits[-1])
            chances = self.picking.chances(mixed if len(logits) > 1 else logits[0])
            token = pick(chances, uniform(chance[:, n]))[:, None]
            found.append(token)
        return clips(torch.cat(found, 1), requests)

    def reader(self, whole: Sheet, device: torch.device) -> Reader:
        """The net at the beginning of a sheet's targets."""
        return Reader(self.net, whole, device, self._prefixes)

    def losses(self, request: ClipRequest, truth: Clip) -> Mapping[str, Tensor]:
        """Cross-entropy of the targets' codes, in nats a token."""
        return {"tokens": -self.log_chances(request, truth).mean(1)}

    def log_chances(self, request: ClipRequest, truth: Clip) -> Tensor:
        """log p(token | tokens before it, observed), (b, n) of the targets in order; they sum to the clip's."""
        return log_chances(self.net, sheet(request, self.spec, truth))


def log_chances(net: GPT, whole: Sheet) -> Tensor:
    """log p(token | tokens before it, the prefix) of a sheet's targets, (b, n)."""
    device = next(net.parameters()).device
    codes = whole.codes[:, whole.prefix :].to(device)
    begin = torch.full_like(codes[:, :1], net.begin)
    logits = Reader(net, whole, device).all(torch.cat([begin, codes[:, :-1]], 1))
    return logits.log_softmax(-1).gather(-1, codes[..., None])[..., 0]


class Prefixes:
    """What a net kept of the prefixes it read lately, by everything that shaped it.

    Other takes of a step, or the same one rolled again, observe the same frames: these are read once.
    """

    def __init__(self, net: GPT, room: int = ROOM) -> None:
        self.net, self.room, self.found = net, room, 0
        self._kept: OrderedDict[str, Memory] = OrderedDict()

    def read(self, whole: Sheet, device: torch.device) -> Memory:
        """Keys and values of a sheet's prefix; read anew if not kept."""
        parts = [whole.codes[:, : whole.prefix], whole.places[:, : whole.prefix]]
        parts += [] if whole.text is None else [whole.text[:, : whole.prefix]]
        mark = self._mark(parts)
        memory = self._kept.pop(mark, None)
        self.found += memory is not None
        if memory is None:
            memory = self.net.memory()
            codes, places, *text = (part.to(device) for part in parts)
            seen = torch.ones(whole.prefix, whole.prefix, dtype=torch.bool, device=device)
            self.net(codes, places, places, text[0] if text else None, seen, memory)
        self._kept[mark] = memory
        while len(self._kept) > 1 and sum(kept.size for kept in self._kept.values()) > self.room:
            self._kept.popitem(last=False)
        return memory

    def _mark(self, parts: Sequence[Tensor]) -> str:
        """Of the prefix, and of the state the weights are in, for a net may be in training."""
        told = hashlib.sha256()
        for weight in self.net.parameters():
            told.update(f"{weight.data_ptr()} {weight._version} ".encode())
        for part in parts:
            told.update(f"{part.dtype} {tuple(part.shape)} ".encode())
            told.update(part.contiguous().cpu().numpy())
        return told.hexdigest()


class Reader:
    """A GPT at its place in a sheet: the prefix read first, then one token at a time."""

    def __init__(
        self, net: GPT, whole: Sheet, device: torch.device, prefixes: Prefixes | None = None
    ) -> None:
        self.net, self.prefix, self._prefixes = net, whole.prefix, prefixes
        self._sheet, self._device = whole, device
        self._known = whole.codes[:, : whole.prefix].to(device)
        self._asked = whole.places.to(device)
        # The token before the first target is the beginning's, held at that target's own place.
        shifted = [whole.places[:, : whole.prefix + 1], whole.places[:, whole.prefix : -1]]
        self._held = torch.cat(shifted, 1).to(device)
        self._text = None if whole.text is None else whole.text.to(device)
        self._decoder: Decoder | None = None

    def all(self, tokens: Tensor) -> Tensor:
        """Logits (b, n, codes) for every target, given all tokens (b, n) before them; no cache."""
        stop = self.prefix + tokens.shape[1]
        mask = prefix_causal(self.prefix, tokens.shape[1]).to(tokens.device)
        codes = torch.cat([self._known, tokens], 1)
        logits = self.net(
            codes, self._held[:, :stop], self._asked[:, :stop], self._row(0, stop), mask
        )
        return logits[:, self.prefix :]

    def next(self, token: Tensor) -> Tensor:
        """Logits (b, codes) of the next target, given one more token (b, 1)."""
        if self._decoder is None:
            prefixes = self._prefixes or Prefixes(self.net)
            read = self.prefix > 0
            memory = prefixes.read(self._sheet, self._device) if read else self.net.memory()
            places = self._held, self._asked
            self._decoder = Decoder(self.net, memory, *places, self._text)
        logits = self._decoder.next(token[:, 0].to(self._device))
        return logits.cpu()

    def _row(self, start: int, stop: int) -> Tensor | None:
        return None if self._text is None else self._text[:, start:stop]
