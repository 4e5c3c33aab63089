"""Systems out of a proof's weights: what lets `generate` make films with the arms of an experiment."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.clip import ClipSpec, CodecSpec
from longtake.controls import Encoder
from longtake.errors import InputError, nearest
from longtake.keys import file_fingerprint, fingerprint
from longtake.lab.home import home, shared_codec, weights_of
from longtake.models.samplers import Sampling
from longtake.schemes import find_scheme
from longtake.steps import Scheme
from longtake.system import Part, Stage, System

if TYPE_CHECKING:
    from torch import nn

    from longtake.clip import ClipModel, Codec
    from longtake.models.masked import MaskedModel
    from longtake.models.picking import Picking
    from longtake.models.revealing import Revealing

SPECS: Mapping[str, Mapping[str, Any]] = {  # of the shared codecs, known without torch
    "kl": {"channels": 8, "down": 8, "stride": 1, "context": (0, 0), "codes": 0},
    "vq": {"channels": 1, "down": 8, "stride": 4, "context": (10, 0), "codes": 512},
    "fine": {"channels": 1, "down": 8, "stride": 2, "context": (12, 0), "codes": 512},
}
SAMPLING = Sampling(steps=12, shift=2.0)  # of every proof's flows


def one_of(knob: str, value: str, known: Iterable[str]) -> str:
    """A knob's value, if it is a known one; InputError else."""
    if value not in known:
        raise InputError(f"unknown {knob} '{value}'", "--set", nearest(value, known))
    return value


def two_blocks(widths: Sequence[int], attends: Sequence[bool], head: int) -> dict[str, Any]:
    """Sizes of a U-Net of two blocks a scale, as many published ones are."""
    return {"widths": widths, "blocks": 2, "attends": attends, "head": head}


def alone(
    name: str, learn: Callable[..., Iterator[Any]], *asked: Any
) -> Callable[..., Iterator[Any]]:
    """A recipe's `train`: its own arm, into the folder of its proof."""

    def train(run: str | Path = "", seed: int = 0) -> Iterator[Any]:
        from longtake.lab.bench import Lab

        yield from learn(Lab(Path(run) if run else home(name, seed), seed), *asked)

    return train


def codec_part(world: str, kind: str = "kl", device: str = "cpu") -> Part[CodecSpec, Codec]:
    """The shared codec of a world."""
    path = shared_codec(world, kind)
    spec = CodecSpec(fingerprint=file_fingerprint(path) if path.exists() else "", **SPECS[kind])

    def make() -> Codec:
        from longtake.lab.shared import codec

        return codec(world, kind, device)

    return Part(spec, make)


@dataclasses.dataclass(frozen=True)
class Design:
    """What a recipe's system is whatever its knobs say: one stage of one clip model, 64x64.

    name: of the recipe. world, codec: whose shared codec, and of which kind. sizes: of the network.
    window, observes, tracks: as `ClipSpec` has them.
    """

    name: str
    world: str
    sizes: Mapping[str, Mapping[str, Any]]
    window: int
    codec: str = "kl"
    observes: str = "any"
    tracks: Mapping[str, int] = dataclasses.field(default_factory=dict)
    encoder: Encoder | None = None
    fps: float = 10.0

    def system(
        self,
        scheme: str | Scheme,
        size: str,
        weights: str,
        device: str,
        network: Callable[[str], nn.Module],
        model: Callable[[Any, ClipSpec], ClipModel],
        *,
        knobs: Sequence[Any] = (),
        arm: str = "",
    ) -> System:
        """The system as a recipe's knobs have it; nothing is built before its first film.

        weights: a file, or "" for those of the proof's `arm` of seed 0. network: untrained, of a size.
        model: the clip model around it. knobs: values of all that shape pixels, beside the size. arm:
        called as the recipe if empty.
        """
        sizes = self.sizes[one_of("size", size, self.sizes)]
        path = Path(weights) if weights else weights_of(home(self.name), arm or self.name)
        mark = file_fingerprint(path) if path.is_file() else "untrained"
        spec = ClipSpec(
            self.window,
            (SPECS[self.codec]["channels"], None, None),
            fingerprint([self.name, mark, [size, *knobs]]),
            observes=self.observes,
            tracks=self.tracks,
            codes=sizes.get("codes", 0),
        )

        def make() -> ClipModel:
            net = network(size)
            made = model(net, spec)
            fill(net, path, self.name)
            net.to(device).eval().requires_grad_(False)
            return made

        if isinstance(scheme, str):
            scheme = find_scheme(scheme, self.window)
        codec = codec_part(self.world, self.codec, device)
        stage = Stage(scheme, {"clip": Part(spec, make)}, codec)
        return System(self.name, (stage,), self.encoder, fps=self.fps, size=(64, 64))


def fill(net: nn.Module, path: Path, name: str) -> None:
    """Puts the weights of a recipe's proof into its network; InputError where `path` holds none such."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    hint = f"longtake train {name}"
    try:
        net.load_state_dict(load_file(path), strict=False)
    except FileNotFoundError:
        raise InputError(f"{name} is not trained", str(path), hint) from None
    except (SafetensorError, OSError, RuntimeError) as error:
        told = str(error).partition("\n")[0]
        raise InputError(f"not weights of {name}: {told}", str(path), hint) from None


def flow_model(
    net: Any, spec: ClipSpec, sampling: Sampling = SAMPLING, kind: Any = None
) -> ClipModel:
    """A clip model around the velocity of a flow, in half precision. kind: `FlowModel`, or one like it."""
    from longtake.models.diffusion import FlowModel
    from longtake.nets.half import Halved

    made: ClipModel = (kind or FlowModel)(Halved(net), spec, sampling)
    return made


def flow_in(steps: int, guidance: float = 1.0) -> Callable[[Any, ClipSpec], ClipModel]:
    """The same in so many steps, which are checked at once. guidance: on text."""
    sampling = dataclasses.replace(SAMPLING, steps=steps, guidance=guidance)
    return functools.partial(flow_model, sampling=sampling)


def masked_model(net: Any, spec: ClipSpec, picking: Picking, revealing: Revealing) -> MaskedModel:
    """A clip model around what hidden codes may be, in half precision."""
    from longtake.models.masked import MaskedModel
    from longtake.nets.half import Halved

    return MaskedModel(Halved(net), spec, picking, revealing, refine=0)
