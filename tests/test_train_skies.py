"""`longtake train skies`, every stage for a step or two."""

from __future__ import annotations

from pathlib import Path

import pytest

import longtake
from longtake.errors import InputError
from longtake.recipes.skies import train
from longtake.video import VideoWriter
from longtake.worlds.sky import Change, Moment, Sky

SMALL = {"codec_minutes": "0.02", "stretches": "2", "takes": "1", "pictures": "1", "clips": "1"}
FILES = ("skies_codec.safetensors", "skies.safetensors")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with VideoWriter(path, size=(256, 144), fps=20) as writer:
        writer.write(Sky((Change(0, Moment()),), seed=1, size=(256, 144)).render(range(90)))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Path:
    run = tmp_path_factory.mktemp("making") / "run"
    list(train(run=run, minutes=0.02, film=str(film), **SMALL))
    return run


def test_all_stages_leave_weights_that_make_a_film(trained: Path) -> None:
    stages = {path.parent.name for path in trained.glob("*/checkpoint.safetensors")}
    assert stages == {"codec", "model", "decoder"}
    settings = {"weights": str(trained), "first": "1", "steps": "1"}
    film = list(longtake.generate("a calm sea", frames=9, settings=settings))
    assert len(film) == 9


def test_a_film_lends_its_frames_and_its_shots(trained: Path) -> None:
    kinds = {path.name.partition("-")[0] for path in (trained / "latents").iterdir()}
    assert kinds == {"sky", "picture", "shots"}


def test_a_finished_training_runs_again_to_the_same_weights(trained: Path, film: Path) -> None:
    before = [(trained / name).read_bytes() for name in FILES]
    list(train(run=trained, minutes=0.02, film=str(film), **SMALL))
    assert [(trained / name).read_bytes() for name in FILES] == before


def test_unknown_knobs_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="clps") as caught:
        list(train(run=tmp_path / "run", clps="3"))
    assert "clips" in str(caught.value)
    assert not (tmp_path / "run").exists()
