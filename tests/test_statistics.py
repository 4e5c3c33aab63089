"""The statistics of published metrics against the implementations people use, on random features."""

from __future__ import annotations

import itertools
import math
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from longtake import metrics
from longtake.errors import InputError
from longtake.metrics import Certainty, Moments
from longtake.metrics.moments import _OCTAVES, BITS

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import peers

NEAR = 1e-4  # relative: what the project promises; most agree far better


def peer(name: str) -> Any:
    """A module of another package, skipped where that is not installed."""
    try:
        return peers.imported(name)
    except ImportError as error:
        pytest.skip(f"no {name}: {error}")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rows(count: int, width: int, seed: int, *, rank: int = 0, shift: float = 0.0) -> Tensor:
    """Correlated features, float32, like those of a network: none negative, many small."""
    dice = torch.Generator().manual_seed(seed)
    mixed = torch.randn(rank or width, width, generator=dice) / width**0.5
    return (torch.randn(count, rank or width, generator=dice) @ mixed + shift).relu()


SETS = {
    "plenty": (rows(500, 48, 1), rows(400, 48, 2, shift=0.1)),
    "fewer rows than features": (rows(20, 64, 3), rows(30, 64, 4)),
    "flat": (rows(200, 40, 5, rank=3), rows(150, 40, 6, rank=5)),
    "two rows": (rows(2, 16, 7), rows(2, 16, 8)),
    "one is constant": (torch.ones(9, 8), rows(40, 8, 9)),
    "large": (rows(100, 12, 10) * 1000, rows(100, 12, 11) * 1000),
}


@pytest.fixture(params=SETS)
def pair(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    return SETS[request.param]


def moments(features: Tensor) -> Moments:
    return Moments(features.shape[1]).add(features)


# --- Frechet distance ------------------------------------------------------------------------------


def by_scipy(a: Tensor, b: Tensor) -> float:
    """The definition, with scipy's matrix root of A^1/2 B A^1/2, which is symmetric."""
    linalg = pytest.importorskip("scipy.linalg")
    x, y = a.double().numpy(), b.double().numpy()
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values, vectors = linalg.eigh(cov_x)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    cross = np.sqrt(linalg.eigvalsh(root @ cov_y @ root).clip(0)).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cov_x + cov_y) - 2 * cross)


def test_frechet_by_definition(pair: tuple[Tensor, Tensor]) -> None:
    a, b = pair
    wanted = by_scipy(a, b)
    assert metrics.frechet(a, b) == pytest.approx(wanted, rel=NEAR)
    assert metrics.frechet(moments(a), moments(b)) == pytest.approx(wanted, rel=NEAR)
    assert metrics.frechet(a, moments(b)) == pytest.approx(wanted, rel=NEAR)


def test_frechet_agrees_with_pytorch_fid(pair: tuple[Tensor, Tensor]) -> None:
    theirs = peer("pytorch_fid.fid_score").calculate_frechet_distance
    a, b = (side.double().numpy() for side in pair)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = theirs(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))
    assert metrics.frechet(*pair) == pytest.approx(wanted, rel=NEAR)


