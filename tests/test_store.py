"""Laws of the store: whole clips or none, damage seen and repaired, nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_parts import count, made, toy_job
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from longtake.clip import Clip
from longtake.engine import Folder
from longtake.engine.store import pack, unpack
from longtake.errors import InputError, MachineError
from longtake.keys import fingerprint

KEY = fingerprint("a step")
OTHER = fingerprint("another step")


def clip(dtype: torch.dtype = torch.float32) -> Clip:
    frames = torch.arange(24).reshape(1, 2, 3, 4).to(dtype)
    return Clip(frames, (5, 9), {"count": torch.tensor([3]), "part": frames[:, :1]})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.uint8])
def test_a_clip_comes_back_as_it_was(tmp_path: Path, dtype: torch.dtype) -> None:
    store = Folder(tmp_path / "run")
    assert store.get(KEY) is None and not store.has(KEY)
    assert not (tmp_path / "run").exists()  # looking creates nothing
    store.put(KEY, clip(dtype))
    back = Folder(tmp_path / "run").get(KEY)
    assert back is not None and back.at == (5, 9)
    assert back.frames.dtype == dtype and torch.equal(back.frames, clip(dtype).frames)
    assert back.carry["count"].item() == 3 and torch.equal(back.carry["part"], back.frames[:, :1])
    assert list(store.keys()) == [KEY]
    assert store.drop(KEY) > 0 and store.drop(KEY) == 0 and store.get(KEY) is None


@settings(max_examples=150, deadline=None)
@drawn(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_passes(place: float, bit: int) -> None:
    data = bytearray(pack(clip(), KEY))
    data[int(place * len(data))] ^= 1 << bit
    try:
        back = unpack(bytes(data), KEY)
    except ValueError:
        return
    assert torch.equal(back.frames, clip().frames) and back.at == (5, 9)


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.99])
def test_a_cut_off_file_is_set_aside(tmp_path: Path, keep: float) -> None:
    store = Folder(tmp_path)
    store.put(KEY, clip())
    (file,) = tmp_path.glob("clips/*/*")
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data))])
    assert store.get(KEY) is None
    assert KEY in store.damaged and (tmp_path / "damaged" / file.name).exists()
    assert not store.has(KEY)
    store.put(KEY, clip())
    assert store.get(KEY) is not None


def test_a_clip_under_another_name_is_not_taken(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    store.put(KEY, clip())
    store.put(OTHER, clip())
    a, b = sorted(tmp_path.glob("clips/*/*"))
    shutil.copy(a, b)
    assert (store.get(KEY) is None) != (store.get(OTHER) is None)


def test_damage_is_repaired_to_the_same_film(tmp_path: Path) -> None:
    job = toy_job(100)
    film, _ = made(job, Folder(tmp_path))
    key = job.key_of(3).key
    (file,) = tmp_path.glob(f"clips/*/{key}.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    again, events = made(job, Folder(tmp_path))
    assert torch.equal(film, again)
    assert [e["step"] for e in events if e["event"] == "repaired"] == [3]
    assert [e["step"] for e in events if e["event"] == "finished"] == [3]
    assert count(events, "reused") == len(job.calls) - 1
    assert count(made(job, Folder(tmp_path))[1], "repaired") == 0


def test_a_clip_that_goes_bad_while_in_use_stops_the_run_with_what_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longtake.engine.desk.BUDGET", 1)

    class Rotting(Folder):
        def put(self, key: str, clip: Clip) -> None:
            super().put(key, clip)
            if 8 in clip.at:  # step 2's
                (file,) = self.path.glob(f"clips/*/{key}.safetensors")
                file.write_bytes(b"nothing")

    job = toy_job(100)
    # step 2's clip is at hand when step 3 reads it, so it is the decoder that misses it
    with pytest.raises(MachineError, match=r"step 2 was finished but .*finished steps are safe"):
        made(job, Rotting(tmp_path))
    film, _ = made(job, Folder(tmp_path))
    assert torch.equal(film, made(job, Folder(tmp_path / "other"))[0])


@pytest.mark.parametrize("half", [False, True])
def test_a_full_disk_leaves_the_store_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: bool
) -> None:
    job, left, write = toy_job(100), [4], Path.write_bytes  # store.json and three steps

    def full(path: Path, data: bytes) -> int:
        left[0] -= 1
        if left[0] >= 0:
            return write(path, data)
        if half:
            write(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(MachineError, match=r"disk is full; 3 finished steps are safe") as info:
            made(job, Folder(tmp_path / "run"))
    assert info.value.exit_code == 3
    assert not list((tmp_path / "run").rglob(".tmp-*"))
    film, events = made(job, Folder(tmp_path / "run"))
    assert count(events, "reused") == 3 and count(events, "repaired") == 0
    assert torch.equal(film, made(job, Folder(tmp_path / "other"))[0])


def test_a_disk_that_refuses_late_is_heard_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Folder(tmp_path / "run")
    store.put(KEY, clip())
    store.settle()

    def refused(handle: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "fsync", refused)
    store.put(OTHER, clip())
    with pytest.raises(MachineError, match="the disk is full"):
        store.settle()
    store.settle()  # it is told once


def test_a_killed_write_leaves_no_clip_and_is_swept(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from test_store import clip, KEY; from longtake.engine import Folder\n"
        "os.replace = lambda part, file: os.kill(os.getpid(), 9)\n"
        "Folder(sys.argv[1]).put(KEY, clip())\n"
    )
    Folder(tmp_path).put(OTHER, clip())
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": paths}
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=False)
    assert run.returncode == -9 and list(tmp_path.glob("clips/*/.tmp-*"))
    store = Folder(tmp_path)
    assert store.get(KEY) is None
    store.put(OTHER, clip())
    assert not list(tmp_path.glob("clips/*/.tmp-*"))


def test_a_claim_holds_against_other_processes_and_ends_with_its_own(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    assert store.claim(KEY)
    code = (
        "import sys; from longtake.engine import Folder\n"
        "store = Folder(sys.argv[1])\n"
        "print(store.claim(sys.argv[2]), store.claim(sys.argv[3]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

    def elsewhere() -> str:
        command = [sys.executable, "-c", code, str(tmp_path), KEY, OTHER]
        return subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert elsewhere().split() == ["False", "True"]
    store.release(KEY)
    assert elsewhere().split() == ["True", "True"]
    assert store.claim(KEY) and store.claim(OTHER)  # the other process is gone


def test_a_run_of_another_format_is_refused(tmp_path: Path) -> None:
    Folder(tmp_path / "run").put(KEY, clip())
    marker = tmp_path / "run" / "store.json"
    found = json.loads(marker.read_text())
    marker.write_text(json.dumps({**found, "version": 99}))
    with pytest.raises(InputError, match="format 99"):
        Folder(tmp_path / "run")
    marker.write_text("{")
    with pytest.raises(InputError, match="not a run folder"):
        Folder(tmp_path / "run")


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match="not a run folder"):
        Folder(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        Folder(tmp_path / "holiday.jpg")
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.jpg"]


def test_the_journal_survives_a_torn_line(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    line = {"step": 0, "key": KEY, "parts": {}}
    store.record(line)
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"step": 1, "ke')
    store.record({**line, "step": 2})
    assert [found["step"] for found in Folder(tmp_path).records()] == [0, 2]


def test_a_run_can_be_moved(tmp_path: Path) -> None:
    job = toy_job(60)
    film, _ = made(job, Folder(tmp_path / "a"))
    (tmp_path / "a").rename(tmp_path / "b")
    text = b"".join(p.read_bytes() for p in (tmp_path / "b").rglob("*") if p.is_file())
    assert str(tmp_path).encode() not in text
    again, events = made(job, Folder(tmp_path / "b"))
    assert torch.equal(film, again) and events[-1]["ran"] == 0


def test_a_folder_that_cannot_be_written_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(MachineError, match="permission denied"):
        Folder(tmp_path / "run").put(KEY, clip())
