"""Tokens in frames that each begin anew, for nets that know pictures: `DualGPT` answers clip requests.

Every frame is read as a net of pictures reads it: a beginning, then its tokens, of which the last
asks for nothing and is there for later frames to see. Observed frames come first and see all of each
other; targets follow in order of time (CogVideo, Hong et al. 2023).
"""

from __future__ import annotations

import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest, ClipSpec
from longtake.models.picking import Picking
from longtake.models.sheets import Sheet, sheet
from longtake.models.tokens import TokenModel
from longtake.nets.dual import DualGPT
from longtake.nets.tokens import causal


class FramedTokenModel(TokenModel):
    """A `DualGPT` as a clip model; samples and learns as `TokenModel` does."""

    net: DualGPT  # type: ignore[assignment]

    def __init__(self, net: DualGPT, spec: ClipSpec, picking: Picking | None = None) -> None:
        super().__init__(net, spec, picking)  # type: ignore[arg-type]

    def reader(self, whole: Sheet, device: torch.device) -> FrameReader:  # type: ignore[override]
        return FrameReader(self.net, whole, device)

    def log_chances(self, request: ClipRequest, truth: Clip) -> Tensor:
        """As `TokenModel.log_chances`."""
        whole = sheet(request, self.spec, truth)
        device = next(self.net.parameters()).device
        codes = whole.codes[:, whole.prefix :].to(device)
        logits = FrameReader(self.net, whole, device).all(codes)
        return logits.log_softmax(-1).gather(-1, codes[..., None])[..., 0]


class FrameReader:
    """A net at its place in a sheet laid out in frames: what is observed first, then one token at a time."""

    def __init__(self, net: DualGPT, whole: Sheet, device: torch.device) -> None:
        self.net, times = net, whole.places[0, :, 0]
        self.size = size = int((times == times[0]).sum())  # tokens in a frame
        places = whole.places.to(device).unflatten(1, (-1, size))
        self.known = whole.codes[:, : whole.prefix].to(device)
        self._held = torch.cat([places[:, :, :1], places], 2).flatten(1, 2)
        self._asked = torch.cat([places, places[:, :, -1:]], 2).flatten(1, 2)
        self._text = None
        if whole.text is not None:
            text = whole.text.to(device).unflatten(1, (-1, size))
            self._text = torch.cat([text, text[:, :, -1:]], 2).flatten(1, 2)
        count, first = self._held.shape[1], whole.prefix // size * (size + 1)
        frame = torch.arange(count, device=device) // (size + 1)
        past = causal(count).to(device)
        self._own = past & (frame[:, None] == frame)
        self._seen = past.clone()
        self._seen[:first, :first] = True
        self._memory, self._read = net.memory(), 0

    def all(self, codes: Tensor) -> Tensor:
        """Logits (b, n, codes) for every target, given all of them (b, n); no cache."""
        rows = self._begun(torch.cat([self.known, codes], 1))
        text = self._text
        logits = self.net(rows, self._held, self._asked, self._own, self._seen, text)
        frames = logits.unflatten(1, (-1, self.size + 1))[:, :, : self.size]
        return frames.flatten(1, 2)[:, self.known.shape[1] :]

    def next(self, token: Tensor) -> Tensor:
        """Logits (b, codes) of the next target, given the one before it (b, 1)."""
        token = token.to(self._held.device)
        begin = torch.full_like(token, self.net.begin)
        first = self._read == 0
        if first and self.known.shape[1]:
            self._feed(self._begun(self.known))
        if first:
            row = begin
        elif (self._read + 1) % (self.size + 1) == 0:  # a frame is over
            row = torch.cat([token, begin], 1)
        else:
            row = token
        return self._feed(row)[:, -1].cpu()

    def _begun(self, codes: Tensor) -> Tensor:
        """Whole frames (b, n), each with its beginning."""
        frames = codes.unflatten(1, (-1, self.size))
        begin = torch.full_like(frames[:, :, :1], self.net.begin)
        return torch.cat([begin, frames], 2).flatten(1, 2)

    def _feed(self, codes: Tensor) -> Tensor:
        here, stop = self._read, self._read + codes.shape[1]
        self._read = stop
        text = None if self._text is None else self._text[:, here:stop]
        masks = self._own[here:stop, :stop], self._seen[here:stop, :stop]
        places = self._held[:, here:stop], self._asked[:, here:stop]
        logits: Tensor = self.net(codes, *places, *masks, text, self._memory)
        return logits
