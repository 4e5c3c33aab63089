"""What a pipeline is made to keep or to say again of its encoders, call after call."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

PROMPTS = 8  # encoded prompts that are kept

# what says the same if it reads the same
_TOLD = (str, int, float, dict, list, tuple, torch.device, torch.dtype, type(None))


def keep_prompts(pipe: Any) -> None:
    """Has the pipeline keep what its text encoder said: films ask the same words again and again."""
    encode = getattr(pipe, "encode_prompt", None)
    if encode is None or hasattr(encode, "kept"):
        return
    kept: OrderedDict[str, Any] = OrderedDict()

    def remembering(*args: Any, **kwargs: Any) -> Any:
        if not all(isinstance(value, _TOLD) for value in (*args, *kwargs.values())):
            return encode(*args, **kwargs)
        key = repr((args, sorted(kwargs.items())))
        if key not in kept:
            kept[key] = encode(*args, **kwargs)
            while len(kept) > PROMPTS:
                kept.popitem(last=False)
        kept.move_to_end(key)
        return kept[key]

    remembering.kept = kept  # type: ignore[attr-defined]
    pipe.encode_prompt = remembering


def embed_twice(pipe: Any) -> None:
    """Has a first-last pipeline that is shown one picture only embed it as both; it takes no fewer."""
    encode = pipe.encode_image
    if not hasattr(encode, "twice"):

        def both(image: Any, device: Any = None) -> Any:
            return encode(image if isinstance(image, list) else [image, image], device)

        both.twice = True  # type: ignore[attr-defined]
        pipe.encode_image = both
