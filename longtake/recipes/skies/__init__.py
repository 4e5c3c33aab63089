"""skies: prompted landscape time-lapse, the model that ships with longtake.

A KL codec makes latents of 4 frames by 16x16 pixels; a space-time transformer at real times is
trained by flow matching on index sets as in FDM (Harvey et al. 2022), so that every scheme runs on
one set of weights. Prompts become a row of sky attributes for each latent frame (`prompts.text`).
Data: the world `sky`, and Big Buck Bunny (CC BY 3.0, Blender Foundation) so that real pictures survive.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.clip import ClipSpec, CodecSpec
from longtake.errors import InputError
from longtake.keys import file_fingerprint, fingerprint
from longtake.models.samplers import Sampling
from longtake.recipes.skies.parts import SAMPLING, Story, Words, sizes
from longtake.schemes import Begun, find_scheme
from longtake.schemes.begun import ROLE
from longtake.system import Part, Stage, System

if TYPE_CHECKING:
    from longtake.clip import ClipModel, Codec
    from longtake.train import Logged

VERSION = 2  # of the code between weights and pixels: raise it when a change of code changes films
WINDOW = 16  # latent frames it was trained on
CONTEXT = (4, 4)  # latent frames the decoder looks to either side, `AutoencoderShape.context`
# keyframes every 6.4 s by a chain, every 1.6 s between them, then what lies between those: a chain
# of few calls does not drift, and links this short leave clouds little to bridge
SCHEME = "unified:window=16,step=8,spacing=16,overlap=5,joins=none"
# of a film that a picture begins, 16 s: keys every 1.6 s, two at a time
NEAR, PICTURED = "unified:window=16,step=2,spacing=4,overlap=5,joins=none", 40
FITS = 10  # steps that draw a given picture's latent nearer to it: 0.3 to 0.5 dB, half a second
BUILT_IN = Path(__file__).parents[2] / "weights"


def skies(
    *,
    scheme: str = "",
    steps: int = SAMPLING.steps,
    shift: float = SAMPLING.shift,
    guidance: float = SAMPLING.guidance,
    hold: float = SAMPLING.hold,
    context: float = SAMPLING.context,
    first: int = 24,
    sure: float = 2.5,
    rule: str = SAMPLING.rule,
    weights: str = "",
    device: str = "cpu",
) -> System:
    """The built-in system. scheme: its own if empty. steps, rule, shift: of the sampler; hold: noise level of observed frames.

    context: guidance on observed frames, 1 for none, where no long chain hangs on it: between keys, and
    near a picture that begins a take. Along a chain detail grows from call to call.
    shift: how much denser steps lie where noise is strong; it leaves less noise to the last of few steps.
    first, sure: steps and guidance of a frame that observes nothing, the first of a take.
    """
    if first < 1:
        raise InputError(f"first={first}", "--set", "first=24")
    picture = Sampling(steps=first, rule=rule, guidance=sure)
    clip = Sampling(steps, rule, shift, guidance, hold)
    led = dataclasses.replace(clip, context=context)
    folder = Path(weights) if weights else BUILT_IN
    codec_file, model_file = folder / "skies_codec.safetensors", folder / "skies.safetensors"
    shape, net = sizes(codec_file), sizes(model_file)
    codec = CodecSpec(
        shape["channels"],
        16,
        shape["stride"],
        CONTEXT,
        fingerprint([VERSION, file_fingerprint(codec_file)]),
    )

    def make_codec() -> Codec:
        from longtake.recipes.skies.training import load_codec

        return load_codec(codec_file, device, FITS)

    @functools.cache
    def weights_read() -> Any:
        from longtake.recipes.skies.training import load_net

        return load_net(model_file, device)

    def model(sampling: Sampling) -> Part[ClipSpec, ClipModel]:
        knobs = [*dataclasses.astuple(picture), *dataclasses.astuple(sampling)]
        mark = fingerprint([VERSION, file_fingerprint(model_file), *knobs])
        spec = ClipSpec(WINDOW, (shape["channels"], None, None), mark, tracks={"text": net["text"]})

        def make() -> ClipModel:
            from longtake.models.diffusion import FlowModel
            from longtake.models.wrappers import PictureFirst

            first, rest = (FlowModel(weights_read(), spec, how) for how in (picture, sampling))
            return PictureFirst(first, rest)

        return Part(spec, make)

    own = Begun(find_scheme(SCHEME, WINDOW), find_scheme(NEAR, WINDOW), PICTURED)
    plan = find_scheme(scheme, WINDOW) if scheme else own
    guided = model(led)
    models = {"clip": model(clip), "fill": guided, ROLE: guided}
    stage = Stage(plan, models, Part(codec, make_codec))
    words = Words(BUILT_IN / "words.safetensors")
    return System("skies", (stage,), words, Story(words), fps=10.0, canvas=canvas, passage=1.5)


def canvas(size: tuple[int, int]) -> tuple[int, int]:
    """The size the model works at: the short side 128, the long one as near in shape as 32s allow."""
    width, height = size
    ratio = max(width, height) / min(width, height)
    long = max(128, round(128 * ratio / 32) * 32)
    return (long, 128) if width >= height else (128, long)


def train(
    data: str = "sky",
    run: str | Path = "skies.training",
    minutes: float = 60,
    seed: int = 0,
    **knobs: Any,
) -> Iterator[Logged]:
    """Makes the weights in the folder `run`; knobs: codec_minutes, takes, clips, film, device."""
    if data != "sky":
        raise InputError(f"skies learns from the world sky, not '{data}'", "--data", "sky")
    from longtake.recipes.skies.training import make, making_of

    yield from make(making_of(Path(run), minutes=minutes, seed=seed, **knobs))
