"""Convolutional codecs, quantised and not: causality, time-agnostic padding, hand-worked quantisers."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from longtake.clip import ClipSpec
from longtake.codecs.kl import KLCodec, KLTraining
from longtake.codecs.pixels import PixelCodec
from longtake.codecs.vq import VQCodec, VQTraining
from longtake.errors import FitError, InputError
from longtake.nets.convolutional import KLVideo, VideoShape, VQVideo
from longtake.nets.quantise import FiniteScalar, LookupFree, Quantiser, VectorQuantiser
from longtake.schemes import find_scheme
from longtake.system import Part, Stage

SPACE = VideoShape(channels=4, widths=(8, 8, 8))
TIME = dataclasses.replace(SPACE, halves_time=(True, True), taps=3)
CAUSAL = dataclasses.replace(TIME, causal=True)
SHAPES = {
    "frames": SPACE,
    "time": TIME,
    "zeros": dataclasses.replace(TIME, padding="zero"),
    "causal": CAUSAL,
    "half": dataclasses.replace(CAUSAL, halves_time=(False, True), blocks=2),
}


def net(shape: VideoShape, quantiser: Quantiser | None = None) -> VQVideo:
    torch.manual_seed(0)
    made = VQVideo(shape, quantiser or LookupFree(shape.channels))
    for p in made.parameters():  # zero-initialised layers would hide what they are fed
        p.data.add_(0.1 * torch.randn_like(p))
    return made.eval()


def video(frames: int, size: tuple[int, int] = (16, 24), seed: int = 1) -> Tensor:
    return torch.rand(1, frames, 3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(16, 24), (8, 8), (32, 20)])
@pytest.mark.parametrize("padding", ["replicate", "zero"])
def test_a_causal_codec_does_not_know_what_follows(size: tuple[int, int], padding: str) -> None:
    """To the bit: whatever follows, and if nothing does."""
    made = net(dataclasses.replace(CAUSAL, padding=padding))
    stream = video(48, size)
    with torch.no_grad():
        whole, codes = made.encoder.steadily(stream, chunk=3), made.codes(stream)
        torch.testing.assert_close(whole, made.encoder(stream), atol=1e-5, rtol=0)
        for groups in (1, 2, 5, 9, 11):
            frames = 4 * groups
            other = torch.cat([stream[:, :frames], video(48 - frames, size, seed=groups + 5)], 1)
            for clip in (other, stream[:, :frames]):
                assert torch.equal(
                    made.encoder.steadily(clip, chunk=3)[:, :groups], whole[:, :groups]
                )
                assert torch.equal(made.codes(clip)[:, :groups], codes[:, :groups])


def test_the_encoder_sees_as_far_back_as_is_told() -> None:
    for shape in (CAUSAL, SHAPES["half"]):
        made, frames = net(shape), 20 * shape.stride
        stream = video(frames, (8, 8)).requires_grad_()
        last = made.encoder(stream)[:, -1].sum()
        (grad,) = torch.autograd.grad(last, stream)
        first = int(grad.abs().sum((0, 2, 3, 4)).nonzero()[0])
        assert 19 - shape.sight == first // shape.stride


def test_one_that_is_not_causal_does_know() -> None:
    made, stream = net(TIME), video(24)
    other = torch.cat([stream[:, :12], video(12, seed=2)], 1)
    with torch.no_grad():
        assert not torch.allclose(made.encoder(other)[:, :3], made.encoder(stream)[:, :3])


@pytest.mark.parametrize("name", SHAPES)
def test_windows_with_context_decode_as_the_whole(name: str) -> None:
    codec = VQCodec(net(SHAPES[name]), "test")
    (early, late), stride = codec.spec.context, codec.spec.stride
    latents = torch.randint(0, 16, (1, 64, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    whole, low, high = codec.decode(latents), 30, 33
    part = codec.decode(latents[:, low - early : high + late])
    inner = slice(low * stride, high * stride)
    cut = part[:, early * stride : (early + high - low) * stride]
    assert torch.allclose(cut, whole[:, inner], atol=1e-5)
    if early:  # a frame less shows: the context is not told too wide
        less = codec.decode(latents[:, low - early + 1 : high + late])
        cut = less[:, (early - 1) * stride : (early - 1 + high - low) * stride]
        assert not torch.allclose(cut, whole[:, inner], atol=1e-7)


def test_repeated_edges_do_not_tell_where_a_clip_ends() -> None:
    still = video(1).expand(-1, 32, -1, -1, -1)
    even = net(TIME).encoder(still)
    assert torch.allclose(even, even[:, :1].expand_as(even), atol=1e-5)
    odd = net(SHAPES["zeros"]).encoder(still)
    assert not torch.allclose(odd[:, 0], odd[:, 4], atol=1e-3)


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_as_told(name: str) -> None:
    codec = VQCodec(net(SHAPES[name]), "test")
    spec = codec.spec
    codes = codec.encode(video(8, (15, 24)))
    assert codes.shape == (1, 8 // spec.stride, spec.channels, 4, 6)
    assert codes.dtype == torch.int64 and 0 <= int(codes.min()) <= int(codes.max()) < spec.codes
    assert codec.decode(codes).shape == (1, 8, 3, 16, 24)


@pytest.mark.parametrize("shape", [SPACE, TIME], ids=["per frame", "temporal"])
def test_the_same_nets_without_a_quantiser(shape: VideoShape) -> None:
    torch.manual_seed(0)
    made = KLVideo(shape)
    codec = KLCodec(made, torch.zeros(4), torch.ones(4), "test")
    clip = video(8, (16, 16))
    latents = codec.encode(clip)
    assert latents.shape == (1, 8 // shape.stride, 4, 4, 4)
    assert codec.decode(latents).shape == clip.shape
    named = KLTraining(made)(clip)
    torch.stack(list(named.values())).sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in made.parameters())


def test_pixels_come_back() -> None:
    for block in (1, 4):
        codec, clip = PixelCodec(block), video(3, (16, 24))
        latents = codec.encode(clip)
        assert latents.shape == (1, 3, 3 * block**2, 16 // block, 24 // block)
        torch.testing.assert_close(codec.decode(latents), clip)
    assert PixelCodec(5).encode(video(1)).shape == (1, 1, 75, 4, 5)
    with pytest.raises(InputError, match="block=0"):
        PixelCodec(0)


# --- quantisers


@pytest.mark.parametrize(
    "quantiser",
    [VectorQuantiser(7, 3), LookupFree(3), FiniteScalar((3, 4, 5))],
    ids=lambda q: type(q).__name__,
)
def test_values_are_codes_again(quantiser: Quantiser) -> None:
    codes = torch.arange(quantiser.size)
    values = quantiser.values(codes)
    assert values.shape == (quantiser.size, 3) and len(values.unique(dim=0)) == quantiser.size
    if isinstance(quantiser, FiniteScalar):  # what the bound maps to a value
        top = torch.tensor([2.0, 3.0, 4.0])
        values = torch.atanh((values / (1 + 1 / top)).clamp(-0.999999, 0.999999))
    assert torch.equal(quantiser.codes(values), codes)


def test_straight_through() -> None:
    """The value is the code's, exactly; the gradient is as if nothing had been quantised."""
    quantiser = VectorQuantiser(2, 2, commitment=0.5).eval()
    quantiser.book.copy_(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    x = torch.tensor([[0.7, 0.1], [0.2, 2.0]], requires_grad=True)
    found = quantiser(x)
    assert torch.equal(found.values, quantiser.book) and found.codes.tolist() == [0, 1]
    push = torch.tensor([[1.0, -2.0], [0.5, 4.0]])
    (grad,) = torch.autograd.grad((found.values * push).sum(), x, retain_graph=True)
    assert torch.equal(grad, push)
    # 0.5 * mean of squares (0.3^2 + 0.1^2 + 0.2^2 + 1^2) / 4, whose gradient is (x - c) / 4
    loss = found.losses["commitment"]
    assert loss.item() == pytest.approx(0.5 * (0.09 + 0.01 + 0.04 + 1.0) / 4)
    (grad,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(grad, torch.tensor([[-0.3, 0.1], [0.2, -1.0]]) / 4)


def test_moving_averages() -> None:
    quantiser = VectorQuantiser(3, 1, decay=0.75, dead=0.0)
    quantiser.book.copy_(torch.tensor([[0.0], [10.0], [-5.0]]))
    quantiser.sums.copy_(quantiser.book)
    quantiser.train()(torch.tensor([[1.0], [2.0], [3.0], [12.0]]))
    # code 0: N = 0.75 + 0.25 * 3, m = 0 + 0.25 * 6; code 1: N = 1, m = 7.5 + 3; code 2: both x 0.75
    torch.testing.assert_close(quantiser.counts, torch.tensor([1.5, 1.0, 0.75]))
    torch.testing.assert_close(quantiser.book, torch.tensor([[1.0], [10.5], [-5.0]]))
    before = quantiser.book.clone()
    quantiser.eval()(torch.tensor([[4.0]]))
    assert torch.equal(quantiser.book, before), "evaluation must not teach"


def test_dead_codes_begin_anew_in_the_batch() -> None:
    quantiser = VectorQuantiser(3, 1, decay=0.5, dead=0.1)
    quantiser.book.copy_(torch.tensor([[0.0], [1.0], [1000.0]]))
    quantiser.sums.copy_(quantiser.book)
    batch = torch.tensor([[0.1], [0.9], [1.2]])
    quantiser.train()
    for step in range(4):  # the count of code 2 halves: 0.5, 0.25, 0.125, 0.0625 < 0.1
        assert float(quantiser.book[2]) == pytest.approx(1000.0), step
        quantiser(batch)
    assert float(quantiser.book[2]) in [pytest.approx(float(x)) for x in batch]
    assert float(quantiser.counts[2]) == 1.0


def test_entropy_asks_for_sure_and_even_signs() -> None:
    quantiser = LookupFree(1)
    loss = {
        name: float(quantiser(torch.tensor(x)[:, None]).losses["entropy"])
        for name, x in {"even": [3.0, -3.0], "one": [3.0, 3.0], "unsure": [0.1, -0.1]}.items()
    }
    assert loss["even"] < loss["one"] and loss["even"] < loss["unsure"]
    assert loss["even"] == pytest.approx(-0.1 * torch.log(torch.tensor(2.0)).item(), abs=1e-3)


@pytest.mark.parametrize("kind", ["nearest", "signs", "grid"])
def test_every_quantiser_trains_its_encoder(kind: str) -> None:
    made = {
        "nearest": lambda: VectorQuantiser(16, 4),
        "signs": lambda: LookupFree(4),
        "grid": lambda: FiniteScalar((3, 3, 3, 3)),
    }[kind]()
    autoencoder = net(CAUSAL, made).train()
    named = VQTraining(autoencoder)(video(8))
    torch.stack(list(named.values())).sum().backward()
    for name, p in autoencoder.named_parameters():
        assert p.grad is not None and float(p.grad.abs().sum()) > 0, name


def test_wrong_knobs_are_named() -> None:
    for wrong in ({"padding": "mirror"}, {"taps": 2}, {"halves_time": (True, True), "taps": 1}):
        with pytest.raises(ValueError, match="; try"):
            dataclasses.replace(SPACE, **wrong)
    with pytest.raises(ValueError, match="try 4"):
        VQVideo(SPACE, LookupFree(3))


def test_a_stage_of_codes_wants_a_model_of_as_many() -> None:
    codec = VQCodec(net(SPACE), "test")
    part = Part(codec.spec, lambda: codec)
    scheme = find_scheme("autoregressive:window=4")

    def stage(codes: int) -> Stage:
        spec = ClipSpec(4, (1, None, None), "", codes=codes)
        return Stage(scheme, {"clip": Part(spec, lambda: None)}, part)

    stage(16)
    for wrong in (0, 32):
        with pytest.raises(FitError, match="codes=16"):
            stage(wrong)


def test_a_codebook_that_is_held_takes_one_step_for_all() -> None:
    """Two batches, settled, against one batch of both; nothing moves before."""
    torch.manual_seed(0)
    held, whole = VectorQuantiser(4, 3, decay=0.9), VectorQuantiser(4, 3, decay=0.9)
    whole.load_state_dict(held.state_dict())
    parts, before = torch.randn(2, 10, 3), held.book.clone()
    held.hold(True)
    for part in parts:
        held(part)
    assert torch.equal(held.book, before)
    held.settle(lambda x: x)
    whole(parts.flatten(0, 1))
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(held.state_dict()[name], value)
    after = held.book.clone()
    held.settle(lambda x: x)
    assert torch.equal(held.book, after), "no batches, no step"
    held.hold(False)
    held(parts[0])
    assert not torch.equal(held.book, after)
