"""Systems out of a proof's weights: what lets `generate` make films with the arms of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.clip import ClipSpec, CodecSpec
from longtake.controls import Encoder
from longtake.errors import InputError, nearest
from longtake.keys import file_fingerprint, fingerprint
from longtake.lab.home import home, shared_codec, weights_of
from longtake.schemes import find_scheme
from longtake.system import Part, Stage, System

if TYPE_CHECKING:
    from torch import nn

    from longtake.clip import ClipModel, Codec

SPECS: Mapping[str, Mapping[str, Any]] = {  # of the shared codecs, known without torch
    "kl": {"channels": 8, "down": 8, "stride": 1, "context": (0, 0), "codes": 0},
    "vq": {"channels": 1, "down": 8, "stride": 4, "context": (10, 0), "codes": 512},
}
CODED: Mapping[str, Any] = {"frame": (1, None, None), "codes": SPECS["vq"]["codes"]}  # of a model


def one_of(knob: str, value: str, known: Iterable[str]) -> str:
    """A knob's value, if it is a known one; InputError else."""
    if value not in known:
        raise InputError(f"unknown {knob} '{value}'", "--set", nearest(value, known))
    return value


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


def model_part(
    name: str,
    arm: str,
    weights: str,
    spec: Mapping[str, Any],
    build: Callable[[ClipSpec], tuple[nn.Module, ClipModel]],
    knobs: Any,
    device: str = "cpu",
) -> Part[ClipSpec, ClipModel]:
    """A clip model around weights of a proof: `weights` is a file, or "" for those of seed 0.

    spec: fields of `ClipSpec` but its fingerprint, which is of the weights and of `knobs`. build: the
    untrained network and the clip model around it.
    """
    path = Path(weights) if weights else weights_of(home(name), arm)
    mark = file_fingerprint(path) if path.is_file() else "untrained"
    full = ClipSpec(fingerprint=fingerprint([name, mark, knobs]), **spec)

    def make() -> ClipModel:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        net, model = build(full)
        try:
            net.load_state_dict(load_file(path), strict=False)
        except FileNotFoundError:
            raise InputError(
                f"{name} is not trained", str(path), f"longtake train {name}"
            ) from None
        except (SafetensorError, OSError, RuntimeError) as error:
            told = str(error).partition("\n")[0]
            raise InputError(
                f"not weights of {name}: {told}", str(path), f"longtake train {name}"
            ) from None
        net.to(device).eval().requires_grad_(False)
        return model

    return Part(full, make)


def system(
    name: str,
    scheme: str,
    model: Part[ClipSpec, ClipModel],
    codec: Part[CodecSpec, Codec],
    *,
    encoder: Encoder | None = None,
    fps: float = 10.0,
) -> System:
    """One stage of one model, 64x64."""
    stage = Stage(find_scheme(scheme, model.spec.window), {"clip": model}, codec)
    return System(name, (stage,), encoder, fps=fps, size=(64, 64))
