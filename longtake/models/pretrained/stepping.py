"""Step caching: sampling steps that reuse what earlier ones computed, as diffusers offers it. No torch here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from longtake.errors import InputError, nearest

# the name of its configuration in diffusers; whether it counts the calls of a step
CACHES: Mapping[str, tuple[str, bool]] = {
    "first-block": ("FirstBlockCacheConfig", False),
    "taylorseer": ("TaylorSeerCacheConfig", False),
    "pab": ("PyramidAttentionBroadcastConfig", True),
    "faster": ("FasterCacheConfig", True),
}
# what a configuration needs and has no default for: every other step attends anew
_ASKED: Mapping[str, Mapping[str, Any]] = {"pab": {"spatial_attention_block_skip_range": 2}}
# pipelines that predict with words and without in one call of their network; of the others' two calls a
# step, the second would be given what the first computed for other words
TOGETHER = ("CogVideoXPipeline", "CogVideoXImageToVideoPipeline", "MochiPipeline")
TOGETHER += ("LTXPipeline", "LTXImageToVideoPipeline", "LTXConditionPipeline")
_FRAMES_FIRST = TOGETHER[:2]  # (b, s, c, h, w)
_TOKENS = TOGETHER[3:]  # (b, n, c), of which FasterCache can make no spectrum


@dataclasses.dataclass(frozen=True)
class Caching:
    """A way of caching, and arguments of its configuration."""

    name: str = "none"
    told: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Caching:
        """`none`, or NAME[:ARGUMENT=VALUE,...] with values as JSON has them; InputError for others."""
        name, _, rest = text.partition(":")
        if name not in ("none", *CACHES):
            what = f"unknown cache '{name}'"
            raise InputError(what, "--set cache", nearest(name, ("none", *CACHES)))
        told = {}
        for part in filter(None, rest.split(",")):
            key, _, value = part.partition("=")
            try:
                told[key.strip()] = json.loads(value)
            except ValueError:
                what = f"'{part}' is no argument of cache={name}"
                raise InputError(what, "--set cache", f"{name}:threshold=0.1") from None
        return cls(name, told)

    def put_on(self, pipe: Any) -> None:
        """Has the pipeline's networks cache so; InputError for a pipeline or an argument that cannot be."""
        if self.name == "none":
            return
        import diffusers

        kind, counts = CACHES[self.name]
        made, family = getattr(diffusers, kind), type(pipe).__name__
        if counts and family not in TOGETHER:
            what = f"{family} calls its network twice a step, which cache={self.name} would mix up"
            raise InputError(what, "--set cache", "first-block or taylorseer")
        if self.name == "faster" and family in _TOKENS:
            what = f"{family} holds tokens, of which cache=faster can make no spectrum"
            raise InputError(what, "--set cache", "pab, first-block or taylorseer")
        known = [field.name for field in dataclasses.fields(made)]
        for key in self.told:
            if key not in known:
                what = f"cache={self.name} has no argument '{key}'"
                raise InputError(what, "--set cache", nearest(key, known))
        told = {**_ASKED.get(self.name, {}), **self.told}
        if counts:
            told["current_timestep_callback"] = lambda: pipe.current_timestep
        if self.name == "faster" and family in _FRAMES_FIRST:
            told.setdefault("tensor_format", "BFCHW")
        for name in ("transformer", "transformer_2", "unet"):
            net = getattr(pipe, name, None)
            if net is not None:
                net.enable_cache(made(**told))
