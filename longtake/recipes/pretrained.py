"""pretrained: a diffusers video pipeline, by its folder, for films of any length.

What the pipeline is, its class and its components' configurations, says what it can observe; see
docs/pretrained.md. Films are made of its own calls with its own loop and weights; between calls latents
are handed over, never pixels.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.clip import ClipSpec
from longtake.codecs.vaes import TILE_STEP, checked, in_chunks, vae_of
from longtake.errors import InputError, nearest
from longtake.keys import fingerprint
from longtake.models.pretrained.families import Family, context_of, refined, taught
from longtake.models.pretrained.folder import is_pipeline, read_folder
from longtake.models.pretrained.hub import DOWNLOADS, folder_of, is_hub_id
from longtake.models.pretrained.loras import weighed
from longtake.models.pretrained.running import Running
from longtake.schemes import find_scheme
from longtake.system import Part, Stage, System, turn

if TYPE_CHECKING:
    from torch import Tensor

    from longtake.clip import ClipModel, Codec
    from longtake.steps import Scheme
    from longtake.train import Logged

VERSION = 1  # of the code between weights and pixels
NOISES = ("own", "diffusers")
LENGTHS = ("replace", "none", "windows", "freenoise", "fifo", "reuse")
WINDOWED = ("windows", "freenoise")  # the film is one call
CONTINUED = {"replace": "past", "fifo": "past", "reuse": "first"}  # what a call observes
OURS = (  # arguments of a pipeline's call that films are made of
    *("prompt", "negative_prompt", "height", "width", "num_frames", "num_inference_steps"),
    *("num_videos_per_prompt", "generator", "latents", "image", "last_image", "video", "mask"),
    *("conditions", "output_type", "return_dict", "callback_on_step_end"),
)
LONGEST = 4096  # latent frames of a film that is denoised as a whole


@dataclasses.dataclass(frozen=True)
class Words:
    """What the prompt's track depends on; the pipeline encodes prompts itself. loras: as in `Asking`."""

    fingerprint: str
    loras: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def check(self, prompts: Sequence[str]) -> None:
        """InputError for a prompt that the pipeline cannot follow."""
        for prompt in prompts:
            weighed(prompt, self.loras)

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Prompts go to the pipeline as they are: (p, 0)."""
        import torch

        return torch.zeros(len(prompts), 0)


@dataclasses.dataclass(frozen=True)
class Knobs:
    """How a pipeline is used; see `pretrained`."""

    scheme: str = ""
    noise: str = "own"
    clip: int = 0
    steps: int = 0
    guidance: float = -1.0
    negative: str = ""
    length: str = "replace"
    observed_noise: float = 0.0
    anchor: float = 0.0
    history: float = 1.0
    call: str = ""
    sink: str = "off"

    @property
    def arguments(self) -> dict[str, Any]:
        """Of the pipeline's call, as `call` says them: NAME=VALUE; ..., values as JSON has them, or else texts."""
        found = {}
        for part in filter(None, map(str.strip, self.call.split(";"))):
            name, sign, value = (text.strip() for text in part.partition("="))
            if not (sign and name.isidentifier()):
                raise InputError(f"'{part}' is no argument", "--set call", "NAME=VALUE; NAME=VALUE")
            if name in OURS:
                what = f"'{name}' is what longtake says itself"
                raise InputError(what, "--set call", "an option or a knob of its own")
            try:
                found[name] = json.loads(value)
            except ValueError:
                found[name] = value
        return found

    def __post_init__(self) -> None:
        _ = self.arguments
        for name, known in (("noise", NOISES), ("length", LENGTHS), ("sink", ("off", "on"))):
            value = getattr(self, name)
            if value not in known:
                raise InputError(
                    f"unknown {name} '{value}'", f"--set {name}", nearest(value, known)
                )
        for name in ("clip", "steps"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}={getattr(self, name)}", "--set", f"{name}=0 or more")
        for name in ("observed_noise", "anchor"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}={getattr(self, name)}", "--set", f"{name}=0 to 1")
        if not 0 <= self.history <= 100:
            raise InputError(f"history={self.history}", "--set", "history=1.5")


