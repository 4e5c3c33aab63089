"""How a step is computed changes nothing in what is learned: layers computed again, and compiled."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_families import FAMILIES, family, request_of
from torch import Tensor, nn

from longtake.errors import InputError
from longtake.nets.convolutional import VideoShape, VQVideo
from longtake.nets.dit import InnerBlock, OuterBlock
from longtake.nets.quantise import LookupFree, VectorQuantiser
from longtake.nets.tokens import TokenBlock
from longtake.nets.unet import FactorisedUNet, UNetShape
from longtake.train import Compute, Logged, Schedule, fit
from longtake.train.compute import layers
from longtake.train.cost import keeping

SCHEDULE = Schedule(steps=4, rate=5e-3, warmup=1, ema=0.9, save_every=2, log_every=1)
AGAIN, EAGER = Compute(recomputed=True), Compute(compiled="aot_eager")


def trained(
    name: str, folder: Path, compute: Compute, stop: int = 99
) -> tuple[nn.Module, list[Logged]]:
    """A family's net after a training, or after what came of it until it stopped."""
    made, curve = family(name), []

    def batch(step: int) -> tuple:
        if step == stop:
            raise KeyboardInterrupt
        return request_of(made.codec, step)

    losses = made.losses
    lines = fit(
        made.net,
        lambda pair: losses(*pair),
        batch,
        SCHEDULE,
        folder,
        made.parts,
        made.tools,
        compute=compute,
    )
    try:
        curve.extend(lines)
    except KeyboardInterrupt:
        pass
    assert not [part for part in made.net.modules() if "forward" in vars(part)], "as they were"
    return made.net, curve


def same(one: nn.Module, other: nn.Module) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("name", FAMILIES)
def test_computed_again_it_learns_the_same_to_the_bit(name: str, tmp_path: Path) -> None:
    """R1's gradients of gradients and the players' shared graph among it."""
    plain, curve = trained(name, tmp_path / "plain", Compute())
    again, other = trained(name, tmp_path / "again", AGAIN)
    same(plain, again)
    assert [line.losses for line in curve] == [line.losses for line in other]


@pytest.mark.parametrize("name", ["diffusion", "tokens"])
def test_compiled_it_learns_the_same_to_rounding(name: str, tmp_path: Path) -> None:
    _, curve = trained(name, tmp_path / "plain", Compute())
    _, other = trained(name, tmp_path / "fast", EAGER)
    assert len(curve) == len(other) == SCHEDULE.steps
    for one, two in zip(curve, other, strict=True):
        assert one.losses == pytest.approx(two.losses, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("compute", [AGAIN, Compute(True, "aot_eager")], ids=["again", "both"])
def test_killed_and_resumed_to_the_bit(compute: Compute, tmp_path: Path) -> None:
    straight, _ = trained("diffusion", tmp_path / "straight", compute)
    trained("diffusion", tmp_path / "cut", compute, stop=3)
    resumed, _ = trained("diffusion", tmp_path / "cut", compute)
    same(straight, resumed)


def test_less_is_kept() -> None:
    """Bytes that are held for the backward pass; of a layer's input there is no other record."""
    torch.manual_seed(0)
    shape = VideoShape(channels=4, widths=(16, 16), halves_time=(False,), blocks=6)
    net, held = VQVideo(shape, LookupFree(4)), {}
    for compute in (Compute(), AGAIN):
        with compute.applied(net), keeping(net.parameters()) as storages:
            made, _ = net(torch.rand(1, 4, 3, 16, 16))
            held[compute.recomputed] = sum(storages.values())
        made.square().mean().backward()
    inputs = 24 * 16 * 4 * 16 * 16 * 4  # at most: of 24 layers
    assert held[True] + inputs < 0.5 * held[False]


def test_layers_are_the_repeated_ones() -> None:
    kinds = lambda net: {type(layer) for layer in layers(net)}  # noqa: E731
    assert kinds(family("diffusion").net) == {OuterBlock, InnerBlock}
    assert kinds(family("tokens").net) == {TokenBlock}
    unet = FactorisedUNet(UNetShape(widths=(32, 32), attends=(False, True)))
    found = layers(unet)
    within = {id(p) for layer in found for p in layer.parameters()}
    shares = sum(p.numel() for p in unet.parameters() if id(p) in within)
    assert shares > 0.7 * sum(p.numel() for p in unet.parameters())
    small = nn.Linear(2, 2)
    assert layers(small) == [small]


def test_a_codebook_takes_one_step(tmp_path: Path) -> None:
    """A layer that keeps more than weights is not computed twice."""

    class Booked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.book = nn.Linear(3, 3), VectorQuantiser(4, 3, decay=0.5)

        def forward(self, x: Tensor) -> Tensor:
            values: Tensor = self.book(self.first(x)).values
            return values

    nets = []
    for n, compute in enumerate((Compute(), AGAIN)):
        net = nn.Sequential(Booked(), nn.Sequential(nn.Linear(3, 3), nn.Tanh()))
        with torch.random.fork_rng():
            batch = lambda step: torch.randn(6, 3, generator=torch.Generator().manual_seed(step))  # noqa: E731
            losses = lambda x, net=net: {"far": (net(x) - x).square().mean(1)}  # noqa: E731
            torch.manual_seed(0)
            for p in net[1].parameters():
                p.data.normal_()
            list(fit(net, losses, batch, SCHEDULE, tmp_path / str(n), compute=compute))
        nets.append(net)
    same(*nets)


class Steep(nn.Module):
    """A critic whose loss is its own slope (R1, Mescheder et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Sequential(nn.Linear(2, 4), nn.Tanh()), nn.Linear(4, 1))

    def losses(self, x: Tensor) -> dict[str, Tensor]:
        x.requires_grad_()
        (slope,) = torch.autograd.grad(self.body(x).sum(), x, create_graph=True)
        return {"slope": slope.square().sum(1)}


def test_gradients_of_gradients_are_refused(tmp_path: Path) -> None:
    """Compiled layers have none."""
    net = Steep()
    with pytest.raises(InputError, match="gradients of gradients"):
        list(fit(net, net.losses, lambda n: torch.ones(3, 2), SCHEDULE, tmp_path, compute=EAGER))
    assert not (tmp_path / "checkpoint.safetensors").exists()
    assert list(fit(net, net.losses, lambda n: torch.ones(3, 2), SCHEDULE, tmp_path, compute=AGAIN))


def test_one_process_keeps_all_shards(tmp_path: Path) -> None:
    plain, _ = trained("tokens", tmp_path / "plain", Compute())
    alone, _ = trained("tokens", tmp_path / "alone", Compute(sharded=True))
    same(plain, alone)
