"""Codecs under critics: who trains whom, and what a critic of motion can tell."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from family_parts import shaken
from torch import Tensor

from longtake.codecs.adversarial import Sharpness, SharpTraining
from longtake.nets.convolutional import VideoShape, VQVideo
from longtake.nets.critics import ClipCritic, CriticShape
from longtake.nets.quantise import VectorQuantiser
from longtake.train import Schedule, fit

SHAPE = VideoShape(channels=4, widths=(8, 8), halves_time=(True,), taps=3, causal=True)


def critics() -> list[ClipCritic]:
    shape = CriticShape(widths=(8, 8))
    return [shaken(ClipCritic(shape, taps), 0.1) for taps in (1, 3)]


def batch(step: int) -> Tensor:
    return torch.rand(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(step))


def training(**sharpness: float) -> SharpTraining:
    torch.manual_seed(0)
    return SharpTraining(VQVideo(SHAPE, VectorQuantiser(8, 4)), critics(), Sharpness(**sharpness))


def test_a_critic_of_pictures_does_not_hear_motion() -> None:
    pictures, motion = critics()
    clip, times = batch(0), torch.arange(4)
    mixed = clip[:, [2, 0, 3, 1]]
    with torch.no_grad():
        torch.testing.assert_close(pictures(clip, times), pictures(mixed, times))
        assert not torch.allclose(motion(clip, times), motion(mixed, times), atol=1e-4)
    with pytest.raises(ValueError, match="try 3"):
        ClipCritic(CriticShape(), taps=2)


def test_codec_and_critics_learn_together(tmp_path: Path) -> None:
    made = training(perceptual=lambda x, y: (x - y).square().mean((1, 2, 3, 4)))
    before = {name: p.clone() for name, p in made.nets.state_dict().items()}
    schedule = Schedule(steps=2, rate=1e-2, warmup=1, ema=0.0, log_every=2)
    (line,) = fit(made.nets, made, batch, schedule, tmp_path, made.parts)
    told = {"pixels", "edges", "change", "commitment", "fool", "match", "looks", "critic", "norm"}
    assert set(line.losses) == told
    same = [name for name, p in made.nets.state_dict().items() if torch.equal(p, before[name])]
    assert all("score.bias" in name for name in same), same  # hinge: both sides push it alike


def test_without_weights_the_codec_is_trained_as_before(tmp_path: Path) -> None:
    """Critics that count nothing must change nothing in the codec."""
    schedule = Schedule(steps=2, rate=1e-2, warmup=1, ema=0.0)
    states = []
    for name, seed in (("one", 0), ("other", 5)):
        made = training(fool=0.0, match=0.0)
        torch.manual_seed(seed)
        for p in made.critics.parameters():
            p.data.add_(0.1 * torch.randn_like(p))
        list(fit(made.nets, made, batch, schedule, tmp_path / name, made.parts))
        states.append(made.net.state_dict())
    assert all(torch.equal(one, states[1][key]) for key, one in states[0].items())
    loud = training(fool=1.0)
    list(fit(loud.nets, loud, batch, schedule, tmp_path / "loud", loud.parts))
    assert not torch.equal(loud.net.decoder.leave[-1].weight, states[0]["decoder.leave.2.weight"])
