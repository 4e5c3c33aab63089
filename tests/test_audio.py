"""Sound as tokens: causal to the bit, streamed in bounded memory, quantised in turns, and learned."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from family_parts import shaken
from torch import Tensor

from longtake.codecs.audio import CHUNK, SoundCodec, SoundTraining
from longtake.errors import FitError
from longtake.nets.quantise import LookupFree, ResidualQuantiser, VectorQuantiser
from longtake.nets.sound import SoundShape, SoundVQ, spectra
from longtake.train import Schedule, fit

SHAPE = SoundShape(widths=(8, 12), strides=(3, 4), channels=6, dilations=(1, 3))
RATE, STRIDE = 8000, 12


def codec(tracks: int = 1) -> SoundCodec:
    torch.manual_seed(0)
    shape = SoundShape(tracks, SHAPE.widths, SHAPE.strides, SHAPE.channels, SHAPE.dilations)
    net = shaken(SoundVQ(shape, ResidualQuantiser.of(16, 6, 3)), 0.1)
    return SoundCodec(net, RATE, "test")


def noise(count: int, seed: int = 0, tracks: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, tracks, count, generator=generator) * 2 - 1


@pytest.mark.parametrize("tracks", [1, 2])
def test_tokens_of_a_beginning_are_the_same_whatever_follows(tracks: int) -> None:
    """To the bit, at every step, for sounds of any length."""
    made, wave = codec(tracks), noise(50 * STRIDE, tracks=tracks)
    codes = made.encode(wave)
    assert codes.shape == (2, 50, 3) and codes.unique().numel() > 8
    for step in (1, 7, 16, 31, 49):
        cut = step * STRIDE
        assert torch.equal(made.encode(wave[..., :cut]), codes[:, :step])
        other = torch.cat([wave[..., :cut], noise(1000, seed=step, tracks=tracks)], -1)
        assert torch.equal(made.encode(other)[:, :step], codes[:, :step])
    assert torch.equal(made.encode(wave[..., : 5 * STRIDE + 1])[:, :5], codes[:, :5])
    assert made.encode(wave[..., : 5 * STRIDE + 1]).shape[1] == 6, "the end is filled up"


def test_a_step_hears_its_own_samples_to_the_last() -> None:
    made, wave = codec(), noise(20 * STRIDE)
    base = made.net.requires_grad_(False).latents(wave)
    for step in (0, 5, 12):
        for sample, first in ((step * STRIDE, step), ((step + 1) * STRIDE - 1, step)):
            other = wave.clone()
            other[..., sample] += 0.5
            moved = (made.net.latents(other) - base).abs().amax((0, 2))
            assert float(moved[:first].sum()) == 0 < float(moved[first])


def test_a_decoded_beginning_does_not_wait_for_the_end() -> None:
    made = codec()
    codes = made.encode(noise(40 * STRIDE))
    wave = made.decode(codes)
    assert wave.shape == (2, 1, 40 * STRIDE)
    other = codes.clone()
    other[:, 20:] = (other[:, 20:] + 1) % 16
    found = made.decode(other)
    assert torch.equal(found[..., : 20 * STRIDE], wave[..., : 20 * STRIDE])
    assert not torch.equal(
        found[..., 20 * STRIDE : 21 * STRIDE], wave[..., 20 * STRIDE : 21 * STRIDE]
    )


def test_streams_are_the_whole_and_hold_no_more_with_length() -> None:
    made, wave = codec(), noise(100 * STRIDE)
    codes, sizes = made.encode(wave), (1, 5, 200, 0, 77, 500)
    ear, mouth, parts, sound, held = made.encoding(), made.decoding(), [], [], []
    begin = 0
    while begin < wave.shape[-1]:
        size = sizes[len(parts) % len(sizes)]
        parts.append(ear.push(wave[..., begin : begin + size], begin + size >= wave.shape[-1]))
        begin += size
        sound.append(mouth.push(parts[-1]))
        held.append((ear.held, mouth.held))
    sound.append(mouth.push(codes[:, :0], last=True))
    assert torch.equal(torch.cat(parts, 1), codes)
    assert torch.equal(torch.cat(sound, -1), made.decode(codes))
    most = 4 * 2 * CHUNK * STRIDE + 4 * 2 * 600  # a chunk, and what a dozen filters saw last
    assert max(sum(pair) for pair in held) < 2 * most
    long = made.encoding()
    after = [(long.push(noise(64 * STRIDE, seed=n)), long.held)[1] for n in range(4)]
    assert len(set(after)) == 1


def test_the_net_at_once_is_the_net_in_parts() -> None:
    made, wave = codec(), noise(3 * CHUNK * STRIDE)
    whole, past = made.net.latents(wave), {}
    parts = [made.net.latents(part, past) for part in wave.split(CHUNK * STRIDE, -1)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)


def test_turns_by_hand() -> None:
    """Two books of numbers: the nearest, then the nearest to what is left."""
    books = (torch.tensor([[-4.0], [0.0], [4.0]]), torch.tensor([[-1.0], [0.0], [1.0]]))
    stages = [VectorQuantiser(3, 1) for _ in books]
    for stage, book in zip(stages, books, strict=True):
        stage.book.copy_(book)
    quantiser = ResidualQuantiser(stages).eval()
    x = torch.tensor([[3.2], [-0.4], [4.9], [-2.9]], requires_grad=True)
    found = quantiser(x)
    assert found.codes.tolist() == [[2, 0], [1, 1], [2, 2], [0, 2]]
    assert found.values.flatten().tolist() == [3.0, 0.0, 5.0, -3.0]
    assert quantiser.values(found.codes[:, :1]).flatten().tolist() == [4.0, 0.0, 4.0, -4.0]
    (grad,) = torch.autograd.grad((found.values * torch.arange(4.0)[:, None]).sum(), x)
    assert grad.flatten().tolist() == [0.0, 1.0, 2.0, 3.0], "straight through"
    # mean of what each turn leaves, squared: (0.64 + 0.16 + 0.81 + 1.21) / 4, then (0.04 + ... ) / 4
    left = [0.64 + 0.16 + 0.81 + 1.21, 0.04 + 0.16 + 0.01 + 0.01]
    assert found.losses["commitment"].item() == pytest.approx(0.25 * sum(left) / 4 / 2, abs=1e-6)
    with pytest.raises(ValueError, match="1 to 2"):
        quantiser.values(torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="equal size"):
        ResidualQuantiser([LookupFree(2), LookupFree(3)])


def test_some_rows_learn_with_fewer_turns() -> None:
    torch.manual_seed(0)
    quantiser = ResidualQuantiser.of(8, 4, 3).train()
    before = [stage.book.clone() for stage in quantiser.stages]
    codes = quantiser(torch.randn(200, 5, 4)).codes
    turns = (codes >= 0).all(1).sum(1)
    assert ((codes >= 0).all(1) == (codes >= 0).any(1)).all(), "a row's steps alike"
    counts = turns.bincount(minlength=4).tolist()
    assert counts[0] == 0 and 15 < counts[1] < 55 and 15 < counts[2] < 55 and counts[3] > 100
    assert all(not torch.equal(a, s.book) for a, s in zip(before, quantiser.stages, strict=True))
    assert (quantiser.eval()(torch.randn(50, 5, 4)).codes >= 0).all()


def tones(seed: int, count: int = 16, length: int = 320) -> Tensor:
    """Three sines each, of 100 to 1,200 Hz, any phase: (count, 1, length)."""
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.rand(count, 3, 1, generator=generator) for _ in range(3)]
    wave = 2 * math.pi * (100 * 12 ** rows[0] * torch.arange(length) / RATE + rows[1])
    return ((0.05 + 0.2 * rows[2]) * wave.sin()).sum(1, keepdim=True)


def snr(made: SoundCodec, wave: Tensor, depth: int) -> float:
    """Decibels."""
    found = made.decode(made.encode(wave)[..., :depth])[..., : wave.shape[-1]]
    return float((10 * (wave.square().sum(2) / (found - wave).square().sum(2)).log10()).mean())


def test_it_learns_tones(tmp_path: Path) -> None:
    """Unheard ones come back; more codes a step, nearer."""
    torch.manual_seed(0)
    shape = SoundShape(widths=(12, 24), strides=(4, 4), channels=16, dilations=(1,))
    net = SoundVQ(shape, ResidualQuantiser.of(64, 16, 3))
    made, test = SoundCodec(net, RATE, "tones"), tones(10**6)
    before = snr(made, test, 3)
    schedule = Schedule(120, rate=1e-2, warmup=5, ema=0.9, save_every=10**6)
    list(fit(net.train(), SoundTraining(net, (64,)), tones, schedule, tmp_path))
    net.eval()
    after = [snr(made, test, depth) for depth in (1, 2, 3)]
    assert before < 1 and after[2] > before + 4, (before, after)
    assert after[0] < after[1] < after[2] + 0.1, after


def test_a_spectrum_has_its_tone() -> None:
    wave = (2 * math.pi * 1000 * torch.arange(2048) / RATE).sin()[None, None]
    (found,) = spectra(wave, (256,))
    assert int(found.mean((0, 2)).argmax()) == 1000 * 256 // RATE


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(FitError, match="2 tracks"):
        codec().encode(noise(24, tracks=2))
    with pytest.raises(FitError, match="0 to 15"):
        codec().decode(torch.full((1, 2, 3), 16))
    with pytest.raises(ValueError, match="try 32"):
        SoundVQ(SoundShape(), ResidualQuantiser.of(16, 6, 3))
    with pytest.raises(ValueError, match="strides"):
        SoundShape(widths=(8,), strides=(4, 5))
    assert codec().encode(noise(0)).shape == (2, 0, 3)
    assert codec().decode(torch.zeros(1, 0, 3, dtype=torch.long)).shape == (1, 1, 0)
