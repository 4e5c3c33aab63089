"""Runs by URL: the laws of the store hold on any file system that fsspec knows."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from click.testing import CliRunner
from engine_parts import count, made, toy_job

import longtake
from longtake.cli import cli
from longtake.clip import Clip
from longtake.engine import Bucket, Folder
from longtake.engine.tail import store_of
from longtake.errors import InputError, MachineError
from longtake.keys import fingerprint

KEY = fingerprint("a step")
TOY = f"{Path(__file__).with_name('toy.py')}:toy"


def clip() -> Clip:
    frames = torch.arange(24.0).reshape(1, 2, 3, 4)
    return Clip(frames, (5, 9), {"count": torch.tensor([3])})


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    place = f"/{tmp_path.name}" if request.param == "memory" else str(tmp_path / "run")
    yield f"{request.param}://{place}"
    memory = fsspec.filesystem("memory")
    if memory.exists(place):
        memory.rm(place, recursive=True)


def test_a_clip_comes_back_as_it_was(url: str) -> None:
    store = Bucket(url)
    assert store.get(KEY) is None and not store.has(KEY) and not list(store.keys())
    fs, root = fsspec.core.url_to_fs(url)
    assert not fs.exists(root)  # looking creates nothing
    store.put(KEY, clip())
    other = Bucket(url)
    back = other.get(KEY)
    assert back is not None and back.at == (5, 9) and torch.equal(back.frames, clip().frames)
    assert back.carry["count"].item() == 3 and other.has(KEY) and list(other.keys()) == [KEY]
    assert other.drop(KEY) > 0 and other.drop(KEY) == 0 and store.get(KEY) is None


def test_a_film_is_that_of_a_folder_and_goes_on(url: str, tmp_path: Path) -> None:
    job = toy_job(100)
    film, _ = made(job, Folder(tmp_path / "folder"))
    first = Bucket(url)
    half = made(toy_job(52), first)[1]  # a shorter film begins with the same steps
    other, events = made(job, Bucket(url))
    assert torch.equal(film, other) and 0 < events[-1]["reused"] < half[-1]["ran"] + 1
    assert made(job, Bucket(url))[1][-1]["ran"] == 0
    mine, theirs = (
        {line["key"]: line["parts"] for line in store.records()}
        for store in (Bucket(url), Folder(tmp_path / "folder"))
    )
    assert theirs.items() <= mine.items()


def test_damage_is_set_aside_and_made_again(url: str) -> None:
    job = toy_job(100)
    film, _ = made(job, Bucket(url))
    fs, root = fsspec.core.url_to_fs(url)
    for number, change in (
        (3, lambda data: data[:-9]),
        (5, lambda data: data[:-1] + bytes([data[-1] ^ 1])),
    ):
        (place,) = (p for p in fs.find(f"{root}/clips") if job.key_of(number).key in p)
        fs.pipe_file(place, change(fs.cat_file(place)))
    again, events = made(job, Bucket(url))
    assert torch.equal(film, again) and len(fs.find(f"{root}/damaged")) == 2
    assert [e["step"] for e in events if e["event"] == "repaired"] == [3, 5]
    assert count(events, "finished") == 2


def test_the_journal_comes_in_chunks_in_order(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longtake.engine.bucket.CHUNK", 3)
    line = {"key": KEY, "parts": {}}
    one, two = Bucket(url), Bucket(url)
    for step in range(7):
        one.record({"step": step, **line})
    two.record({"step": 7, **line})
    one.record({"step": 8, **line})  # into its own chunk: nobody writes into another's
    fs, root = fsspec.core.url_to_fs(url)
    torn = f"{root}/journal/00000099-torn.jsonl"
    fs.pipe_file(torn, b'{"step": 9, "ke')
    assert sorted(found["step"] for found in Bucket(url).records()) == list(range(9))
    assert [found["step"] for found in Bucket(url).records()][:6] == list(range(6))
    assert len(fs.find(f"{root}/journal")) == 5
    three = Bucket(url)
    three.record({"step": 9, **line})
    assert [found["step"] for found in Bucket(url).records()][-1] == 9


def test_other_things_and_other_formats_are_refused(url: str) -> None:
    Bucket(url).put(KEY, clip())
    fs, root = fsspec.core.url_to_fs(url)
    marker = f"{root}/store.json"
    found = json.loads(fs.cat_file(marker))
    fs.pipe_file(marker, json.dumps({**found, "version": 99}).encode())
    with pytest.raises(InputError, match="format 99"):
        Bucket(url)
    fs.rm_file(marker)
    with pytest.raises(InputError, match="not a run"):
        Bucket(url)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (OSError(errno.ENOSPC, "No space left"), "the disk is full"),
        (PermissionError(errno.EACCES, "Access Denied"), "access denied"),
        (RuntimeError("no\ncredentials"), "cannot be reached: RuntimeError: no credentials"),
    ],
)
def test_what_a_service_fails_with_is_one_line_and_the_next_run_goes_on(
    url: str, monkeypatch: pytest.MonkeyPatch, raised: Exception, told: str
) -> None:
    job, store = toy_job(100), Bucket(url)
    write, left = store._fs.pipe_file, [7]

    def fail(place: str, data: bytes, **_: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise raised
        write(place, data)

    with monkeypatch.context() as patch:
        patch.setattr(store._fs, "pipe_file", fail)
        with pytest.raises(MachineError, match=rf"{told}.*3 finished steps are safe") as info:
            made(job, store)
    assert info.value.exit_code == 3 and "\n" not in str(info.value)
    film, events = made(job, Bucket(url))
    assert events[-1]["reused"] == 3 and count(events, "repaired") == 0
    assert torch.equal(film, made(job, Bucket(f"{url}-other"))[0])


def test_a_file_url_is_its_folder(tmp_path: Path) -> None:
    store = store_of(toy_job(20), f"file://{tmp_path}/run")
    assert isinstance(store, Folder) and store.path == tmp_path / "run"


@pytest.mark.parametrize(
    ("run", "what"),
    [("nowhere://x/y", "nowhere"), ("memory://endless", "endless film drops steps")],
)
def test_places_that_cannot_be_are_refused(run: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        store_of(toy_job(None if "endless" in run else 20), run)


def test_without_fsspec_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(InputError, match=r"longtake\[remote\]"):
        Bucket("s3://films/sea")


def test_the_faces_take_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = "memory://faces/sea"
    asked = ["a", "--model", TOY, "--frames", "40", "--run", run]

    def told(*words: str) -> list[dict[str, Any]]:
        found = CliRunner().invoke(cli, [*words, "--json"])
        assert found.exit_code == 0, found.output
        return [json.loads(line) for line in found.stdout.splitlines()]

    ran = told("generate", *asked)[-1]["ran"]
    assert ran > 0 and not list(tmp_path.glob("*.run")) and not list(tmp_path.glob("memory*"))
    assert all(line["cached"] for line in told("plan", *asked)[:-1])
    assert told("explain", run, "1")[-1]["stored"]
    take = longtake.generate("a", model=TOY, frames=40, run=run)
    assert len(list(take)) == 40 and take.events[-1].line()["reused"] == ran
    refused = CliRunner().invoke(cli, ["gc", run])
    assert refused.exit_code == 2 and "do not know their films" in refused.stderr
