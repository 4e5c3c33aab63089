"""Quick kernels: what they make equals what the network makes, and the network is as it was after."""

from __future__ import annotations

import pytest
import torch
from torch import nn

pytest.importorskip("diffusers")

import pipeline_blocks
from diffusers.models.autoencoders.autoencoder_kl_wan import WanRMS_norm

from longtake.codecs.quick import quick, replaced

ULP = 2e-6


def test_wan_s_norm() -> None:
    torch.manual_seed(0)
    norm = WanRMS_norm(6, images=False).requires_grad_(False)
    norm.gamma.copy_(torch.randn(6, 1, 1, 1))
    x = torch.randn(2, 6, 3, 8, 8)
    x[0, :, 1, 2, 3] = 0  # no length to divide by
    own = norm(x)
    with quick(norm):
        assert (norm(x) - own).abs().max() < ULP
        assert torch.equal(norm(x.double()), norm.__class__.forward(norm, x.double()))
    assert "forward" not in vars(norm)


@pytest.mark.parametrize("how", [{"padding": 1}, {"stride": (1, 2, 2)}, {"groups": 2}])
def test_convolutions_over_time(how: dict[str, object]) -> None:
    torch.manual_seed(0)
    conv = nn.Conv3d(4, 6, 3, **how).requires_grad_(False)  # type: ignore[arg-type]
    x = torch.randn(1, 4, 5, 12, 10)
    own = conv(x)
    with quick(conv):
        made = conv(x)
        assert (made - own).abs().max() < ULP and made.shape == own.shape
        assert conv(x.bfloat16().float()).dtype == torch.float32
    assert "_conv_forward" not in vars(conv)


def test_films_that_decode_at_once_share_it() -> None:
    """The one that goes first takes nothing from the other, whose frames would round otherwise from there on."""
    conv = nn.Conv3d(4, 6, 3).requires_grad_(False)
    one, other = quick(conv), quick(conv)
    one.__enter__()
    made = vars(conv)["_conv_forward"]
    other.__enter__()
    one.__exit__(None, None, None)
    assert vars(conv)["_conv_forward"] is made
    other.__exit__(None, None, None)
    assert "_conv_forward" not in vars(conv)
    with pytest.raises(KeyboardInterrupt), quick(conv):
        raise KeyboardInterrupt
    assert "_conv_forward" not in vars(conv)


def test_a_decoder_is_as_it_was_and_hooks_stay() -> None:
    vae = pipeline_blocks.wan_vae().eval().requires_grad_(False)
    hooked = next(one for one in vae.decoder.modules() if isinstance(one, WanRMS_norm))
    calls = list[int]()
    own = hooked.forward

    def hook(x: torch.Tensor) -> torch.Tensor:  # as offloading puts it on an instance
        calls.append(1)
        return own(x)

    hooked.forward = hook
    before = [dict(vars(one)) for one in vae.decoder.modules()]
    z = torch.randn(1, vae.config.z_dim, 1, 4, 4)
    whole = vae.decoder(z)
    count = len(calls)
    with quick(vae.decoder):
        assert (vae.decoder(z) - whole).abs().max() < 1e-5
    assert [dict(vars(one)) for one in vae.decoder.modules()] == before
    assert torch.equal(vae.decoder(z), whole) and len(calls) == 2 * count


def test_what_is_replaced_comes_back_after_an_error() -> None:
    conv = nn.Conv3d(1, 1, 1)
    with pytest.raises(ZeroDivisionError), replaced(conv, "forward", len):
        assert conv.forward is len
        _ = 1 // 0
    assert "forward" not in vars(conv)