def pretrained(
    *,
    folder: str = "",
    scheme: str = "",
    noise: str = "own",
    clip: int = 0,
    steps: int = 0,
    guidance: float = -1.0,
    negative: str = "",
    length: str = "replace",
    observed_noise: float = 0.0,
    anchor: float = 0.0,
    history: float = 1.0,
    sink: str = "off",
    call: str = "",
    dtype: str = "float32",
    device: str = "cpu",
    offload: str = "none",
    lora: str = "",
    attention: str = "",
    cache: str = "none",
    quantise: str = "none",
    compile: str = "none",
    tiling: str = "off",
    device_map: str = "",
    download: str = "no",
) -> System:
    """The system of a pipeline's folder, or of its hub id. clip: frames in a call; steps, guidance: 0 and -1, the pipeline's own.

    noise: own (of every index) or diffusers (a film no longer than the clip is the pipeline's own, to the bit).
    length: how a pipeline that observes nothing goes on: replace (known latents put in place at every
    step), windows (the film as a whole, denoised in overlapping windows), freenoise (so, and windows share
    their noise), fifo (frame after frame out of a queue of rising noise), reuse (a clip's noise and denoising are
    made of the last one's), or none. observed_noise, anchor, history: against drift, see `longtake.models.wrappers.NoiseAugmented`,
    `longtake.models.drift.Anchored` and `longtake.models.pretrained.history`; so is sink (off, on): `longtake.models.drift.Sunk`.
    call: further arguments of the pipeline's call, NAME=VALUE; NAME=VALUE. dtype, offload, lora, attention, cache, quantise, compile, tiling, device_map: see `Running`. download: of a hub id that is not on this machine: no, ask or yes.
    """
    told = (scheme, noise, clip, steps, guidance, negative, length, observed_noise, anchor, history)
    knobs = Knobs(*told, call, sink)
    ways = (dtype, device, offload, lora, attention, cache, quantise, compile, tiling, device_map)
    running = Running(*ways)
    if length in (*WINDOWED, "fifo") and cache != "none":
        what = f"cache={cache} takes what a window computed for the next one's"
        raise InputError(what, "--set cache", "cache=none")
    if not folder:
        raise InputError("no folder of a pipeline", "--set folder", "--model FOLDER")
    if download not in DOWNLOADS:
        what = f"unknown download '{download}'"
        raise InputError(what, "--set download", nearest(download, DOWNLOADS))
    if not Path(folder).is_dir() and is_hub_id(folder):
        folder = str(folder_of(folder, download))
    if not is_pipeline(Path(folder)):
        raise InputError("not a diffusers pipeline: no model_index.json", folder, "its folder")
    found = read_folder(Path(folder))
    configs = {name: found.config(name) for name in found.components}
    family = refined(found.kind, configs)
    if running.observes:
        family = taught(found.kind, family)
    net = "transformer_2" if "transformer_2" in found.components else family.net
    found.require((net, "vae", "scheduler"))
    vae = found.components.get("vae", ("", ""))[1]
    _ = found.tensors  # cut and pickled weights are told before anything is planned

    @functools.cache
    def pipe() -> Any:
        from longtake.models.pretrained.loading import load_pipeline

        return load_pipeline(found, running)

    loras = {file.stem: weight for file, weight in running.loras}
    what = Pipeline(found.path.resolve().name, family, configs, vae, pipe, loras)
    return _system(what, knobs, fingerprint([found.fingerprint, running.mark]))


def wrapped(
    pipe: Any, knobs: Knobs | None = None, *, mark: str = "", extra: Mapping[str, Any] | None = None
) -> System:
    """The system of a diffusers pipeline in hand. extra: arguments for each of its calls, as embeddings.

    mark: what tells these weights from others in a run folder; without it nothing stored is found again.
    """
    configs = {
        name: dict(part.config)
        for name, part in pipe.components.items()
        if isinstance(getattr(part, "config", None), Mapping)
    }
    kind = type(pipe).__name__
    what = Pipeline(kind, refined(kind, configs), configs, type(pipe.vae).__name__, lambda: pipe)
    mark = mark or fingerprint(["in hand", id(pipe)])
    return _system(what, knobs or Knobs(), mark, dict(extra or {}))


@dataclasses.dataclass(frozen=True)
class Tuning:
    """How a LoRA is trained; see `train`. minutes: 0: as long as the steps take."""

    steps: int = 1000
    minutes: float = 0.0
    seed: int = 0
    rank: int = 32
    batch: int = 1
    rate: float = 1e-4
    clip: int = 0
    size: str = ""
    clips: int = 512
    wordless: float = 0.1
    device: str = "cpu"
    dtype: str = "float32"


