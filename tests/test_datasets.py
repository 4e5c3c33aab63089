"""Datasets: each miniature, read by its published layout with bare tools, is what our loader gives; wrong ones are named."""

from __future__ import annotations

import csv
import json
import re
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor

from longtake.cli import cli
from longtake.datasets import DATASETS, SOURCES, Layout, Problem, find, is_spec, knobs, open_spec
from longtake.datasets.checking import counts, examine
from longtake.datasets.miniature import moving
from longtake.datasets.shards import write_shards
from longtake.datasets.tfrecord import crc32c, example, offsets, parse_example, write_records
from longtake.errors import InputError


def bare(path: Path) -> Tensor:
    """A video as PyAV gives it to anybody: (t, 3, h, w)."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def seen(paths: list[Path]) -> Tensor:
    """Pictures as Pillow gives them to anybody."""
    frames = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


# --- reference readings: (split, label, frames), straight from each layout

Reading = Iterator[tuple[str, str, Tensor]]


def ucf101(root: Path) -> Reading:
    for split in ("train", "test"):
        for line in (root / f"ucfTrainTestlist/{split}list01.txt").read_text().splitlines():
            name = line.split(" ")[0]
            yield split, name.split("/")[0], bare(root / "UCF-101" / name)


def sky_timelapse(root: Path) -> Reading:
    for split in ("train", "test"):
        top = root / "sky_timelapse" / f"sky_{split}"
        for clip in sorted(top.glob("*/*")):
            yield split, "", seen(sorted(clip.glob("*.jpg")))


def bair(root: Path) -> Reading:
    for split in ("train", "test"):
        for file in sorted((root / "softmotion30_44k" / split).glob("*.tfrecords")):
            data = file.read_bytes()
            while data:
                (length,) = struct.unpack("<Q", data[:8])
                body, data = data[12 : 12 + length], data[16 + length :]
                frames = []
                for n in range(30):
                    # The name, its map entry's value field, a feature, a bytes list, the bytes.
                    at = body.index(b"%d/image_aux1/encoded\x12" % n)
                    at = body.index(b"\x0a\x80\x60", at) + 3
                    raw = np.frombuffer(body[at : at + 12288], np.uint8)
                    frames.append(raw.reshape(64, 64, 3))
                yield split, "", torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def webvid(root: Path) -> Reading:
    for split in ("train", "val"):
        with (root / f"results_10M_{split}.csv").open() as file:
            for row in csv.DictReader(file):
                place = root / "videos" / row["page_dir"] / f"{row['videoid']}.mp4"
                yield split, "", bare(place)


def kinetics600(root: Path) -> Reading:
    for split in ("train", "val", "test"):
        with (root / f"annotations/{split}.csv").open() as file:
            for row in csv.DictReader(file):
                start, end = int(row["time_start"]), int(row["time_end"])
                name = f"{row['youtube_id']}_{start:06}_{end:06}.mp4"
                yield split, row["label"], bare(root / split / row["label"] / name)


def taichi(root: Path) -> Reading:
    with (root / "taichi-metadata.csv").open() as file:
        for row in csv.DictReader(file):
            name = f"{row['video_id']}#{int(row['start']):06}#{int(row['end']):06}"
            place = root / row["partition"] / name
            if place.is_dir():
                yield row["partition"], "", seen(sorted(place.glob("*.png")))
            else:
                yield row["partition"], "", bare(place.with_name(f"{name}.mp4"))


def msrvtt(root: Path) -> Reading:
    for name in ("train_val_videodatainfo.json", "test_videodatainfo.json"):
        for video in json.loads((root / name).read_text())["videos"]:
            split = {"validate": "val"}.get(video["split"], video["split"])
            label = ["music", "people", "gaming", "sports/actions", "news/events/politics"]
            label += ["education", "tv-shows"]
            key = video["video_id"]
            yield split, label[video["category"]], bare(root / "videos" / f"{key}.mp4")


def kth(root: Path) -> Reading:
    text = (root / "00sequences.txt").read_text()
    for stem, action, spans in re.findall(r"(person\d+_(\w+)_d\d)\s+frames\s+(.*)", text):
        if stem == "person13_handclapping_d3":
            continue
        whole = bare(root / action / f"{stem}_uncomp.avi")
        for span in spans.split(","):
            first, last = map(int, span.split("-"))
            split = "train" if int(stem[6:8]) <= 16 else "test"
            yield split, action, whole[first - 1 : last]


READINGS: dict[str, Callable[[Path], Reading]] = {
    "bair": bair,
    "kinetics600": kinetics600,
    "kth": kth,
    "msrvtt": msrvtt,
    "sky-timelapse": sky_timelapse,
    "taichi": taichi,
    "ucf101": ucf101,
    "webvid": webvid,
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every miniature, each in a folder of its name."""
    root = tmp_path_factory.mktemp("shelf")
    for name in DATASETS:
        (root / name).mkdir()
        find(name).miniature(root / name, 1)  # type: ignore[attr-defined]
    return root


