"""Requests as sheets of tokens: codes and their places, observed frames first. Shared by token and mask models."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from longtake.clip import Clip, ClipRequest, ClipSpec
from longtake.errors import FitError


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A request's tokens, observed frames first, then targets, each in order of time.

    codes (b, n), zero where targets are unknown; places (b, n, 3) of time, row, column, in indices
    and rows since the earliest frame; text (b, n, d); prefix: how many tokens are observed.
    """

    codes: Tensor
    places: Tensor
    text: Tensor | None
    prefix: int


def sheet(request: ClipRequest, spec: ClipSpec, truth: Clip | None = None) -> Sheet:
    """A request as tokens; FitError where it is too long, or its frames are not codes."""
    where = "request"
    if len(request.at) > spec.window:
        raise FitError(f"{len(request.at)} frames in a call", where, str(spec.window))
    if request.frame[0] != 1:
        raise FitError(f"{request.frame[0]} codes a place", where, "one")
    targets = tuple(sorted(request.targets))
    b, rows = len(request.samples), []
    seen = request.observed
    at = (*(sorted(seen.at) if seen is not None else ()), *targets)
    if seen is not None:
        rows.append(seen.pick(sorted(seen.at)).frames)
    if truth is not None:
        rows.append(truth.pick(targets).frames)
    else:
        rows.append(torch.zeros(b, len(targets), *request.frame, dtype=torch.long))
    codes = torch.cat([row.long().flatten(1) for row in rows], 1)
    if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < spec.codes:
        bad = codes[(codes < 0) | (codes >= spec.codes)][0]
        raise FitError(f"code {bad}", where, f"0 to {spec.codes - 1}")
    text = request.controls.at(at).get("text")
    text = None if text is None else text.expand(b, *text.shape)
    frames = codes.unflatten(1, (len(at), *request.frame))
    return laid(frames, torch.tensor(at).expand(b, -1), len(at) - len(targets), text)


def laid(frames: Tensor, at: Tensor, observed: int, text: Tensor | None = None) -> Sheet:
    """Codes (b, t, 1, h, w) of indices (b, t), of which the first ones are observed, as tokens.

    text: of every frame (b, t, d), or of every place (b, t, h, w, d).
    """
    b, t, _, h, w = frames.shape
    time = (at - at.amin(1, keepdim=True)).float()[:, :, None, None].expand(b, t, h * w, 1)
    grid = torch.cartesian_prod(torch.arange(h), torch.arange(w)).float().expand(b, t, -1, -1)
    if text is not None:
        text = text if text.ndim == 5 else text[:, :, None, None].expand(b, t, h, w, -1)
        text = text.float().flatten(1, 3)
    places = torch.cat([time, grid], -1).flatten(1, 2)
    return Sheet(frames.long().flatten(1), places, text, observed * h * w)


def joined(sheets: Sequence[Sheet]) -> Sheet:
    """Sheets of equal shape as one batch."""
    texts = [s.text for s in sheets if s.text is not None]
    return Sheet(
        torch.cat([s.codes for s in sheets]),
        torch.cat([s.places for s in sheets]),
        torch.cat(texts) if texts else None,
        sheets[0].prefix,
    )


def clips(codes: Tensor, requests: Sequence[ClipRequest]) -> list[Clip]:
    """Codes (b, n) of all requests' targets in order of time -> a clip each, in the order asked."""
    found = []
    rows = codes.split([len(request.samples) for request in requests])
    for row, request in zip(rows, requests, strict=True):
        frames = row.reshape(len(row), -1, *request.frame)
        found.append(Clip(frames, tuple(sorted(request.targets))).pick(request.targets))
    return found