def train(data: str, run: str | Path, folder: str = "", **told: Any) -> Iterator[Logged]:
    """Teaches a pipeline's network to observe any frames, by a LoRA in `run`; see docs/pretrained.md.

    data: videos, as `longtake data` reads them. told: of `Tuning`.
    """
    from longtake.lab.observing import tuned

    texts = {name: value for name, value in told.items() if isinstance(value, str)}
    typed = {name: value for name, value in told.items() if not isinstance(value, str)}
    tuning = turn(functools.partial(Tuning, **typed), texts)  # type: ignore[arg-type]
    yield from tuned(folder, data, Path(run), tuning)


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """What a system is made of. vae: the autoencoder's class; made: loads the pipeline, once. loras: as in `Asking`."""

    name: str
    family: Family
    configs: Mapping[str, Mapping[str, Any]]
    vae: str
    made: Callable[[], Any]
    loras: Mapping[str, float] = dataclasses.field(default_factory=dict)


def _system(
    what: Pipeline, knobs: Knobs, mark: str, extra: Mapping[str, Any] | None = None
) -> System:
    family, vae, config = what.family, vae_of(what.vae), what.configs.get("vae", {})
    channels, down, stride = checked(vae, config)
    window = _window(knobs.clip or family.frames, stride, vae.causal)
    chunked, chunk = family.shows == "history", 1  # latent frames in an index
    if family.chunk:
        family = dataclasses.replace(family, chunk=window)
        past = math.ceil(family.history / window)
        chunk, window = (window, 1 + past) if chunked else (1, 1 + past * window)
    if 0 < knobs.steps < family.least:
        said = f"{what.name} samples in {family.least} steps or more, not {knobs.steps}"
        raise InputError(said, "--set steps", f"steps={family.least}")
    alone, length = family.observes == "none", knobs.length
    _check_length(what, length)
    windowed, queued = length in WINDOWED, length == "fifo"
    if knobs.history != 1 and family.shows not in ("prefix", "history", "sections"):
        said = f"{what.name} has no past beside what it makes that could be left out"
        raise InputError(said, "--set history", "history=1")
    settings = [
        VERSION,
        mark,
        dataclasses.astuple(dataclasses.replace(knobs, scheme="")),
        repr(extra),
    ]
    clip, context = window, context_of(window) if queued else 0
    window += context  # a call makes a clip's worth, and sees what is before the queue
    spec = ClipSpec(
        LONGEST if windowed else window,
        (channels * chunk, None, None),
        fingerprint(settings),
        CONTINUED.get(length, "none") if alone else family.observes,
        begins=family.begins,
        sibling=family.sibling,
    )
    if knobs.sink == "on" and (spec.observes != "any" or spec.window < 3):
        said = f"{what.name} cannot be shown a take's first frame wherever it goes on"
        raise InputError(said, "--set sink", "sink=off")
    # a call that is shown the take's first frame has one place less for what a scheme shows it
    asked = dataclasses.replace(spec, window=spec.window - 1) if knobs.sink == "on" else spec
    whole = max(window, chunk) if knobs.noise == "diffusers" else 0
    inner = vae.spec(config, whole, fingerprint([VERSION, mark, "vae", whole, chunk]))
    codec = in_chunks(inner, chunk) if chunked else inner
    if family.shows == "sections":  # takes are a picture and whole sections
        holds = (1 + family.chunk, family.chunk, 0 if whole else TILE_STEP)
        codec = inner = dataclasses.replace(inner, holds=holds)

    def make_model() -> ClipModel:
        from longtake.codecs.pretrained import KINDS
        from longtake.models.drift import Anchored, Sunk
        from longtake.models.pretrained.chunks import ChunkModel
        from longtake.models.pretrained.fifo import QueueModel
        from longtake.models.pretrained.levels import LevelModel
        from longtake.models.pretrained.pipeline import Asking, PipelineModel
        from longtake.models.pretrained.reuse import ReusingModel
        from longtake.models.pretrained.sections import SectionModel
        from longtake.models.pretrained.showing import Latents
        from longtake.models.wrappers import NoiseAugmented

        latents = Latents(stride, down, KINDS[what.vae].outward)
        asking = Asking(
            knobs.noise,
            knobs.steps or None,
            knobs.guidance if knobs.guidance >= 0 else None,
            knobs.negative,
            family.shows == "levels" or (alone and length in ("replace", "reuse")),
            clip if windowed or queued else 0,
            length == "freenoise",
            knobs.history,
            what.loras,
            {**knobs.arguments, **(extra or {})},
        )
        kinds = {"history": ChunkModel, "sections": SectionModel, "levels": LevelModel}
        kinds |= {"fifo": QueueModel, "reuse": ReusingModel}
        kind = kinds.get(length if alone else family.shows, PipelineModel)
        model: ClipModel = kind(what.made(), family, latents, spec, asking)
        if knobs.sink == "on":
            model = Sunk(model)
        if knobs.observed_noise:
            model = NoiseAugmented(model, knobs.observed_noise)
        return Anchored(model, knobs.anchor) if knobs.anchor else model

    def make_codec() -> Codec:
        from longtake.codecs.pretrained import KINDS, ChunkCodec, VaeCodec

        made = VaeCodec(what.made().vae, KINDS[what.vae], inner, whole)
        return ChunkCodec(made, chunk, codec) if chunked else made

    net = what.configs.get(family.net) or what.configs.get("transformer_2") or {}
    patch = _halved(net, family.halves) if family.halves else _patch(net)
    stage = Stage(
        _scheme(knobs.scheme, asked, family, context),
        {"clip": Part(asked, make_model)},
        Part(codec, make_codec),
    )
    return System(
        what.name,
        (stage,),
        Words(fingerprint(["words of", mark]), what.loras),
        fps=family.fps,
        size=family.size,
        canvas=functools.partial(_canvas, down * patch),
    )


