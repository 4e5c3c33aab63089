"""LoRAs that a prompt weighs itself: `a calm sea <lora:storm:0.6>`. No torch here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from longtake.errors import InputError, nearest

_TAG = re.compile(r"<lora:([^<>:]*)(?::([^<>]*))?>")


def adapter(name: str) -> str:
    """A LoRA's name as peft takes it: names of modules have no dots."""
    return name.replace(".", "_")


def weighed(prompt: str, film: Mapping[str, float]) -> tuple[str, dict[str, float]]:
    """A prompt without its tags, and the weight of every LoRA while it is heard.

    film: weights of the LoRAs there are, by name, where no tag says otherwise; a tag without a
    weight says 1. InputError for a tag that names none of them.
    """
    weights = dict(film)
    for name, text in _TAG.findall(prompt):
        if name not in film:
            what = f"the prompt weighs a LoRA '{name}' that is not there"
            near = nearest(name, film) if film else f"--set lora={name}.safetensors=0"
            raise InputError(what, "prompt", near)
        try:
            weights[name] = float(text or 1)
        except ValueError:
            weights[name] = math.nan
        if not math.isfinite(weights[name]):
            raise InputError(f"a LoRA's weight '{text}'", "prompt", f"<lora:{name}:0.8>")
    bare = " ".join(_TAG.sub(" ", prompt).split()) if _TAG.search(prompt) else prompt
    return bare, weights
