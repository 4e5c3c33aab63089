"""A diffusers pipeline that answers clip requests: its own call, its own loop, its own weights."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from longtake.clip import Clip, ClipRequest, ClipSpec
from longtake.errors import FitError, InputError, LongtakeError, nearest
from longtake.models.noise import Shuffled
from longtake.models.pretrained.families import Family
from longtake.models.pretrained.history import empty_past, guided_by_past, noisy_prefix
from longtake.models.pretrained.instead import instead
from longtake.models.pretrained.keeping import embed_twice, keep_prompts
from longtake.models.pretrained.loras import adapter, weighed
from longtake.models.pretrained.showing import Latents, Layout, Shown, answering, hand_over
from longtake.models.pretrained.windows import codenoised

STILL = "still "  # how a given picture's pixels are carried, the index after it
REDRAWN = "redrawn "  # how a given frame is carried as the pipeline drew it, the index after it
ANCHOR = "anchor"  # the picture a take began with, for pipelines that embed one

Stepped = Callable[..., dict[str, Tensor]]  # diffusers' callback_on_step_end


@dataclasses.dataclass(frozen=True)
class Asking:
    """How a pipeline is called.

    noise: "own", which belongs to an index, or "diffusers", the pipeline's own generator. steps, guidance:
    None for the pipeline's own. replaces: observed frames are put in place at every step instead of
    being handed over. windows: latent frames in a window where films are denoised as a whole (0: they
    are not); shares: those windows share their noise. history: scale of history guidance, 1 for none.
    loras: weights of the pipeline's LoRAs by name, where a prompt does not say others. extra: arguments
    for every call.
    """

    noise: str = "own"
    steps: int | None = None
    guidance: float | None = None
    negative: str = ""
    replaces: bool = False
    windows: int = 0
    shares: bool = False
    history: float = 1.0
    loras: Mapping[str, float] = dataclasses.field(default_factory=dict)
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Placed:
    """A request laid on a clip of `total` latent frames.

    at: the index of every place; seen: what is observed; targets: places of the request's targets.
    exact: the call is one that a user of the pipeline would make.
    """

    at: tuple[int, ...]
    seen: tuple[Shown, ...]
    targets: tuple[int, ...]
    exact: bool


class PipelineModel:
    """A pipeline as a `ClipModel`."""

    def __init__(
        self, pipe: Any, family: Family, latents: Latents, spec: ClipSpec, asking: Asking
    ) -> None:
        self.pipe, self.family, self.latents = pipe, family, latents
        self.spec, self.asking = spec, asking
        self.stride, self.down = latents.stride, latents.down
        self._encoded: dict[str, Tensor] = {}
        self._takes = inspect.signature(pipe.__call__).parameters
        for name in asking.extra:
            if name not in self._takes:
                what = f"{type(pipe).__name__} has no argument '{name}'"
                raise InputError(what, "--set call", nearest(name, self._takes))
        pipe.set_progress_bar_config(disable=True)
        keep_prompts(pipe)
        if family.shows == "ends":
            embed_twice(pipe)

    @torch.no_grad()
    def sample(self, request: ClipRequest) -> Clip:
        """A clip at `request.targets`; the pipeline always makes a whole clip, so films share beginnings.

        FitError for a request that observes what the pipeline cannot, or that follows a video.
        """
        if request.start is not None:
            raise FitError("this pipeline cannot follow a video", "--strength", "no --strength")
        placed = self._place(request)
        film = torch.cat([self._film(request, placed, sample) for sample in request.samples])
        place = {index: n for n, index in enumerate(placed.at)}
        anchor = anchor_of(request)
        carry = {} if anchor is None else {ANCHOR: anchor}
        if placed.exact:  # the pipeline's film shows a given picture as the pipeline drew it
            drawn = [one.place for one in placed.seen]
            carry |= {f"{REDRAWN}{placed.at[n]}": film[:, n : n + 1].clone() for n in drawn}
        return Clip(film[:, [place[i] for i in request.targets]], request.targets, carry)

    def _film(self, request: ClipRequest, placed: Placed, sample: int) -> Tensor:
        """The whole clip of one film of the batch, (1, t, c, h, w)."""
        layout = self._layout(request, len(placed.at))
        if not placed.seen and not self.spec.begins:
            raise FitError("the pipeline has to start from a picture", "sample", "--image FILE")
        shown = () if self.asking.replaces else placed.seen
        anchor = anchor_of(request)
        handed = hand_over(self.family.shows, shown, layout, self.pipe, anchor)
        noise = None if placed.exact else self._noise(request, placed, sample)
        start = self._start(noise, placed, layout)
        told = {**handed.arguments, **start.arguments}
        told["generator"] = self._generator(request, placed, sample)
        last: dict[str, Any] = {}
        if self._begins_late:
            told["callback_on_step_end"] = lambda pipe, step, time, now: last.update(now) or {}
        stepped = self._stepping(request, placed, noise, layout)
        if stepped is not None:
            told["callback_on_step_end"] = stepped
        with (
            answering(self.pipe.vae, self.latents, handed, self._encoded),
            start.prepared(),
            self._normalised(),
            self._windowed(),
            self._guided(noise, len(placed.seen)),
        ):
            film = self._called(request, layout.frames, told)
        made = self._unlaid(last.get("latents", film), layout)[:, :, -len(placed.at) :]
        return made.transpose(1, 2).float().cpu()

    def _called(self, request: ClipRequest, frames: int, told: Mapping[str, Any]) -> Any:
        """The pipeline's own call for so many frames: its latents as it holds them. told: of this call alone."""
        _, height, width = request.frame
        steps, guided = self.asking.steps, self.asking.guidance
        arguments = {
            **self._said(request),
            "height": height * self.down,
            "width": width * self.down,
            "num_frames": frames,
            "output_type": "latent",
            **({} if steps is None else {"num_inference_steps": steps}),
            **({} if guided is None else {self.family.guidance: guided}),
            **told,
            **self.asking.extra,
        }
        try:
            return self.pipe(**arguments).frames
        except LongtakeError:
            raise
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
            text = " ".join(str(error).split()) or type(error).__name__
            what = f"{type(self.pipe).__name__} cannot be called so: {text}"
            raise InputError(what, "sample", "other knobs, or a folder as published") from error

    def _place(self, request: ClipRequest) -> Placed:
        """Observed frames and targets in order of time, and as many after them as fill the clip."""
        seen = self._read(request)
        at = sorted({*seen, *request.targets})
        if len(at) > self.spec.window:
            raise FitError(f"{len(at)} latent frames in a call", "sample", f"{self.spec.window}")
        given = all(self._still(request, index) is not None for index in seen)
        own = self.asking.noise == "own" or (self.asking.replaces and bool(seen))
        exact = not own and at[0] == 0 and given
        if not exact and at[-1] in request.targets:
            gap = at[-1] - at[-2] if len(at) > 1 else 1
            whole = self.asking.windows or self.spec.window
            at += [at[-1] + gap * (n + 1) for n in range(whole - len(at))]
        place = {index: n for n, index in enumerate(at)}
        shown = [Shown(place[i], self._latent(request, i), self._still(request, i)) for i in seen]
        return Placed(tuple(at), tuple(shown), tuple(place[i] for i in request.targets), exact)

    def _read(self, request: ClipRequest) -> list[int]:
        """The observed indices that this pipeline reads, in order of time."""
        if request.observed is None:
            return []
        seen, first = sorted(request.observed.at), min(request.targets)
        before = [index for index in seen if index < first]
        after = [index for index in seen if index > max(request.targets)]
        if self.spec.observes == "first":
            return before[-1:]
        if self.spec.observes == "ends":
            return before[-1:] + after[:1]
        return before if self.spec.observes == "past" else seen

    def _latent(self, request: ClipRequest, index: int) -> Tensor:
        assert request.observed is not None
        return request.observed.pick([index]).frames.transpose(1, 2)

    def _still(self, request: ClipRequest, index: int) -> Tensor | None:
        assert request.observed is not None
        return request.observed.carry.get(f"{STILL}{index}")

    def _layout(self, request: ClipRequest, total: int) -> Layout:
        _, height, width = request.frame
        frames = total if self.family.pictures else (total - 1) * self.stride + 1
        return Layout(total, frames, self.stride, width * self.down, height * self.down)

    def _said(self, request: ClipRequest) -> dict[str, Any]:
        """The prompt that most of the targets hear, or empty embeddings where nothing reads words.

        LoRAs are weighed as that prompt has it.
        """
        heard = dict[int, float]()
        for index in request.targets:
            for number, weight in request.controls.mix(index):
                heard[number] = heard.get(number, 0.0) + weight
        number = max(sorted(heard), key=heard.__getitem__, default=None)
        prompt = "" if number is None else request.controls.cues[number].prompt
        prompt, weights = weighed(prompt, self.asking.loras)
        if weights:
            self.pipe.set_adapters([*map(adapter, weights)], [*weights.values()])
        if "prompt_embeds" in self.asking.extra or "prompt" not in self._takes:
            return {}
        if getattr(self.pipe, "text_encoder", None) is None:
            return self._wordless()
        said = {"prompt": prompt}
        return said | ({"negative_prompt": self.asking.negative} if self.asking.negative else {})

    def _wordless(self) -> dict[str, Any]:
        net = getattr(self.pipe, self.family.net, None) or self.pipe.transformer_2
        reads = getattr(self.pipe, self.family.reads, net).config
        # LTX-2's connectors read all layers of the encoder, words in whole sets of their registers
        width = reads[self.family.text] * reads.get("text_proj_in_factor", 1)
        words = reads.get("video_connector_num_learnable_registers") or 16
        words = reads.get("max_text_seq_length", words)
        like = {"dtype": net.dtype, "device": self.pipe._execution_device}
        nothing, mask = torch.zeros(1, words, width, **like), torch.ones(1, words, **like).bool()
        pooled = torch.zeros(1, net.config.get("pooled_projection_dim") or 0, **like)
        said = {"prompt_embeds": nothing, "prompt_attention_mask": mask}
        said |= {"pooled_prompt_embeds": pooled}
        said |= {f"negative_{name}": value.clone() for name, value in said.items()}
        return {name: value for name, value in said.items() if name in self._takes}

    def _generator(self, request: ClipRequest, placed: Placed, sample: int) -> torch.Generator:
        """The seed itself for a call a user would make; else one that belongs to the call's first target."""
        seed = request.noise.seed + sample
        if not placed.exact:
            seed = seed_of(request, sample, placed.at[placed.targets[0]])
        return torch.Generator().manual_seed(seed)

    def _noise(self, request: ClipRequest, placed: Placed, sample: int) -> Tensor:
        """(1, c, s, h, w); of every index its own, also of those beyond the film."""
        noise, size = request.noise, self.asking.windows
        if self.asking.shares:  # FreeNoise: overlapping windows agree on what is in the picture
            noise = Shuffled(noise, size, max(1, size // 4))
        return noise.clip((sample,), placed.at, request.frame).transpose(1, 2)

    def _start(self, noise: Tensor | None, placed: Placed, layout: Layout) -> Start:
        if noise is None and self.family.shows != "prefix":
            return Start(self.pipe)
        return _START.get(self.family.shows, _given)(self, noise, placed, layout)

    def _normalised(self) -> AbstractContextManager[None]:
        """While it lasts, the pipeline answers with latents as it denoises them (LTX-2: as it decodes them)."""
        if self.family.layout != "packed":
            return contextlib.nullcontext()
        return instead(self.pipe, "_denormalize_latents", lambda latents, *args: latents)

    @contextlib.contextmanager
    def _windowed(self) -> Iterator[None]:
        """While it lasts, the networks see no more than a window."""
        size = self.asking.windows
        nets = [getattr(self.pipe, name, None) for name in (self.family.net, "transformer_2")]
        with contextlib.ExitStack() as stack:
            for net in nets if size else []:
                if net is not None:
                    stack.enter_context(codenoised(net, size, max(1, size // 2)))
            yield

    def _guided(self, noise: Tensor | None = None, seen: int = 0) -> AbstractContextManager[None]:
        """While it lasts, the network predicts under history guidance, if there is to be any."""
        if self.asking.history == 1 or (self.family.shows == "prefix" and noise is None):
            return contextlib.nullcontext()
        forget = empty_past if noise is None else noisy_prefix(noise, seen, self.pipe.scheduler)
        return guided_by_past(self.pipe.transformer, self.asking.history, forget)

    def _laid(self, latents: Tensor) -> Tensor:
        """(b, c, s, h, w) as the pipeline holds latents."""
        if self.family.layout == "packed":
            packed: Tensor = self.pipe._pack_latents(latents, *self._patches)
            return packed
        return latents.transpose(1, 2) if self.family.layout == "s c" else latents

    def _unlaid(self, latents: Tensor, layout: Layout) -> Tensor:
        """Back to (b, c, s, h, w); what a pipeline adds in front of packed latents goes."""
        if self.family.layout == "packed" and latents.ndim == 3:
            size, slow = self._patches
            s, h, w = layout.latents, layout.height // self.down, layout.width // self.down
            latents = latents[:, -(s // slow) * (h // size) * (w // size) :]
            unpacked: Tensor = self.pipe._unpack_latents(latents, s, h, w, size, slow)
            return unpacked
        return latents.transpose(1, 2) if self.family.layout == "s c" else latents

    @property
    def _begins_late(self) -> bool:
        """Whether its films lack the latent frame of the picture that they begin with (HunyuanVideo)."""
        net = getattr(self.pipe, "transformer", None)
        return net is not None and net.config.get("image_condition_type") == "latent_concat"

    @property
    def _patches(self) -> tuple[int, int]:
        return self.pipe.transformer_spatial_patch_size, self.pipe.transformer_temporal_patch_size

    def _tokens(self, layout: Layout) -> int:
        """Of a latent frame."""
        patch = getattr(self.pipe, self.family.net).config.get("patch_size", 1)
        wide = patch if isinstance(patch, int) else patch[-1]
        return (layout.height // self.down // wide) * (layout.width // self.down // wide)

    def _stepping(
        self, request: ClipRequest, placed: Placed, noise: Tensor | None, layout: Layout
    ) -> Stepped | None:
        """What is called after every sampling step, if anything is."""
        if not (self.asking.replaces and placed.seen):
            return None
        assert noise is not None
        return self._replacing(placed, noise, layout)

    def _replacing(self, placed: Placed, noise: Tensor, layout: Layout) -> Stepped:
        """After every step puts observed frames in place, as noisy as that step left the others.

        Latent replacement (Song et al. 2021, appendix I.2; Ho et al. 2022, "video diffusion models",
        section 3.1, who show that it only approximates the conditional law).
        """

        def replace(pipe: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Tensor]:
            latents = self._unlaid(tensors["latents"], layout).clone()
            for one in placed.seen:
                known = one.latent.to(latents)
                own = noise[:, :, one.place : one.place + 1].to(latents)
                latents[:, :, one.place] = noised(pipe.scheduler, known, own, step + 1)[:, :, 0]
            return {"latents": self._laid(latents)}

        return replace


class Start:
    """How a call's latents begin: arguments, or a change of how the pipeline prepares them."""

    def __init__(
        self, pipe: Any, arguments: Mapping[str, Any] | None = None, prepare: Any = None
    ) -> None:
        self._pipe, self.arguments, self._prepare = pipe, dict(arguments or {}), prepare

    @contextlib.contextmanager
    def prepared(self) -> Iterator[None]:
        """While it lasts, the pipeline prepares latents so."""
        if self._prepare is None:
            yield
            return
        own = self._pipe.prepare_latents
        with instead(self._pipe, "prepare_latents", functools.partial(self._prepare, own)):
            yield


def _given(model: PipelineModel, noise: Tensor | None, placed: Placed, layout: Layout) -> Start:
    assert noise is not None
    if model.family.layout == "packed":
        seen = placed.seen if model.family.shows == "image" else ()
        return Start(model.pipe, prepare=_own_noise(model, noise, seen))
    return Start(model.pipe, {"latents": model._laid(noise).to(model.pipe._execution_device)})


def _own_noise(model: PipelineModel, noise: Tensor, seen: Sequence[Shown]) -> Callable[..., Any]:
    """Prepares as the pipeline does, with this noise wherever its mask says that nothing is known.

    Latents among `seen` are put in their places as they are, past the precision of the autoencoder.
    """
    noise, there = _filled(noise, seen)

    def prepare(own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        made = own(*args, **kwargs)
        if isinstance(made, Tensor):  # of a pipeline that knows nothing
            return model._laid(noise).to(made)
        latents, mask, *rest = made
        laid, ours = (model._laid(part).to(latents) for part in (noise, there))
        before = latents.shape[1] - laid.shape[1]
        known = torch.zeros_like(ours) if mask is None else mask[:, before:, None].to(laid)
        mixed = torch.where((known < 1) | (ours > 0), laid, latents[:, before:])
        return (torch.cat([latents[:, :before], mixed], dim=1), mask, *rest)

    return prepare


def _filled(noise: Tensor, seen: Sequence[Shown]) -> tuple[Tensor, Tensor]:
    """Noise (b, c, s, h, w) with the latents of `seen` in their places, and (b, 1, s, h, w) ones there."""
    noise, there = noise.clone(), torch.zeros_like(noise[:, :1])
    for one in seen:
        if one.picture is None:
            noise[:, :, one.place], there[:, :, one.place] = one.latent[:, :, 0], 1
    return noise, there


def _in_places(model: PipelineModel, noise: Tensor | None, placed: Placed, layout: Layout) -> Start:
    """LTX-2: observed latents lie where they belong, known as its own first frames are.

    Pictures it has put there itself, or behind all frames, as it does with keyframes.
    """
    assert noise is not None
    noise, there = _filled(noise, placed.seen)

    def prepare(own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        latents, mask, clean, *rest = own(*args, **kwargs)
        behind = latents.shape[1] - model._laid(there).shape[1]
        laid, ours = (
            pad(model._laid(part), (0, 0, 0, behind)).to(latents) for part in (noise, there)
        )
        latents = torch.where((mask < 1) | (ours > 0), laid, latents)
        clean = torch.where(ours > 0, laid, clean)
        return (latents, torch.maximum(mask, ours), clean, *rest)

    return Start(model.pipe, prepare=prepare)


def _with_prefix(
    model: PipelineModel, noise: Tensor | None, placed: Placed, layout: Layout
) -> Start:
    """Diffusion forcing: what is observed is the prefix that the pipeline would keep from the window before."""
    seen = [one.latent for one in placed.seen]

    def prepare(own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        latents, count, *_ = own(*args, **kwargs)
        if noise is not None:
            latents = noise.to(latents)
        prefix = torch.cat(seen, dim=2).to(latents) if seen else None
        return latents, count, prefix, len(seen)

    return Start(model.pipe, prepare=prepare)


_START: Mapping[str, Callable[..., Start]] = {
    "places": _in_places,
    "prefix": _with_prefix,
}


def noised(scheduler: Any, clean: Tensor, noise: Tensor, step: int) -> Tensor:
    """A clean frame as noisy as latents are before sampling step `step`; clean after the last."""
    if step >= len(scheduler.timesteps):
        return clean
    time = scheduler.timesteps[step : step + 1]
    if scheduler.config.get("invert_sigmas"):  # Mochi's: sigma is how clean a frame is
        clean, noise = noise, clean
    add = getattr(scheduler, "scale_noise", None)
    mixed: Tensor = (
        add(clean, time, noise) if add is not None else scheduler.add_noise(clean, noise, time)
    )
    return mixed


def seed_of(request: ClipRequest, sample: int, index: int) -> int:
    """The seed of a pipeline's generator in a call that begins with an index."""
    text = f"{request.noise.seed}/{sample}/{index}/call".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")


def anchor_of(request: ClipRequest) -> Tensor | None:
    """The picture that the take began with, if one was given."""
    if request.observed is None:
        return None
    carry = request.observed.carry
    stills = sorted(name for name in carry if name.startswith(STILL))
    return carry[stills[0]] if stills else carry.get(ANCHOR)
