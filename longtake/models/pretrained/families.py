"""What differs between diffusers' video pipelines, one row a class. No torch here.

A row says what a call can observe, how its observed frames are handed over (`shows`), how its noise
is (`starts`), and what its latents look like inside the pipeline (`layout`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from longtake.errors import InputError, nearest


@dataclasses.dataclass(frozen=True)
class Family:
    """A pipeline class. frames, size, fps: of the clip it was made for.

    observes: as in `ClipSpec`. shows: "nothing", "image", "ends", "masked" (VACE), "conditions" (LTX),
    "places" (LTX-2), "prefix" (diffusion forcing), "levels" (clean, by a LoRA), "history" (Helios) or "sections"
    (FramePack). layout: "c s" or "s c" (channels and latent frames, in that order),
    or "packed" (tokens). net: the component that denoises; reads: the one that what a text encoder said
    goes to, "" for the same; text: the key of its text width.
    guidance: the argument that says how strong. halves: the key of a list, one longer than the network
    halves the picture and has to halve it evenly. levels: how its network takes a noise level for every
    frame: "tokens" or "frames"; "" where it takes one for all.
    """

    observes: str
    frames: int
    size: tuple[int, int]
    fps: float
    shows: str = "nothing"
    begins: bool = True
    layout: str = "c s"
    net: str = "transformer"
    reads: str = ""
    text: str = "text_dim"
    guidance: str = "guidance_scale"
    halves: str = ""
    sibling: str = ""
    chunk: int = (
        0  # latent frames that it makes together; of "history" they are one index of the film
    )
    history: int = 0  # latent frames before a chunk that it observes
    windows: bool = False  # its network takes a part of a clip as it takes a clip
    levels: str = ""
    least: int = 1  # sampling steps
    pictures: bool = False  # frames are apart: no autoencoder in time


_WAN_MORE = "Wan first-last (WanImageToVideoPipeline of FLF2V) or Wan VACE, which observe more"
_WAN = Family("none", 81, (832, 480), 16.0, sibling=_WAN_MORE, windows=True, levels="tokens")
_LTX = Family(
    "none", 161, (704, 512), 25.0, layout="packed", text="caption_channels", levels="tokens"
)
_LTX2 = Family(
    "none", 121, (768, 512), 24.0, layout="packed", reads="connectors", text="caption_channels"
)
_LTX2_MORE = "LTX2ConditionPipeline, which observes any frames"
_COG = Family("none", 49, (720, 480), 8.0, layout="s c", text="text_embed_dim")
_SKY = Family("none", 97, (960, 544), 24.0, windows=True, levels="frames")
_HUNYUAN = Family("none", 129, (1280, 720), 24.0, text="text_embed_dim")
_COG_MORE = "LTXConditionPipeline or WanVACEPipeline, which observe any frames"

FAMILIES: Mapping[str, Family] = {
    "WanPipeline": _WAN,
    "WanImageToVideoPipeline": dataclasses.replace(
        _WAN, observes="first", shows="image", begins=False
    ),
    "WanVACEPipeline": dataclasses.replace(_WAN, observes="any", shows="masked", sibling=""),
    "LTXPipeline": dataclasses.replace(
        _LTX, sibling="LTXConditionPipeline, which observes any frames"
    ),
    "LTXImageToVideoPipeline": dataclasses.replace(
        _LTX,
        observes="first",
        shows="image",
        begins=False,
        sibling="LTXConditionPipeline, which observes any frames",
    ),
    "LTXConditionPipeline": dataclasses.replace(_LTX, observes="any", shows="conditions"),
    "LTX2Pipeline": dataclasses.replace(_LTX2, sibling=_LTX2_MORE),
    "LTX2ImageToVideoPipeline": dataclasses.replace(
        _LTX2, observes="first", shows="image", begins=False, sibling=_LTX2_MORE
    ),
    "LTX2ConditionPipeline": dataclasses.replace(_LTX2, observes="any", shows="places"),
    "CogVideoXPipeline": dataclasses.replace(
        _COG, sibling="CogVideoXImageToVideoPipeline, which observes the first frame"
    ),
    "CogVideoXImageToVideoPipeline": dataclasses.replace(
        _COG, observes="first", shows="image", begins=False, sibling=_COG_MORE
    ),
    "SkyReelsV2Pipeline": dataclasses.replace(
        _SKY, sibling="SkyReelsV2DiffusionForcingPipeline, which observes the past"
    ),
    "SkyReelsV2ImageToVideoPipeline": dataclasses.replace(
        _SKY,
        observes="first",
        shows="image",
        begins=False,
        sibling="SkyReelsV2DiffusionForcingPipeline, which observes the past",
    ),
    "SkyReelsV2DiffusionForcingPipeline": dataclasses.replace(
        _SKY, observes="past", shows="prefix", sibling=_COG_MORE
    ),
    "HunyuanVideoPipeline": dataclasses.replace(
        _HUNYUAN, sibling="HunyuanVideoImageToVideoPipeline, which observes the first frame"
    ),
    "HunyuanVideoImageToVideoPipeline": dataclasses.replace(
        _HUNYUAN, observes="first", shows="image", begins=False, sibling=_COG_MORE
    ),
    "MochiPipeline": Family(
        "none", 163, (848, 480), 30.0, text="text_embed_dim", sibling=_COG_MORE, least=2
    ),
    "StableVideoDiffusionPipeline": Family(
        "first",
        25,
        (1024, 576),
        7.0,
        shows="image",
        begins=False,
        layout="s c",
        net="unet",
        guidance="max_guidance_scale",
        halves="block_out_channels",
        sibling=_COG_MORE,
        pictures=True,
    ),
    "HeliosPipeline": Family(
        "past", 33, (640, 384), 24.0, shows="history", sibling=_COG_MORE, chunk=9, history=19
    ),
    "HunyuanVideoFramepackPipeline": dataclasses.replace(
        _HUNYUAN,
        observes="past",
        frames=33,
        fps=30.0,
        shows="sections",
        begins=False,
        sibling=_COG_MORE,
        chunk=9,
        history=19,
    ),
    "AnimateDiffPipeline": Family(
        "none",
        16,
        (512, 512),
        8.0,
        net="unet",
        text="cross_attention_dim",
        sibling=_COG_MORE,
        pictures=True,
    ),
}


def refined(kind: str, configs: Mapping[str, Mapping[str, Any]]) -> Family:
    """The row of a class, as its components' configurations refine it."""
    if kind not in FAMILIES:
        what = f"pipelines of class {kind} are not known"
        raise InputError(what, "--model", nearest(kind, FAMILIES))
    family = FAMILIES[kind]
    net = configs.get(family.net) or configs.get("transformer_2") or {}
    # Wan's first-last model embeds two pictures, and says so in this one place
    if kind == "WanImageToVideoPipeline" and net.get("pos_embed_seq_len"):
        sibling = "WanVACEPipeline, which observes any frames"
        family = dataclasses.replace(family, observes="ends", shows="ends", sibling=sibling)
    if kind == "StableVideoDiffusionPipeline":
        family = dataclasses.replace(family, frames=int(net.get("num_frames", family.frames)))
    return family


# whose networks take a level for every frame, and may be taught to observe any; see `observing`
OBSERVING = ("WanPipeline", "SkyReelsV2Pipeline", "LTXPipeline")


def taught(kind: str, family: Family) -> Family:
    """The row of a class whose network observes any frames, by a LoRA; InputError where it cannot."""
    if kind not in OBSERVING:
        what = f"a LoRA that observes any frames, on {kind}"
        raise InputError(what, "--set lora", ", ".join(OBSERVING))
    return dataclasses.replace(family, observes="any", shows="levels", sibling="")


def context_of(size: int) -> int:
    """Of a window of `size` latent frames in a queue, those that only show what is before the others."""
    return size - max(1, size // 2)
