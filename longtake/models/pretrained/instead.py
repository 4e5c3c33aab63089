"""Something else in the place of an object's method, for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def instead(owner: Any, name: str, method: Callable[..., Any]) -> Iterator[None]:
    """While it lasts, `owner.name` is `method`; afterwards what it was, also where these are nested."""
    before = vars(owner).get(name)
    setattr(owner, name, method)
    try:
        yield
    finally:
        if before is None:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
