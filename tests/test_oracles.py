"""Metrics from pictures on, beside the packages people use: resizing, networks of one's own, odd and huge input."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_statistics import NEAR, peer
from torch import Tensor, nn

from longtake import metrics
from longtake.errors import InputError
from longtake.metrics import Moments, find_extractor
from longtake.metrics.resizing import clean

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import peers

pytestmark = pytest.mark.usefixtures("one_thread")


def pictures(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Blots with noise (count, 3, height, width) uint8."""
    dice = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=dice) * 255
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    grain = torch.randn(smooth.shape, generator=dice) * 20
    return (smooth + grain).clamp(0, 255).round().byte()


# --- clean-fid -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 64), (50, 90), (301, 257), (720, 405)])
def test_pictures_are_resized_as_clean_fid_does(size: tuple[int, int]) -> None:
    resizer = peer("cleanfid.resize").build_resizer("clean")
    (picture,) = pictures(1, *size)
    wanted = torch.from_numpy(resizer(picture.permute(1, 2, 0).numpy())).permute(2, 0, 1)
    found = clean(picture[None], 299)[0]
    assert float((found - wanted).abs().max()) < 1e-2
    assert float((found - wanted).abs().mean()) < NEAR * float(wanted.mean())


class Layers(nn.Module):
    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.mean((1, 2, 3), keepdim=True).expand(-1, 2048, 1, 1)


class Inception(nn.Module):
    """As NVIDIA's file: resizing outside, layers inside."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = Layers()

    def forward(self, img: Tensor, return_features: bool = False) -> Tensor:
        return self.layers(img.float()).flatten(1)


def test_clean_inception_takes_the_layers_alone(tmp_path: Path) -> None:
    file = tmp_path / "inception-2015-12-05.pt"
    torch.jit.script(Inception()).save(str(file))
    made = find_extractor(f"clean-inception={file}")
    frames = torch.full((2, 3, 40, 60), 192, dtype=torch.uint8)
    rows = made.features(made.prepare(frames)[:, None])
    assert rows.shape == (2, 2048) and torch.allclose(rows, torch.tensor(0.5), atol=1e-4)
    plain = find_extractor(f"inception={file}")
    assert made.name != plain.name and (made.resize, plain.resize) == (
        "clean-bicubic-299",
        "bilinear-299",
    )
    torch.jit.script(Layers()).save(str(file))
    with pytest.raises(InputError, match="no layers"):
        find_extractor(f"clean-inception={file}")
    with pytest.raises(InputError, match=r"clean-inception=inception-2015-12-05\.pt"):
        find_extractor("clean-inception")


# --- a network of one's own ------------------------------------------------------------------------


def test_pictures_through_one_network_agree_with_torchmetrics() -> None:
    theirs = peers.CASES["frechet of frames"][1]
    peer("torchmetrics.image.fid")
    a, b = peers.pictures(300, 0), peers.pictures(280, 1)
    mine = peers.framed_streamed(a, b)
    assert mine == pytest.approx(theirs["torchmetrics"]()(a, b), rel=NEAR)
    peer("torch_fidelity.metric_fid")
    assert mine == pytest.approx(theirs["torch-fidelity"]()(a, b), rel=NEAR)


def test_lpips_is_that_of_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """With trunks by chance, for theirs are downloaded: scaling, heads and means are compared."""
    package = peer("lpips")
    torch.manual_seed(0)
    whole = package.LPIPS(net="alex", pretrained=True, pnet_rand=True, verbose=False).eval()
    monkeypatch.setattr(package, "LPIPS", lambda **_: whole)
    from longtake.metrics.packaged import Lpips

    a, b = pictures(2, 64, 64), pictures(2, 64, 64, seed=1)
    with torch.no_grad():
        wanted = whole(a.float() / 127.5 - 1, b.float() / 127.5 - 1).flatten()
    assert torch.allclose(Lpips().apart(a, b), wanted, rtol=NEAR)
    assert torch.allclose(Lpips().apart(a, a), torch.zeros(2), atol=1e-7)


# --- odd and huge ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["grey", "black", "one picture twice"])
def test_pictures_without_variety_have_a_distance(kind: str) -> None:
    """Covariances are zero or of rank one; the definition still says what it is."""
    level = {"grey": 128, "black": 0}.get(kind)
    a = (
        pictures(1, 16, 16).expand(2, -1, -1, -1)
        if level is None
        else torch.full((5, 3, 16, 16), level)
    )
    rows = [peers.NET(side) for side in (a, peers.pictures(50, 1))]
    found = metrics.frechet(*rows)
    x, y = (side.double() for side in rows)
    wanted = (x.mean(0) - y.mean(0)).square().sum() + torch.cov(y.T).trace()
    assert found == pytest.approx(float(wanted), rel=NEAR)
    assert metrics.frechet(rows[0], rows[0]) == 0 and math.isfinite(metrics.kernel_distance(*rows))


@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1e6, 1e12])
def test_features_of_any_size_agree_with_the_definition(scale: float) -> None:
    a, b = (peers.features(60, 24, seed) * scale for seed in (0, 1))
    theirs = peer("pytorch_fid.fid_score").calculate_frechet_distance
    x, y = (side.double().numpy() / scale for side in (a, b))
    wanted = theirs(x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))
    streamed = [Moments(24).add(side) for side in (a, b)]
    for pair in ((a, b), streamed):
        assert metrics.frechet(*pair) / scale**2 == pytest.approx(wanted, rel=NEAR)


def test_large_pictures_agree_with_skimage() -> None:
    skimage = pytest.importorskip("skimage.metrics")
    a, b = pictures(1, 540, 960)[0], pictures(1, 540, 960, seed=2)[0]
    options = {"sigma": 1.5, "gaussian_weights": True, "use_sample_covariance": False}
    wanted = skimage.structural_similarity(
        a.numpy(), b.numpy(), channel_axis=0, data_range=255, **options
    )
    assert metrics.ssim(a, b) == pytest.approx(wanted, rel=NEAR)
    psnr = skimage.peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=255)
    assert metrics.psnr(a, b) == pytest.approx(psnr, rel=NEAR)