@pytest.fixture
def copy(shelf: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A miniature to break."""

    def made(name: str) -> Path:
        return Path(shutil.copytree(shelf / name, tmp_path / name))

    return made


@pytest.mark.parametrize("name", DATASETS)
def test_a_miniature_loads_as_its_layout_reads(name: str, shelf: Path) -> None:
    layout = open_spec(f"{name}:{shelf / name}")
    wanted = list(READINGS[name](shelf / name))
    assert len(wanted) == len(layout.records) >= 5
    for record, (split, label, frames) in zip(layout.records, wanted, strict=True):
        footage = layout.footage(record)
        assert (record.split, record.label, footage.frames) == (split, label, len(frames))
        assert torch.equal(footage.read(range(len(frames))), frames)
        some = [len(frames) - 1, 0, len(frames) // 2]
        assert torch.equal(layout.footage(record).read(some), frames[some])


@pytest.mark.parametrize("name", DATASETS)
def test_a_whole_dataset_has_no_problems_and_a_page_of_facts(name: str, shelf: Path) -> None:
    layout = open_spec(f"{name}:{shelf / name}")
    assert list(examine(layout)) == []
    splits = counts(layout)
    assert sum(splits.values()) == len(layout.records)
    assert len({record.id for record in layout.records}) == len(layout.records)
    assert layout.licence and layout.title and layout.published and layout.protocols
    for protocol in layout.protocols.values():
        assert protocol.split in {"", *splits} and protocol.given < protocol.frames
    chosen = open_spec(f"{name}:{shelf / name}?split={min(splits)}")
    assert {record.split for record in chosen.records} == {min(splits)}


def problems(layout: Layout) -> set[tuple[str, str]]:
    return {(problem.kind, problem.where) for problem in examine(layout)}


def test_missing_and_unlisted_files_are_named(copy: Callable[[str], Path]) -> None:
    gone = {
        "ucf101": "UCF-101/Archery/v_Archery_g02_c01.avi",
        "kinetics600": "val/zumba/va10AbCd-_0_000000_000010.mp4",
        "kth": "walking/person18_walking_d1_uncomp.avi",
        "msrvtt": "videos/video5.mp4",
        "taichi": "train/A7Qoy5mr3F4#000020#000086.mp4",
        "webvid": "videos/000000_000050/1001201.mp4",
    }
    for name, path in gone.items():
        root = copy(name)
        place = root / path
        stray = place.with_name(place.name.replace(place.stem, "stray"))
        place.rename(stray)
        found = problems(open_spec(f"{name}:{root}"))
        assert ("unlisted", stray.relative_to(root).as_posix()) in found, name
        assert any(kind == "missing" and path.endswith(where) for kind, where in found), name
        assert {kind for kind, _ in found} == {"missing", "unlisted"}, name


def test_a_lost_frame_is_named(copy: Callable[[str], Path]) -> None:
    root = copy("sky-timelapse")
    clip = root / "sky_timelapse/sky_train/07U1fSrk9oI/07U1fSrk9oI_2"
    (clip / "07U1fSrk9oI_frames_00000040.jpg").unlink()
    problem = next(iter(examine(open_spec(f"sky-timelapse:{root}"))))
    where = "sky_timelapse/sky_train/07U1fSrk9oI/07U1fSrk9oI_2"
    assert problem == Problem("missing", where, "frame 40, and 0 more")


@pytest.mark.parametrize("kept", [0.0, 0.4, 0.7])
def test_cut_files_are_unreadable(copy: Callable[[str], Path], kept: float) -> None:
    for name, path in (
        ("ucf101", "UCF-101/YoYo/v_YoYo_g03_c02.avi"),
        ("kinetics600", "train/zumba/tr12AbCd-_2_000020_000030.mp4"),
        ("bair", "softmotion30_44k/test/traj_0_to_1.tfrecords"),
    ):
        root = copy(f"{name}")
        data = (root / path).read_bytes()
        (root / path).write_bytes(data[: int(len(data) * kept)])
        found = problems(open_spec(f"{name}:{root}"))
        shutil.rmtree(root)
        assert {kind for kind, _ in found} == {"unreadable"} and len(found) == 1, (name, kept)


def test_broken_frames_are_named(copy: Callable[[str], Path]) -> None:
    root = copy("ucf101")
    path = root / "UCF-101/YoYo/v_YoYo_g03_c02.avi"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(range(200)) * 2
    path.write_bytes(data)
    assert ("unreadable", "v_YoYo_g03_c02") in problems(open_spec(f"ucf101:{root}"))


def test_leaks_between_splits_are_named(copy: Callable[[str], Path]) -> None:
    root = copy("ucf101")
    lists = root / "ucfTrainTestlist"
    moved = "Archery/v_Archery_g02_c01.avi"
    train = (lists / "trainlist01.txt").read_text()
    assert f"{moved} 2\n" in train
    (lists / "trainlist01.txt").write_text(train.replace(f"{moved} 2\n", ""))
    with (lists / "testlist01.txt").open("a") as file:
        file.write(f"{moved}\n")
    assert problems(open_spec(f"ucf101:{root}")) == {("leak", "Archery_g02")}
    root = copy("kinetics600")
    shutil.copy(next((root / "train/zumba").iterdir()), next((root / "test/zumba").iterdir()))
    kinds = [(p.kind, p.where[:5]) for p in examine(open_spec(f"kinetics600:{root}"))]
    assert kinds == [("leak", "test/")]


def test_wrong_labels_and_lines_are_named(copy: Callable[[str], Path]) -> None:
    root = copy("ucf101")
    path = root / "ucfTrainTestlist/trainlist01.txt"
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([first[:-1] + "3", *rest, rest[0], "../../etc/passwd 1"]))
    found = {(p.kind, p.where) for p in examine(open_spec(f"ucf101:{root}"))}
    lines = {("label", 1), ("list", len(rest) + 2), ("list", len(rest) + 3)}
    assert found == {(kind, f"trainlist01.txt:{line}") for kind, line in lines}
    root = copy("kth")
    with (root / "00sequences.txt").open("a") as file:
        file.write("person01_boxing_d2\t\tframes\t9-3\nperson01_dancing_d1\t\tframes\t1-3\n")
    assert {kind for kind, _ in problems(open_spec(f"kth:{root}"))} == {"list"}
    with (root / "00sequences.txt").open("a") as file:
        file.write("person22_walking_d1\t\tframes\t50-61\n")
    assert ("list", "00sequences.txt:12") in problems(open_spec(f"kth:{root}"))


def test_the_splits_of_kth_and_the_units_of_sky(shelf: Path) -> None:
    for people, wanted in (("16", (4, 0, 8)), ("20", (8, 0, 4)), ("official", (4, 4, 4))):
        found = counts(open_spec(f"kth:{shelf / 'kth'}?people={people}"))
        assert tuple(found.get(split, 0) for split in ("train", "val", "test")) == wanted
    videos = open_spec(f"sky-timelapse:{shelf / 'sky-timelapse'}?unit=video")
    assert [videos.footage(record).frames for record in videos.records] == [64, 64, 64]


def test_the_robot_s_actions_are_read(shelf: Path) -> None:
    layout = open_spec(f"bair:{shelf / 'bair'}?camera=main")
    told, place = layout.actions(layout.records[0])  # type: ignore[attr-defined]
    assert told.shape == (30, 4) and place.shape == (30, 3) and told.std() > 0.5
    other = open_spec(f"bair:{shelf / 'bair'}")
    record = layout.records[0]
    assert not torch.equal(layout.footage(record).read([0]), other.footage(record).read([0]))


# --- TFRecord


def test_checksums_are_those_of_the_standard() -> None:
    # RFC 3720, B.4
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    data = np.random.default_rng(0).integers(0, 256, 5000, np.uint8).tobytes()
    for length in (0, 1, 1023, 1024, 2047, 2048, 2049, 5000):
        slow = 0xFFFFFFFF
        for byte in data[:length]:
            slow ^= byte
            for _ in range(8):
                slow = slow >> 1 ^ (0x82F63B78 if slow & 1 else 0)
        assert crc32c(data[:length]) == slow ^ 0xFFFFFFFF


def test_no_length_in_a_record_is_believed(tmp_path: Path) -> None:
    whole = example({"a": b"xyz" * 100, "b": [1.0, 2.5]})
    assert parse_example(whole, "x")["a"] == [b"xyz" * 100]
    assert list(parse_example(whole, "x")["b"]) == [1.0, 2.5]
    dice = np.random.default_rng(3)
    for _ in range(300):
        data = bytearray(whole[: int(dice.integers(len(whole) + 1))])
        for _ in range(int(dice.integers(1, 4))):
            if data:
                data[int(dice.integers(len(data)))] = int(dice.integers(256))
        try:
            parse_example(bytes(data), "x")
        except InputError as error:
            assert "holds no Example" in str(error)
    path = tmp_path / "a.tfrecords"
    write_records(path, [whole, whole])
    assert [length for _, length in offsets(path)] == [len(whole)] * 2
    data = bytearray(path.read_bytes())
    data[0:8] = struct.pack("<Q", 2**62)
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged length"):
        offsets(path)


# --- the user's own clips


def test_sources_give_the_same_clips(shelf: Path, tmp_path: Path) -> None:
    top = shelf / "kinetics600"
    folder = open_spec(str(top))
    assert [r.split for r in folder.records].count("val") == 2
    assert {record.label for record in folder.records} == {"abseiling", "zumba"}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        for record in folder.records:
            made.write(top / record.path, record.path)
    packed = open_spec(f"zip:{tmp_path / 'a.zip'}")
    list(write_shards(folder, tmp_path / "shards", each=4))
    tars = open_spec(f"shards:{tmp_path / 'shards'}")
    lines = [{"id": r.id, "path": r.path, "split": r.split} for r in folder.records]
    shutil.copytree(top, tmp_path / "list")
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (tmp_path / "list/clips.jsonl").write_text(text)
    listed = open_spec(f"clips:{tmp_path / 'list'}")
    for other in (packed, tars, listed):
        assert list(examine(other)) == []
        for one, two in zip(folder.records, other.records, strict=True):
            assert one.split == two.split
            frames = bare(top / one.path)
            assert torch.equal(other.footage(two).read(range(len(frames))), frames)


def test_frames_in_folders_and_zips(shelf: Path, tmp_path: Path) -> None:
    top = shelf / "sky-timelapse/sky_timelapse/sky_train"
    folders = open_spec(f"frames:{top}?fps=25")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        for file in sorted(top.rglob("*.jpg")):
            made.write(file, file.relative_to(top))
    packed = open_spec(f"zip:{tmp_path / 'a.zip'}?fps=25")
    for one, two in zip(folders.records, packed.records, strict=True):
        frames = seen(sorted((top / one.path).iterdir()))
        for layout, record in ((folders, one), (packed, two)):
            footage = layout.footage(record)
            assert footage.fps == 25 and torch.equal(footage.read(range(32)), frames)


def test_hdf5_shards(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    clips = [moving(n, 5 + n, (32, 24)) for n in range(3)]
    with h5py.File(tmp_path / "shard_0001.hdf5", "w") as shard:
        for n, clip in enumerate(clips):
            shard[f"len/{n}"] = len(clip)
            for k, frame in enumerate(clip):
                shard[f"{n}/{k}"] = frame.permute(1, 2, 0).numpy()
    with h5py.File(tmp_path / "whole.h5", "w") as shard:
        shard["videos"] = torch.stack([clip[:4] for clip in clips]).permute(0, 1, 3, 4, 2).numpy()
    layout = open_spec(f"hdf5:{tmp_path}")
    assert list(examine(layout)) == []
    for record, clip in zip(layout.records, [*clips, *(clip[:4] for clip in clips)], strict=True):
        footage = layout.footage(record)
        assert torch.equal(footage.read(range(footage.frames)), clip)
    (tmp_path / "whole.h5").write_bytes(b"no HDF5 at all")
    assert ("unreadable", "whole.h5") in problems(open_spec(f"hdf5:{tmp_path}"))


def test_tables_of_the_hub(shelf: Path, tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    files = sorted((shelf / "kinetics600/train/zumba").iterdir())
    films = [{"bytes": file.read_bytes(), "path": None} for file in files]
    table = arrow.table({"video": films, "caption": ["a", "b", "c"], "label": [1, 1, 2]})
    (tmp_path / "data").mkdir()
    parquet.write_table(table, tmp_path / "data/validation-00000-of-00001.parquet")
    pictures = sorted((shelf / "sky-timelapse").rglob("*.jpg"))[:6]
    stills = [{"bytes": file.read_bytes(), "path": None} for file in pictures]
    (tmp_path / "test").mkdir()
    rows = arrow.table({"frames": [stills[:3], stills[3:]]})
    with arrow.ipc.new_stream(str(tmp_path / "test/data-00000-of-00001.arrow"), rows.schema) as out:
        out.write_table(rows)
    layout = open_spec(f"hub:{tmp_path}")
    assert list(examine(layout)) == [] and counts(layout) == {"test": 2, "val": 3}
    wanted = [*(bare(file) for file in files), seen(pictures[:3]), seen(pictures[3:])]
    for record, frames in zip(layout.records, wanted, strict=True):
        assert torch.equal(layout.footage(record).read(range(len(frames))), frames)
    assert layout.records[1].captions == ("b",) and layout.records[2].label == "2"
    (tmp_path / "test/data-00000-of-00001.arrow").write_bytes(b"nothing")
    assert {kind for kind, _ in problems(open_spec(f"hub:{tmp_path}"))} == {"unreadable"}


def test_shards_are_the_same_bytes_and_gone_on_with(shelf: Path, tmp_path: Path) -> None:
    layout = open_spec(f"kth:{shelf / 'kth'}")  # stretches of files: coded anew, without loss
    first = list(write_shards(layout, tmp_path / "a", each=5))
    again = tmp_path / "b"
    next(write_shards(layout, again, each=5))
    stamp = (again / "000000.tar").stat().st_mtime_ns
    assert [p.read_bytes() for p in write_shards(layout, again, each=5)] == [
        p.read_bytes() for p in first
    ]
    assert (again / "000000.tar").stat().st_mtime_ns == stamp
    packed = open_spec(f"shards:{again}")
    assert list(examine(packed)) == []
    for one, two in zip(layout.records, packed.records, strict=True):
        assert (one.label, one.split, one.group) == (two.label, two.split, two.group)
        assert two.licence == layout.licence
        frames = layout.footage(one).read([0, 5, 11])
        assert torch.equal(packed.footage(two).read([0, 5, 11]), frames)
    data = (again / "000001.tar").read_bytes()
    (again / "000001.tar").write_bytes(data[: len(data) // 2])
    assert ("unreadable", "000001.tar") in problems(open_spec(f"shards:{again}"))
    with tarfile.open(first[0]) as tar:
        names = tar.getnames()
    assert names[:2] == ["00000000.mkv", "00000000.json"]


# --- specs and the command line


def test_specs(shelf: Path, tmp_path: Path) -> None:
    assert (
        is_spec("kth:/x") and not is_spec("sky") and not is_spec("./a:b") and not is_spec("a.mp4")
    )
    assert knobs("kth") == {"split": "", "people": "16"}
    for spec, said in (
        ("kht:/tmp", "unknown dataset 'kht' (datasets); try kth"),
        (f"kth:{tmp_path}?poeple=20", "no knob 'poeple'"),
        (f"kth:{shelf / 'kth'}?people=17", "people is '17'"),
        (f"kth:{tmp_path / 'no'}", "no such place"),
        (f"kth:{tmp_path}", "has no 00sequences.txt"),
        (f"kth:{shelf / 'kth'}?split=tset", "no split 'tset'"),
        (f"frames:{shelf / 'kth'}?fps=0", "fps is '0'"),
        (f"zip:{shelf / 'kth/00sequences.txt'}", "is no zip"),
        (f"folder:{tmp_path}", "holds no clips"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            open_spec(spec).records
    odd = tmp_path / "what?now"
    shutil.copytree(shelf / "kth", odd)
    assert len(open_spec(f"kth:{odd}").records) == 12


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def test_the_command_line(here: Path) -> None:
    listed = run("data", "sets", "--json").stdout.splitlines()
    assert [json.loads(line)["dataset"] for line in listed] == [*DATASETS, *SOURCES]
    assert run("data", "miniature", "kth", "--out", "kth").exit_code == 0
    assert run("data", "miniature", "kth", "--out", "kth").exit_code == 2  # not empty
    assert run("data", "miniature", "kht", "--out", "b").exit_code == 2 and not Path("b").exists()
    told = run("data", "check", "kth:kth", "--json")
    last = json.loads(told.stdout.splitlines()[-1])
    assert told.exit_code == 0 and last["clips"] == {"test": 8, "train": 4}
    assert run("data", "preview", "kth:kth", "--out", "sheet.png").exit_code == 0
    assert Image.open("sheet.png").width > 500
    assert run("data", "shards", "kth:kth", "--out", "tars").exit_code == 0
    assert run("data", "check", "shards:tars").exit_code == 0
    Path("kth/boxing/person01_boxing_d1_uncomp.avi").unlink()
    broken = run("data", "check", "kth:kth")
    assert broken.exit_code == 1 and "missing: person01_boxing_d1" in broken.stdout
    assert "2 problems" in broken.stderr
    assert run("data", "check", "kth:kth", "--clips", "0").exit_code == 2
    assert run("data", "check", "kth:nowhere").exit_code == 2
