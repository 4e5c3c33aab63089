"""What a training step takes: counted by hand on a small net, and told by `plan --train`."""

from __future__ import annotations

import json
import math

import pytest
import torch
from click.testing import CliRunner
from family_parts import request
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from longtake.cli import cli
from longtake.clip import Clip, ClipSpec
from longtake.errors import FitError
from longtake.models.diffusion import FlowModel
from longtake.models.noise import Mixed, NoiseFrom
from longtake.models.samplers import Sampling
from longtake.nets.masked import BottleneckTransformer, MaskedTransformer
from longtake.nets.packed import PackedShape, PackedTransformer
from longtake.nets.planar import PlaneUNet
from longtake.nets.routes import Conditioned, InPlace
from longtake.nets.tokens import TokenShape
from longtake.nets.unet import FactorisedUNet, Told, UNetShape
from longtake.train.cost import keeping, nets_of, step_cost, trainable


class Chain(nn.Module):
    """Two layers of 4 numbers with a kept product between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.requires_grad_(False)

    def losses(self, request, truth):
        y = self.first(truth.frames.flatten(2)).tanh()
        return {"near": self.second(y).square().mean((1, 2))}


def test_what_is_kept_is_counted_by_hand() -> None:
    chain, truth = Chain(), Clip(torch.randn(1, 3, 1, 2, 2), (0, 1, 2))
    cost = step_cost(chain, request((0, 1, 2), frame=(1, 2, 2)), truth)
    assert cost.parameters == 32 and cost.held == (4 * 128, 5 * 128)
    # The input, tanh's output and what is squared: three of 3 frames x 4 numbers x 4 bytes.
    assert cost.kept == 3 * 48
    assert cost.seconds > 0
    assert not any(p.requires_grad or p.grad is not None for p in chain.parameters())


def unet(width: int = 16) -> FlowModel:
    shape = UNetShape(channels=4, extra=1, text=3, widths=(width,), attends=(False,), head=16)
    net = Conditioned(FactorisedUNet(shape), InPlace())
    return FlowModel(net, ClipSpec(64, (4, None, None), "test"), Sampling())


def test_what_is_kept_grows_with_frames_as_it_should() -> None:
    """Filters: twice the frames, twice as much, but for scores of frames by frames at every place."""
    kept = []
    for frames in (4, 8, 16):
        at = tuple(range(frames))
        truth = Clip(torch.randn(1, frames, 4, 4, 4), at)
        model = unet()
        model.spec = ClipSpec(64, (4, None, None), "test")
        kept.append(step_cost(model, request(at, frame=(4, 4, 4)), truth).kept)
    assert 1.9 < kept[1] / kept[0] < 2.4 and 1.9 < kept[2] / kept[1] < 2.4


def test_networks_are_found_through_wrappers() -> None:
    inner = unet()
    model = NoiseFrom(inner, Mixed, "half")
    assert list(nets_of(model)) == [inner.net]
    assert trainable(model) is model

    class Shut:
        def __init__(self, model) -> None:
            self.model = model

        def sample(self, request): ...

    assert trainable(Shut(inner)) is inner
    with pytest.raises(FitError, match="no losses"):
        trainable(object())


def slope(net: nn.Module, ask, lengths: tuple[int, ...]) -> float:
    """Of the logarithm of what is kept against that of the length, between the last two."""
    kept = []
    for length in lengths[-2:]:
        with keeping(net.parameters()) as storages:
            net(*ask(length))
        kept.append(sum(storages.values()))
    return math.log(kept[1] / kept[0]) / math.log(lengths[-1] / lengths[-2])


def test_bottlenecks_and_planes_grow_linearly_with_length_scores_that_are_kept_do_not() -> None:
    shape = TokenShape(codes=8, width=16, blocks=1, head=16, latents=(2, 2, 2))

    def tokens(frames: int):
        n = 8 * frames
        return (
            torch.zeros(1, n, dtype=torch.long),
            torch.rand(1, n, 3),
            torch.zeros(1, n, dtype=torch.long),
        )

    lengths = (64, 256)  # where the square is most of it
    assert slope(BottleneckTransformer(shape), tokens, lengths) < 1.15
    assert slope(MaskedTransformer(shape), tokens, lengths) < 1.15, "scores are not kept"
    with sdpa_kernel(SDPBackend.MATH):
        assert slope(MaskedTransformer(shape), tokens, lengths) > 1.5

    def volume(frames: int):
        told = Told(torch.zeros(1, frames))
        return (
            torch.zeros(1, frames, 3, 16, 16),
            torch.zeros(1, frames),
            torch.zeros(1, frames),
            told,
        )

    def clip(frames: int):
        planar.frames = frames
        return (
            torch.zeros(1, 1, 3, 16, 16),
            torch.zeros(1, 1),
            torch.zeros(1, 1),
            Told(torch.zeros(1, 1)),
        )

    planar = PlaneUNet(UNetShape(channels=3, widths=(16,), attends=(True,), head=16), 16)
    assert slope(planar, clip, (8, 16)) < 1.15
    full = PackedTransformer(PackedShape(channels=3, width=16, blocks=1, head=16, patch=4))
    assert slope(full, volume, (32, 128)) < 1.15
    with sdpa_kernel(SDPBackend.MATH):
        assert slope(full, volume, (32, 128)) > 1.5


RECIPE = '''
"""Two roles, one of which cannot be trained."""
import torch
from longtake.clip import ClipSpec, CodecSpec
from longtake.codecs.pixels import PixelCodec
from longtake.models.diffusion import FlowModel
from longtake.models.samplers import Sampling
from longtake.nets.routes import Conditioned, InPlace
from longtake.nets.unet import FactorisedUNet, UNetShape
from longtake.schemes import find_scheme
from longtake.system import Part, Stage, System


def small(width: int = 16):
    codec = PixelCodec(4)
    spec = ClipSpec(4, (48, None, None), "small")
    shape = UNetShape(48, 1, 0, (width,), attends=(True,), head=16)
    model = lambda: FlowModel(Conditioned(FactorisedUNet(shape), InPlace()), spec, Sampling())
    parts = {"clip": Part(spec, model)}
    stage = Stage(find_scheme("autoregressive:window=4,step=2"), parts, Part(codec.spec, lambda: codec))
    return System("small", (stage,), size=(32, 16))
'''


def test_plan_says_what_training_would_take(tmp_path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(RECIPE)
    ran = CliRunner().invoke(
        cli, ["plan", "--train", f"{path}:small", "--json", "--set", "width=32"]
    )
    assert ran.exit_code == 0, ran.output
    role, total = (json.loads(line) for line in ran.stdout.splitlines())
    assert role["event"] == "role" and total["event"] == "budget"
    assert (role["frames"], role["places"], role["places_of_pixels"]) == (4, 4 * 8, 16 * 32)
    assert role["numbers"] == 48 * 32 and role["compression"] == 1.0
    assert role["parameters"] == total["parameters"] > 50_000
    assert role["step_seconds"] > 0 and role["bytes_a_clip"] > 4 * 4 * 48 * 32
    words = CliRunner().invoke(cli, ["plan", "--train", f"{path}:small", "--size", "64x64"])
    assert "training small at 64x64" in words.stdout and "256 places a call" in words.stdout
    for wrong in (
        ["a sea", "--train", f"{path}:small"],
        ["--train", f"{path}:small", "--seconds", "3"],
        ["--train", "nothing"],
    ):
        ran = CliRunner().invoke(cli, ["plan", *wrong])
        assert ran.exit_code == 2, ran.output