def _check_length(what: Pipeline, length: str) -> None:
    """InputError for a way to go on that the pipeline does not have, or does not need."""
    family = what.family
    if length in ("replace", "none"):
        return
    if family.observes != "none":
        said = f"{what.name} observes frames by itself and needs no length={length}"
        raise InputError(said, "--set length", "length=replace")
    # two networks share the noise levels between them: a queue would need both at once
    queues = family.levels and not what.configs.get("transformer_2")
    lacking = {} if queues else {"fifo": "takes no noise level for every frame"}
    if not family.windows:
        lacking |= dict.fromkeys(WINDOWED, "cannot be denoised in windows")
    if length in lacking:
        able = ", ".join(name for name in LENGTHS if name not in lacking)
        raise InputError(f"{what.name} {lacking[length]}", "--set length", able)


def _window(clip: int, stride: int, causal: bool) -> int:
    """Latent frames of a clip of `clip` frames."""
    if not causal:
        return clip
    if (clip - 1) % stride:
        near = (clip - 1) // stride * stride + 1
        what = f"a clip of {clip} frames, where clips have 1 + a multiple of {stride}"
        raise InputError(what, "--set clip", f"clip={near} or clip={near + stride}")
    return (clip - 1) // stride + 1


def _scheme(text: str, spec: ClipSpec, family: Family, context: int) -> Scheme:
    """The scheme asked for; a chain's calls observe as little as the model needs, unless `step` is told.

    One latent frame holds several frames; diffusion forcing, trained on longer pasts, observes a quarter,
    a queue `context`. Of chunks and sections a call makes one.
    """
    if spec.window < 2 or spec.observes == "none":
        return find_scheme(text or "one-shot", spec.window)
    name, _, knobs = (text or "autoregressive").partition(":")
    stated = {part.partition("=")[0] for part in knobs.split(",")}
    if name in ("autoregressive", "per-shot") and not stated & {"step", "window"}:
        quarter = max(1, spec.window // 4)
        step = spec.window - (context or (quarter if spec.observes == "past" else 1))
        if family.chunk:
            step = 1 if family.shows == "history" else family.chunk
        knobs = ",".join(filter(None, [knobs, f"step={step}"]))
    return find_scheme(f"{name}:{knobs}", spec.window)


def _patch(config: Mapping[str, Any]) -> int:
    """Latent pixels beside one another in a token."""
    size = config.get("patch_size", 1)
    size = size[-1] if isinstance(size, (list, tuple)) and size else size
    if not isinstance(size, int) or size < 1:
        raise InputError(f"a patch size of {size}", "the network's configuration", "1 or more")
    return size


def _halved(config: Mapping[str, Any], halves: str) -> int:
    """Latent pixels beside one another in one of the network's coarsest level."""
    levels = config.get(halves)
    if not isinstance(levels, (list, tuple)) or not 1 <= len(levels) <= 16:
        what = f"{halves} does not say how many levels the network has"
        raise InputError(what, "the network's configuration", "a folder as published")
    return 2 ** int(len(levels) - 1)


def _canvas(multiple: int, size: tuple[int, int]) -> tuple[int, int]:
    """The size the pipeline works at: each side up to its next whole multiple."""
    width, height = (-(-side // multiple) * multiple for side in size)
    return width, height
