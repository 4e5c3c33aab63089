"""How observed frames reach a pipeline: its own condition, with kept latents where it would encode pixels.

A pipeline that conditions on pictures encodes them itself. Here it is given a grey picture instead, and
its autoencoder, asked to encode that, answers with the latents that an earlier call made: no frame goes
through pixels from call to call. A picture that the user gave goes in as it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from longtake.keys import fingerprint
from longtake.models.pretrained.instead import instead


@dataclasses.dataclass(frozen=True)
class Shown:
    """An observed frame at `place` of the call: film latent (b, c, 1, h, w), or the picture given there.

    picture: (1, 3, height, width) uint8.
    """

    place: int
    latent: Tensor
    picture: Tensor | None = None


@dataclasses.dataclass(frozen=True)
class Layout:
    """A call's size: latent frames, pixel frames, canvas in pixels."""

    latents: int
    frames: int
    stride: int
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Latents:
    """Of an autoencoder: frames and pixels in a latent's; outward: film latents (b, c, s, h, w) to its own."""

    stride: int
    down: int
    outward: Callable[[Any, Tensor], Tensor]


Fill = Mapping[int, Tensor]  # film latents by the latent frame of one encoding


@dataclasses.dataclass(frozen=True)
class Handing:
    """A pipeline's arguments, and what each of its encodings is to answer.

    key: names what is encoded beside the answers, where that is the same call after call; else "".
    """

    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fills: Sequence[Fill] = ()
    key: str = ""


@dataclasses.dataclass(frozen=True)
class Set:
    """Where observed frames are handed over: the call's layout, the pipeline, and the take's first picture."""

    layout: Layout
    pipe: Any
    anchor: Tensor | None

    def picture(self, one: Shown | None) -> Any:
        """The picture given at a place, or else the take's first one (grey without), as pipelines take it.

        A pipeline may embed the picture beside encoding it, as Wan does with CLIP: what the film began with
        then says what is in it.
        """
        pixels = self.anchor if one is None or one.picture is None else one.picture
        if pixels is None:
            found = torch.full((1, self.layout.height, self.layout.width, 3), 0.5)
        else:
            found = pixels.permute(0, 2, 3, 1).float() / 255
        return self.pipe.video_processor.numpy_to_pil(found.numpy())[0]

    def key(self, *kept: Shown | None) -> str:
        """Names what is encoded if all of `kept` answer with latents."""
        if any(one is not None and one.picture is not None for one in kept):
            return ""
        pixels = b"" if self.anchor is None else self.anchor.contiguous().numpy().tobytes()
        parts = [len(kept), [one is None for one in kept], dataclasses.astuple(self.layout)]
        return fingerprint([*parts, fingerprint(pixels)])


def hand_over(
    shows: str, seen: Sequence[Shown], layout: Layout, pipe: Any, anchor: Tensor | None
) -> Handing:
    """A pipeline's arguments for observed frames in order of time, and its encoder's answers."""
    return _WAYS[shows](seen, Set(layout, pipe, anchor)) if seen else Handing()


def _image(seen: Sequence[Shown], at: Set) -> Handing:
    return Handing({"image": at.picture(seen[0])}, (_fill(seen[:1]),), at.key(seen[0]))


def _ends(seen: Sequence[Shown], at: Set) -> Handing:
    first = seen[0] if seen[0].place == 0 else None
    last = seen[-1] if seen[-1].place and seen[-1].place == at.layout.latents - 1 else None
    arguments: dict[str, Any] = {"image": at.picture(first)}
    if last is not None:
        arguments["last_image"] = at.picture(last)
    fill = _fill([one for one in (first, last) if one is not None])
    return Handing(arguments, (fill,), at.key(first, last))


