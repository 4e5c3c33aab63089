"""Kernels for main memory that PyTorch has and does not choose, equal up to rounding to those that it chooses.

Two things take most of a small video decoder's time there. `torch.nn.functional.normalize` over channels goes
number by number. And of an input with few numbers (batch, channels, frames and rows beyond 20,480
together), as pieces of a film are, a convolution over time is laid out as a matrix of all its windows, though oneDNN
does without. Large networks gain by the first alone, and less: theirs is mostly in convolutions that PyTorch chooses well.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_LEAST = 1e-12  # as `normalize` has it
_LOCK = threading.Lock()
_USED: dict[
    int, tuple[int, contextlib.ExitStack]
] = {}  # by net: how many use it so, and what undoes it


@contextlib.contextmanager
def quick(net: Any) -> Iterator[None]:
    """While it lasts, Wan's norms and all convolutions over time in `net` are quick; without gradients only.

    Films that decode at once, on several threads, share it: the first to come makes it so, and the last to go undoes it.
    """
    with _LOCK:
        users, stack = _USED.get(id(net)) or (0, _made_quick(net))
        _USED[id(net)] = (users + 1, stack)
    try:
        yield
    finally:
        with _LOCK:
            users, stack = _USED.pop(id(net))
            if users > 1:
                _USED[id(net)] = (users - 1, stack)
            else:
                stack.close()


def _made_quick(net: Any) -> contextlib.ExitStack:
    """What undoes it, closed."""
    stack = contextlib.ExitStack()
    for one in net.modules():
        if type(one).__name__ == "WanRMS_norm" and one.channel_first:
            way = functools.partial(_normed, one, one.forward)
            stack.enter_context(replaced(one, "forward", way))
        elif isinstance(one, nn.Conv3d) and _gains(one):
            way = functools.partial(_convolved, one, one._conv_forward)
            stack.enter_context(replaced(one, "_conv_forward", way))
    return stack


@contextlib.contextmanager
def replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    """While it lasts, a module's attribute is another; then what it was, also where a hook had put it."""
    mine = vars(module)
    had, before = name in mine, mine.get(name)
    mine[name] = value
    try:
        yield
    finally:
        if had:
            mine[name] = before
        else:
            del mine[name]


def _plain(x: Tensor) -> bool:
    """Whether these kernels are for it."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() > 0


def _normed(norm: Any, own: Any, x: Tensor) -> Tensor:
    if not _plain(x):
        made: Tensor = own(x)
        return made
    length = x.square().sum(dim=1, keepdim=True).sqrt_().clamp_min_(_LEAST)
    return x.div(length).mul_(norm.scale).mul_(norm.gamma).add_(norm.bias)


def _gains(conv: nn.Conv3d) -> bool:
    there = torch.backends.mkldnn.is_available()
    return there and conv.padding_mode == "zeros" and max(conv.kernel_size) > 1


def _convolved(conv: nn.Conv3d, own: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if not _plain(x) or isinstance(conv.padding, str):
        made: Tensor = own(x, weight, bias)
        return made
    how = (conv.padding, conv.stride, conv.dilation, conv.groups)
    return torch.mkldnn_convolution(x, weight, bias, *how)
