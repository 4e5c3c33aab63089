"""Pretrained pipelines as clip models: the pipeline's own film to the bit, exact lengths, laws of noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import pipeline_parts as parts
from PIL import Image

import longtake
from longtake.clip import Clip, ClipRequest, ClipSpec
from longtake.errors import FitError, InputError
from longtake.models.pretrained.instead import instead
from longtake.recipes.pretrained import Knobs, wrapped
from longtake.system import Part

SHORTER = {"mochi": (19, 7)}  # a latent frame holds six frames, not four
PROMPT = "a calm sea at dawn"
NAMES = tuple(parts.PIPELINES)
OWN = ("noise", "length", "history")  # knobs
KEPT: dict[str, Any] = {}


def pipeline(name: str) -> Any:
    """A pipeline, made once: tests leave it as it was."""
    if name not in KEPT:
        KEPT[name] = parts.made(name)
    return KEPT[name]


def picture(place: Path, size: tuple[int, int], seed: int = 0) -> Path:
    shape = (size[1], size[0], 3)
    pixels = np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)
    file = place / f"picture{seed}.png"
    Image.fromarray(pixels).save(file)
    return file


def film(name: str, frames: int, images: tuple[str, ...] = (), **options: Any) -> Tensor:
    """Frames (t, 3, h, w) uint8 of a film; keywords of `Knobs` and of `generate`."""
    _, clip, size = parts.PIPELINES[name]
    knobs = {key: options.pop(key) for key in OWN if key in options}
    system = wrapped(
        pipeline(name), Knobs(clip=clip, steps=2, **knobs), mark=name, extra=parts.said(name)
    )
    asked = {"model": system, "frames": frames, "size": size, "images": images, "seed": 3}
    take = longtake.generate(PROMPT, **{**asked, **options})
    return torch.stack(list(take))


def pictures(name: str, place: Path) -> tuple[str, ...]:
    if name not in parts.PICTURED:
        return ()
    return (str(picture(place, parts.PIPELINES[name][2])),)


def direct(name: str, frames: int, **arguments: Any) -> Tensor:
    """What the pipeline makes when it is called without longtake."""
    width, height = parts.PIPELINES[name][2]
    words = parts.said(name) or ({} if name == "svd" else {"prompt": PROMPT})
    made = parts.made(name)(
        **words,
        height=height,
        width=width,
        num_frames=frames,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(3),
        output_type="pt",
        **arguments,
    )
    return made.frames[0].float().mul(255).round().to(torch.uint8)


# a first-last pipeline takes two pictures: see the next test
@pytest.mark.parametrize("name", [name for name in NAMES if name != "wan-ends"])
def test_a_film_no_longer_than_the_clip_is_the_pipeline_s_own(name: str, tmp_path: Path) -> None:
    images = pictures(name, tmp_path)
    opened = {"image": Image.open(images[0])} if images else {}
    clip = parts.PIPELINES[name][1]
    for frames in SHORTER.get(name, (clip, 9) if clip > 9 else (clip, 5)):
        ours = film(name, frames, images, noise="diffusers")
        lacking = 4 if name == "hunyuan-concat" else 0  # its own film begins after the picture
        assert torch.equal(ours[lacking:], direct(name, frames, **opened)[:frames])


def test_a_pipeline_that_goes_on_by_itself_goes_on_so_here() -> None:
    assert torch.equal(film("helios", 70, noise="diffusers"), direct("helios", 70)[:70])


def test_a_first_last_pipeline_s_film_between_two_pictures_is_its_own(tmp_path: Path) -> None:
    size = parts.PIPELINES["wan-ends"][2]
    first, last = (picture(tmp_path, size, seed) for seed in (0, 1))
    ours = film("wan-ends", 17, (str(first), f"end={last}"), noise="diffusers")
    theirs = direct("wan-ends", 17, image=Image.open(first), last_image=Image.open(last))
    assert torch.equal(ours, theirs)


def test_pictures_are_the_conditions_that_a_pipeline_would_be_given(tmp_path: Path) -> None:
    from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition

    size = parts.PIPELINES["ltx2-condition"][2]
    first, last = (picture(tmp_path, size, seed) for seed in (0, 1))
    ours = film("ltx2-condition", 17, (str(first), f"end={last}"), noise="diffusers")
    given = [LTX2VideoCondition(Image.open(file), n) for file, n in ((first, 0), (last, 4))]
    assert torch.equal(ours, direct("ltx2-condition", 17, conditions=given))


def test_observed_latents_are_known_to_the_network_where_they_lie() -> None:
    pipe, calls = pipeline("ltx2-condition"), list[tuple[Tensor, Tensor]]()
    own = pipe.transformer.forward

    def watched(**told: Any) -> Any:
        if told["hidden_states"].shape[0] == 2:  # with words and without
            calls.append((told["hidden_states"][0].clone(), told["timestep"][0].clone()))
        return own(**told)

    with instead(pipe.transformer, "forward", watched):
        made = latents("ltx2-condition", 41, (), scheme="keys-then-fill")
    keys, between = calls[:2], calls[2:]
    assert len(between) and all((time > 0).all() for _, time in keys)
    known = [x.unflatten(0, (-1, 8 * 8))[(time == 0).view(-1, 8 * 8).all(1)] for x, time in between]
    kept = [frame[0, 0].flatten(1).T for frame in made.values()]
    for frames in known:
        assert len(frames) == 2
        assert all(any(torch.equal(frame, one) for one in kept) for frame in frames)


def test_a_pipeline_without_its_text_encoder_hears_nothing() -> None:
    pipe = parts.made("ltx2-text")
    pipe.text_encoder = None
    system = wrapped(pipe, Knobs(clip=17, steps=1))
    assert len(list(longtake.generate(PROMPT, model=system, frames=9, size=(32, 32)))) == 9


@pytest.mark.parametrize("name", NAMES)
def test_a_film_has_exactly_the_frames_asked_for(name: str, tmp_path: Path) -> None:
    images = pictures(name, tmp_path)
    for frames in (1, 7, 50):
        assert len(film(name, frames, images)) == frames
    for frames in (1, 7):
        assert len(film(name, frames, images, noise="diffusers")) == frames


class Zeros:
    """Makes latents of nothing: how long a film is lies with takes and decoders alone."""

    def __init__(self, spec: ClipSpec) -> None:
        self.spec = spec

    def sample(self, request: ClipRequest) -> Clip:
        return Clip(torch.zeros(1, len(request.targets), *request.frame), request.targets)


# one of each autoencoder, and those that count in chunks and sections
DECODED = ("wan-text", "ltx-text", "ltx2-text", "cog-text", "hunyuan-text", "mochi")
DECODED += ("svd", "animate", "framepack", "helios")


@pytest.mark.parametrize("name", DECODED)
def test_long_films_have_exactly_the_frames_asked_for(name: str) -> None:
    _, clip, size = parts.PIPELINES[name]
    system = wrapped(pipeline(name), Knobs(clip=clip), mark=name)
    stage = system.stages[0]
    spec = dataclasses.replace(stage.models["clip"].spec, begins=True)
    part = Part(spec, lambda: Zeros(spec))
    made = dataclasses.replace(system, stages=(dataclasses.replace(stage, models={"clip": part}),))
    for frames in (97, 100, 1001) if name == "ltx2-text" else (97, 100):
        take = longtake.generate(PROMPT, model=made, frames=frames, size=size)
        assert sum(1 for _ in take) == frames


# the decoders of LTX and LTX-2 look ahead: only its latents keep the law to the end, see the next test
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("ltx")])
def test_a_longer_film_begins_as_a_shorter_one(name: str, tmp_path: Path) -> None:
    images = pictures(name, tmp_path)
    short, long = film(name, 26, images), film(name, 41, images)
    assert torch.equal(short, long[:26])
    assert torch.equal(short, film(name, 26, images))
    assert not torch.equal(short, film(name, 26, images, seed=4))


@pytest.mark.parametrize("name", NAMES)
def test_latents_of_a_longer_film_begin_as_those_of_a_shorter(name: str, tmp_path: Path) -> None:
    images = pictures(name, tmp_path)
    short, long = (latents(name, frames, images) for frames in (26, 41))
    shared = [index for index in short if index in long]
    least = min(parts.PIPELINES[name][1] // 8, len(short) - 1)  # Helios' latents are whole chunks
    assert len(shared) > least
    assert all(torch.equal(short[index], long[index]) for index in shared)


def latents(
    name: str, frames: int, images: tuple[str, ...], scheme: str = "", sink: str = "off"
) -> Mapping[int, Tensor]:
    """Every latent frame that the model wrote, by its index."""
    from longtake.engine import Serial, render
    from longtake.engine.store import Memory

    _, clip, size = parts.PIPELINES[name]
    knobs = Knobs(scheme, clip=clip, steps=2, sink=sink)
    system = wrapped(pipeline(name), knobs, mark=name, extra=parts.said(name))
    take = longtake.generate(PROMPT, model=system, frames=frames, size=size, images=images, seed=3)
    store = Memory()
    for _ in render(take.job, store, Serial()):
        pass
    written = {}
    for line in store.records():
        found = store.get(line["key"])
        assert found is not None
        written |= {index: found.pick([index]).frames for index in found.at}
    return written


def test_a_sink_shows_every_call_what_the_take_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    from longtake.models.pretrained.pipeline import PipelineModel

    asked, sample = list[ClipRequest](), PipelineModel.sample

    def noted(model: PipelineModel, request: ClipRequest) -> Clip:
        asked.append(request)
        return sample(model, request)

    monkeypatch.setattr(PipelineModel, "sample", noted)
    short = latents("wan-vace", 26, (), sink="on")
    asked.clear()
    long = latents("wan-vace", 41, (), sink="on")
    window = (parts.PIPELINES["wan-vace"][1] - 1) // 4 + 1
    assert len(asked) > 2 and asked[0].observed is None
    for request in asked[1:]:
        assert request.observed is not None and len(request.at) <= window
        assert torch.equal(request.observed.pick([0]).frames, long[0])
    assert all(torch.equal(short[index], long[index]) for index in short)
    with pytest.raises(InputError, match="cannot be shown a take's first frame"):
        wrapped(pipeline("wan-image"), Knobs(sink="on"))


CARRYING = (
    "wan-image",
    "ltx-condition",
    "ltx2-image",
    "ltx2-condition",
    "cog-image",
    "skyreels-forcing",
)


@pytest.mark.parametrize("name", CARRYING)
def test_latents_go_from_call_to_call_and_never_through_pixels(name: str, tmp_path: Path) -> None:
    images = pictures(name, tmp_path)
    _, clip, size = parts.PIPELINES[name]
    pipe = parts.made(name)
    film(name, 26, images)
    encoded: list[int] = []
    own = pipe.vae._encode

    def watched(x: Tensor, **how: Any) -> Tensor:
        encoded.append(int(x.shape[2]))
        return own(x, **how)

    pipe.vae._encode = watched
    system = wrapped(pipe, Knobs(clip=clip, steps=2))
    list(longtake.generate(PROMPT, model=system, frames=58, size=size, images=images))
    assert len(encoded) == {"wan-image": 3, "ltx2-image": 2, "cog-image": 2}.get(name, 0)


def test_what_a_model_cannot_observe_is_said_with_what_fits() -> None:
    with pytest.raises(FitError) as caught:
        film("wan-text", 50, scheme="keys-then-fill")
    said = str(caught.value)
    assert "an unbroken run of frames just before" in said
    assert "autoregressive" in said and "VACE" in said
    with pytest.raises(FitError, match="no frames"):
        film("wan-text", 50, length="none", scheme="autoregressive")
    with pytest.raises(FitError, match="--image FILE"):
        film("cog-image", 17)
    for name in ("wan-vace", "ltx-condition", "ltx2-condition"):
        for scheme in ("keys-then-fill", "coarse-to-fine", "unified", "hierarchy", "long-range"):
            assert len(film(name, 41, scheme=scheme)) == 41


def test_first_last_models_serve_schemes_that_fill(tmp_path: Path) -> None:
    images = pictures("wan-ends", tmp_path)
    for scheme in ("keys-then-fill", "coarse-to-fine", "unified"):
        assert len(film("wan-ends", 41, images, scheme=scheme)) == 41


# --- films denoised as a whole


def test_a_window_as_long_as_the_film_changes_nothing_and_others_are_averaged() -> None:
    from longtake.models.pretrained.windows import codenoised, spans_of, weights_of

    class Ramp(torch.nn.Module):
        """Says of every frame where it lies in what is seen."""

        def forward(self, hidden_states: Tensor) -> tuple[Tensor]:
            places = torch.arange(hidden_states.shape[2], dtype=torch.float32)
            return (places.view(1, 1, -1, 1, 1).expand_as(hidden_states),)

    net, x = Ramp(), torch.zeros(1, 2, 7, 1, 1)
    with codenoised(net, 7, 3):
        assert torch.equal(net(x)[0], Ramp()(x)[0])
    with codenoised(net, 4, 2):
        made = net(x)[0][0, 0, :, 0, 0]
    assert spans_of(7, 4, 2) == [(0, 4), (2, 6), (3, 7)]
    wanted, counted, weights = torch.zeros(7), torch.zeros(7), weights_of(4)
    for first, stop in spans_of(7, 4, 2):
        wanted[first:stop] += weights * torch.arange(4)
        counted[first:stop] += weights
    assert torch.allclose(made, wanted / counted)
    assert torch.equal(net(x)[0], Ramp()(x)[0]), "the network is as it was"


@pytest.mark.parametrize("length", ["windows", "freenoise"])
def test_films_denoised_as_a_whole(length: str) -> None:
    assert len(film("wan-text", 50, length=length)) == 50
    own = film("wan-text", 17, length=length, noise="diffusers")
    assert torch.equal(own, direct("wan-text", 17))
    with pytest.raises(FitError, match="no frames"):
        film("wan-text", 50, length=length, scheme="autoregressive:window=6")
    with pytest.raises(InputError, match="windows"):
        film("ltx-text", 50, length=length)


# --- history guidance


def test_history_guidance_weighs_what_the_past_adds() -> None:
    from longtake.models.pretrained.history import empty_past, guided_by_past, noisy_prefix

    class Sum(torch.nn.Module):
        """What it is shown, and all of the past it is told."""

        def forward(self, hidden_states: Tensor, timestep: Tensor, **past: Tensor) -> tuple[Tensor]:
            told = sum(part.sum() for part in past.values()) + timestep.sum()
            return (hidden_states + told,)

    net, x, time = Sum(), torch.ones(1, 1, 3, 1, 1), torch.zeros(1)
    past = {"latents_history_2x": torch.ones(1, 1, 2, 1, 1), "latents_clean": torch.ones(1, 1, 2)}
    plain = net(x, time, **past)[0]
    with guided_by_past(net, 3.0, empty_past):
        made = net(hidden_states=x, timestep=time, **past)[0]
        begun = net(hidden_states=x, timestep=time, latents_history_2x=torch.zeros(2))[0]
    assert torch.equal(made, plain + 2 * 2), "two coarse frames are the past; the picture stays"
    assert torch.equal(begun, x), "nothing to leave out"
    assert torch.equal(net(x, time, **past)[0], plain), "the network is as it was"

    scheduler = SimpleNamespace(timesteps=torch.tensor([9.0, 4.0]))
    noise, times = torch.full_like(x, 5.0), torch.tensor([[0.0, 0.0, 4.0]])
    with guided_by_past(net, 0.0, noisy_prefix(noise, 2, scheduler)):
        alone = net(hidden_states=x, timestep=times)[0]
    assert alone.flatten().tolist() == [5 + 22, 5 + 22, 1 + 22]


SCALE = 50.0  # tiny networks hardly look beside a frame


@pytest.mark.parametrize("name", ["skyreels-forcing", "helios", "framepack"])
def test_history_guidance_changes_what_follows_a_past(name: str, tmp_path: Path) -> None:
    images = pictures(name, tmp_path)
    clip = parts.PIPELINES[name][1]
    long = clip + 16
    plain = film(name, long, images)
    assert torch.equal(film(name, long, images, history=1.0), plain)
    guided = film(name, long, images, history=SCALE)
    assert not torch.equal(guided[-8:], plain[-8:])
    assert torch.equal(film(name, long + 16, images, history=SCALE)[: long - 8], guided[: long - 8])
    with pytest.raises(InputError, match="history"):
        film("wan-text", 17, history=2.0)