class Same(torch.nn.Module):
    """An extractor for torchmetrics that takes features for pictures."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


@pytest.mark.parametrize("name", ["plenty", "flat", "large"])
def test_frechet_agrees_with_torchmetrics(name: str) -> None:
    image = peer("torchmetrics.image.fid")
    a, b = SETS[name]
    theirs = image._compute_fid(
        a.double().mean(0), torch.cov(a.double().T), b.double().mean(0), torch.cov(b.double().T)
    )
    assert metrics.frechet(a, b) == pytest.approx(float(theirs), rel=NEAR)


@pytest.mark.parametrize("name", ["plenty", "fewer rows than features", "large"])
def test_frechet_agrees_with_torch_fidelity(name: str) -> None:
    fid = peer("torch_fidelity.metric_fid")
    a, b = SETS[name]
    first, second = (fid.fid_features_to_statistics(side) for side in (a, b))
    theirs = fid.fid_statistics_to_metric(first, second, False)["frechet_inception_distance"]
    assert metrics.frechet(a, b) == pytest.approx(theirs, rel=NEAR)


def test_frechet_agrees_with_cd_fvd() -> None:
    theirs = peer("cdfvd.third_party.i3d.utils").frechet_distance
    a, b = SETS["plenty"]
    wanted = float(theirs(a.double(), b.double()))
    assert metrics.frechet(a, b) == pytest.approx(wanted, rel=NEAR)


@pytest.mark.parametrize("features", [a for a, _ in SETS.values()], ids=list(SETS))
def test_equal_sets_are_no_distance_apart(features: Tensor) -> None:
    mixed = features[torch.randperm(len(features), generator=torch.Generator().manual_seed(0))]
    assert metrics.frechet(features, features) == 0
    assert metrics.frechet(features, mixed) == 0
    assert metrics.frechet(moments(features), moments(mixed)) == 0


def test_frechet_of_known_gaussians() -> None:
    mean, cov = torch.zeros(3), torch.eye(3)
    assert metrics.gaussian_frechet(mean, cov, mean + 2, 4 * cov) == pytest.approx(12 + 3)
    assert metrics.gaussian_frechet(mean, 0 * cov, mean, cov) == pytest.approx(3)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (torch.ones(1, 4), torch.ones(9, 4)),
        (torch.ones(0, 4), torch.ones(9, 4)),
        (torch.ones(9, 4), torch.ones(9, 5)),
        (torch.ones(9), torch.ones(9)),
        (torch.full((9, 4), math.nan), torch.ones(9, 4)),
        (torch.full((9, 4), math.inf), torch.ones(9, 4)),
        (torch.full((9, 4), 1e200, dtype=torch.float64), torch.ones(9, 4)),
    ],
)
def test_what_has_no_distance_is_refused(a: Tensor, b: Tensor) -> None:
    for measure in (metrics.frechet, metrics.kernel_distance):
        with pytest.raises(InputError):
            measure(a, b)


# --- moments ---------------------------------------------------------------------------------------


def test_moments_in_any_order_are_the_same_bits() -> None:
    parts = [rows(n, 24, seed) * 30 for seed, n in enumerate((5, 1, 300, 40))]
    whole = moments(torch.cat(parts))
    for order in itertools.permutations(parts):
        left, right = Moments(24), Moments(24)
        for part in order[:2]:
            left.add(part)
        for part in order[2:]:
            right.merge(moments(part))
        merged = right.merge(left)
        assert torch.equal(merged.covariance, whole.covariance)
        assert torch.equal(merged.mean, whole.mean)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e3, 1e12])
def test_moments_are_the_plain_ones(scale: float) -> None:
    features = rows(3000, 20, 1).double() * scale
    features[::7] *= 100  # rows of several sizes are counted apart
    features[5] = 0
    seen = Moments(20)
    for part in features.split(700):
        seen.add(part)
    step = 400 * scale * 2.0 ** (_OCTAVES - 1 - BITS)  # the coarsest rounding
    assert torch.allclose(seen.mean, features.mean(0), rtol=1e-7, atol=step / 50)
    wanted = torch.cov(features.T)
    assert torch.allclose(seen.covariance, wanted, rtol=1e-6, atol=step * scale / 10)


def test_sums_of_many_rows_are_carried() -> None:
    most = torch.full((5000, 2), 1 - 2.0**-BITS)
    seen = Moments(2)
    for _ in range(8):
        seen.add(most)
        seen.merge(Moments.of_tensors(seen.tensors()))
    assert seen.count == 5000 * (2**9 - 2)
    assert torch.equal(seen.mean, most[0].double())
    assert float(seen.covariance.abs().max()) < 1e-15


def test_moments_refuse_what_they_cannot_count() -> None:
    for bad in (math.inf, math.nan, 1e101):
        with pytest.raises(InputError, match="too large"):
            Moments(2).add(torch.tensor([[0.0, bad]], dtype=torch.float64))
    assert float(moments(torch.zeros(5, 3)).covariance.abs().max()) == 0
    lost = moments(rows(5, 3, 0)).tensors()
    with pytest.raises(InputError, match="no 'exponents'"):
        Moments.of_tensors({name: lost[name] for name in ("count", "width")})
    with pytest.raises(InputError, match="several widths"):
        Moments.of_tensors({**lost, "width": torch.tensor(4)})
    with pytest.raises(InputError, match="no 'high'"):
        parts = dict.fromkeys(("cross", "low", "largest"), torch.tensor(0.0))
        Moments.of_tensors({"count": torch.tensor(1), "total": torch.zeros(3), **parts})


def test_moments_of_older_files_are_read() -> None:
    """Counts in units of 2**-24 with products in three parts, and of 2**-12 in one."""
    features = (rows(200, 6, 3) * 8 - 4).double()
    plain = moments(features)
    counted = (features * 2**24).round()
    high = (counted / 2**18).round()
    low = counted - high * 2**18
    mixed = high.T @ low
    three = {"high": high.T @ high, "cross": mixed + mixed.T, "low": low.T @ low}
    coarse = (features * 2**12).round()
    for total, parts in (
        (counted.sum(0), three),
        (coarse.sum(0), {"products": coarse.T @ coarse}),
    ):
        old = {"count": torch.tensor(200), "total": total.long()}
        again = Moments.of_tensors(old | {name: part.long() for name, part in parts.items()})
        assert torch.allclose(again.mean, plain.mean, atol=1e-4)
        assert torch.allclose(again.covariance, plain.covariance, atol=1e-3)
        same = Moments.of_tensors(again.tensors())
        assert torch.equal(same.covariance, again.covariance)


# --- kernel distance -------------------------------------------------------------------------------


def test_kernel_distance_agrees_with_scikit_learn(pair: tuple[Tensor, Tensor]) -> None:
    kernel = pytest.importorskip("sklearn.metrics.pairwise").polynomial_kernel
    a, b = (side.double().numpy() for side in pair)
    own = 0.0
    for side in (a, b):
        table = kernel(side, degree=3, coef0=1)
        np.fill_diagonal(table, 0)
        own += table.sum() / (len(side) * (len(side) - 1))
    wanted = own - 2 * kernel(a, b, degree=3, coef0=1).mean()
    assert metrics.kernel_distance(*pair) == pytest.approx(wanted, rel=NEAR, abs=1e-12)


def test_kernel_distance_agrees_with_torchmetrics_and_torch_fidelity() -> None:
    kid = peer("torchmetrics.image.kid")
    fidelity = peer("torch_fidelity.metric_kid")
    a, b = (side[:300].double() for side in SETS["plenty"])
    mine = metrics.kernel_distance(a, b)
    assert mine == pytest.approx(float(kid.poly_mmd(a, b)), rel=NEAR)
    theirs = fidelity.kid_features_to_metric(
        a, b, kid_subsets=1, kid_subset_size=300, verbose=False
    )
    assert mine == pytest.approx(theirs["kernel_inception_distance_mean"], rel=NEAR)


@pytest.mark.parametrize("mean, scale", [(0, 1), (100, 1), (1000, 1), (0, 100), (0.3, 0.01)])
@pytest.mark.parametrize("rows, shift", [(2, 0.3), (300, 0), (300, 0.01), (300, 0.3)])
def test_kernel_distance_of_float32_has_five_digits(
    rows: int, shift: float, mean: float, scale: float
) -> None:
    """However far from 0 the features lie, and however near each other the sets."""
    dice = torch.Generator().manual_seed(rows)
    a, b = mean + scale * torch.randn(2, rows, 64, generator=dice)
    b = b + scale * shift
    wanted = metrics.kernel_distance(a.double(), b.double())
    assert metrics.kernel_distance(a, b) == pytest.approx(wanted, rel=2e-5)


def test_kernel_subsets() -> None:
    a, b = SETS["plenty"]
    whole = metrics.kernel_distance(a[:400], b)
    assert metrics.kernel_subsets(a[:400], b, subsets=1, size=400) == pytest.approx((whole, 0))
    mean, deviation = metrics.kernel_subsets(a, b, subsets=60, size=100, seed=3)
    assert abs(mean - metrics.kernel_distance(a, b)) < 3 * deviation / 60**0.5
    assert metrics.kernel_subsets(a, b, subsets=2, size=99, seed=3) == metrics.kernel_subsets(
        a, b, subsets=2, size=99, seed=3
    )
    with pytest.raises(InputError, match="size=400"):
        metrics.kernel_subsets(a, b, size=1000)


def test_blocks_do_not_change_a_kernel_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = (side.double() for side in SETS["plenty"])
    whole = metrics.kernel_distance(a, b)
    monkeypatch.setattr("longtake.metrics.kernels._ROWS", 37)
    assert metrics.kernel_distance(a, b) == pytest.approx(whole, rel=1e-9)


# --- inception score -------------------------------------------------------------------------------


def logits(count: int, classes: int, seed: int, sharp: float = 3.0) -> Tensor:
    dice = torch.Generator().manual_seed(seed)
    return torch.randn(count, classes, generator=dice) * sharp


@pytest.mark.parametrize("splits", [1, 5])
@pytest.mark.parametrize("sharp", [0.1, 3.0, 80.0])
def test_inception_score_agrees_with_torch_fidelity(splits: int, sharp: float) -> None:
    isc = peer("torch_fidelity.metric_isc")
    values = logits(200, 30, 1, sharp)
    theirs = isc.isc_features_to_metric(values, splits=splits, shuffle=False)
    mean, deviation = metrics.inception_score(values, splits=splits)
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=NEAR)
    assert deviation == pytest.approx(theirs["inception_score_std"], rel=NEAR, abs=1e-12)


def test_inception_score_agrees_with_torchmetrics() -> None:
    image = peer("torchmetrics.image.inception")
    theirs = image.InceptionScore(feature=Same(30), splits=1)
    values = logits(300, 30, 2)
    theirs.update(values)
    assert metrics.inception_score(values, splits=1)[0] == pytest.approx(
        float(theirs.compute()[0]), rel=NEAR
    )


def test_inception_score_has_its_bounds() -> None:
    even, sure = torch.zeros(50, 10), 1000 * torch.eye(10).repeat(5, 1)
    assert metrics.inception_score(even, splits=1)[0] == pytest.approx(1)
    assert metrics.inception_score(sure, splits=1)[0] == pytest.approx(10)
    assert metrics.inception_score(sure[:1], splits=1)[0] == pytest.approx(1)
    for bad in (torch.full((5, 3), math.nan), torch.full((5, 3), -math.inf), torch.zeros(0, 3)):
        with pytest.raises(InputError):
            metrics.inception_score(bad, splits=1)
    with pytest.raises(InputError, match="splits"):
        metrics.inception_score(even, splits=51)


def test_certainty_in_any_order_is_the_same_bits() -> None:
    values = logits(500, 12, 4)
    whole = Certainty(12).add(values).score()
    parts = [Certainty(12).add(part) for part in values.flip(0).split(77)]
    merged = Certainty(12)
    for part in parts[::2] + parts[1::2]:
        merged.merge(part)
    assert merged.score() == whole


# --- extrapolation ---------------------------------------------------------------------------------


def test_an_endless_sample_has_no_bias() -> None:
    mean, cov = torch.zeros(12), torch.eye(12)
    dice = torch.Generator().manual_seed(1)
    reference = moments(torch.randn(200_000, 12, generator=dice))
    true = metrics.gaussian_frechet(mean + 0.3, cov, mean, cov)
    plain, found = [], []
    for seed in range(40):
        sample = torch.randn(120, 12, generator=dice) + 0.3
        plain.append(metrics.frechet(sample, reference) - true)
        found.append(metrics.frechet_infinity(sample, reference, least=40, seed=seed).value - true)
    assert np.mean(plain) > 0.1 and abs(np.mean(found)) < np.mean(plain) / 4
    with pytest.raises(InputError, match="20 or more"):
        metrics.frechet_infinity(sample[:10], reference)


# --- pictures --------------------------------------------------------------------------------------


def pictures(side: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    dice = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2, 3, side // 8, side // 8, generator=dice) * 255
    a = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 255)
    b = (a + 12 * torch.randn(a.shape, generator=dice)).clamp(0, 255)
    return a.round(), b.round()


@pytest.mark.parametrize("side", [16, 64])
def test_ssim_agrees_with_pytorch_msssim_and_torchmetrics(side: int) -> None:
    theirs = peer("pytorch_msssim")
    a, b = pictures(side)
    mine = metrics.ssim(a, b)
    assert mine == pytest.approx(float(theirs.ssim(a, b, data_range=255)), rel=NEAR)


@pytest.mark.parametrize("side", [168, 192])
def test_ms_ssim_agrees_with_pytorch_msssim(side: int) -> None:
    theirs = peer("pytorch_msssim")
    a, b = pictures(side)
    wanted = float(theirs.ms_ssim(a.double(), b.double(), data_range=255))
    assert metrics.ms_ssim(a, b) == pytest.approx(wanted, rel=NEAR)
    assert metrics.ms_ssim(a, a) == pytest.approx(1)
    assert metrics.ms_ssim(a, 255 - a) == 0
    with pytest.raises(InputError, match="161x161"):
        metrics.ms_ssim(a[..., :160], b[..., :160])


def test_grey_and_odd_pictures_have_values() -> None:
    flat = torch.full((1, 3, 177, 201), 90.0)
    for measure in (metrics.ssim, metrics.ms_ssim):
        assert measure(flat, flat) == pytest.approx(1)
        assert 0 < measure(flat, flat + 20) < 1
    for measure in (metrics.psnr, metrics.ssim, metrics.ms_ssim):
        with pytest.raises(InputError, match="no numbers"):
            measure(flat, flat * math.nan)
    with pytest.raises(InputError, match="without pixels"):
        metrics.psnr(torch.zeros(0, 3, 8, 8), torch.zeros(0, 3, 8, 8))
