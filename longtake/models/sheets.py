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
    _, h, w = request.frame
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
    first = min(at)
    time = torch.tensor([index - first for index in at])
    grid = torch.cartesian_prod(time, torch.arange(h), torch.arange(w)).float()
    text = request.controls.at(at).get("text")
    if text is not None:
        text = text.float().repeat_interleave(h * w, 0).expand(b, -1, -1)
    return Sheet(codes, grid.expand(b, -1, -1), text, (len(at) - len(targets)) * h * w)


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