def _masked(seen: Sequence[Shown], at: Set) -> Handing:
    """VACE: a video that is grey where unknown, and a mask of ones there."""
    layout = at.layout
    video = torch.full((layout.frames, 3, layout.height, layout.width), 0.5)
    mask = torch.ones_like(video)
    for one in seen:
        first = max(0, layout.stride * (one.place - 1) + 1)
        stop = layout.stride * one.place + 1
        mask[first:stop] = 0
        if one.picture is not None:
            video[first:stop] = one.picture.float() / 255
    # the first encoding is of what stays, the second of what is made anew
    return Handing({"video": video[None], "mask": mask[None]}, (_fill(seen), {}))


def _conditions(seen: Sequence[Shown], at: Set) -> Handing:
    """LTX: latents from the start as one condition, every other frame as one of its own."""
    from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

    layout, conditions, fills = at.layout, [], []
    start: list[Shown] = []
    for one in seen:
        if one.place == len(start) and one.picture is None:
            start.append(one)
    if start:
        frames = (len(start) - 1) * layout.stride + 1
        video = torch.full((frames, 3, layout.height, layout.width), 0.5)
        conditions.append(LTXVideoCondition(video=list(video), frame_index=0))
        fills.append(_fill(start))
    for one in seen[len(start) :]:
        index = layout.stride * one.place
        conditions.append(LTXVideoCondition(image=at.picture(one), frame_index=index))
        fills.append({} if one.picture is not None else {0: one.latent})
    return Handing({"conditions": conditions}, fills)


def _places(seen: Sequence[Shown], at: Set) -> Handing:
    """LTX-2: pictures as its conditions; latents are put in place where the pipeline prepares its own."""
    from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition

    given = [one for one in seen if one.picture is not None]
    return Handing(
        {"conditions": [LTX2VideoCondition(at.picture(one), one.place) for one in given]}
    )


_WAYS: Mapping[str, Callable[[Sequence[Shown], Set], Handing]] = {
    "image": _image,
    "ends": _ends,
    "masked": _masked,
    "conditions": _conditions,
    "places": _places,
    # what diffusion forcing observes is put in place where its latents are prepared
    "prefix": lambda seen, at: Handing(),
    "nothing": lambda seen, at: Handing(),
}


def _fill(seen: Sequence[Shown]) -> Fill:
    return {one.place: one.latent for one in seen if one.picture is None}


class _Answer:
    """What an autoencoder's `encode` returns, of one latent without spread."""

    def __init__(self, latent: Tensor) -> None:
        self._latent = latent

    @property
    def latent_dist(self) -> _Answer:
        """Itself, found anew each time: kept, it would be a ring that holds latents until rings are looked for."""
        return self

    def mode(self) -> Tensor:
        return self._latent

    def sample(self, generator: Any = None) -> Tensor:
        return self._latent


@contextlib.contextmanager
def answering(
    vae: Any, latents: Latents, handed: Handing, kept: dict[str, Tensor]
) -> Iterator[None]:
    """While it lasts, `vae.encode` puts kept latents where a fill has some, call after call.

    kept: the last encoding that has a key, so that what surrounds the latents is encoded once.
    """
    if not any(handed.fills):
        yield
        return
    encode, left = vae.encode, list(handed.fills)

    def answer(x: Tensor, *args: Any, **kwargs: Any) -> Any:
        fill = left.pop(0) if left else {}
        if not fill:
            return encode(x, *args, **kwargs)
        if x.ndim == 4:  # a picture
            return _Answer(_raw(fill[0], x)[:, :, 0])
        count = (x.shape[2] - 1) // latents.stride + 1
        if set(fill) == set(range(count)):
            return _Answer(torch.cat([_raw(fill[n], x) for n in range(count)], dim=2))
        if not handed.key or handed.key not in kept:
            kept.clear()
            kept[handed.key] = encode(x).latent_dist.mode()
        around = kept[handed.key].clone()
        for place, known in fill.items():
            around[:, :, place] = _raw(known, x)[:, :, 0]
        return _Answer(around)

    def _raw(known: Tensor, x: Tensor) -> Tensor:
        return latents.outward(vae, known.to(x.device, x.dtype))

    with instead(vae, "encode", answer):
        yield
