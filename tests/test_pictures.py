"""Reading and writing pictures: orientation, transparency, depth, lies, sheets."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps

from longtake.errors import InputError
from longtake.video import contact_sheet, probe, read_image, read_video, write_image
from longtake.video.stills import picture_size

QUARTERS = np.zeros((40, 60, 3), np.uint8)
QUARTERS[:20, :30] = (250, 0, 0)
QUARTERS[:20, 30:] = (0, 250, 0)
QUARTERS[20:, :30] = (0, 0, 250)


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    text = str(error.value)
    assert "\n" not in text and "(" in text and "; try " in text
    return text


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.webp", "photo.tiff"])
def test_exif_orientation(tmp_path: Path, name: str, orientation: int) -> None:
    image = Image.fromarray(QUARTERS)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"photo.jpg": {"quality": 95}, "photo.webp": {"lossless": True}}.get(name, {})
    image.save(tmp_path / name, exif=exif, **options)
    with Image.open(tmp_path / name) as saved:
        wanted = tensor(ImageOps.exif_transpose(saved).convert("RGB"))
    shown = read_image(tmp_path / name)
    assert torch.equal(shown, wanted)
    assert picture_size(tmp_path / name) == (shown.shape[2], shown.shape[1])
    small = read_image(tmp_path / name, size=(12, 12), fit="stretch")
    assert small[:, 2, 2].tolist() == pytest.approx(wanted[:, 5, 5].tolist(), abs=6)
    assert small[:, 9, 2].tolist() == pytest.approx(wanted[:, -5, 5].tolist(), abs=6)


def test_orientation_six_is_a_quarter_clockwise(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(QUARTERS).save(tmp_path / "a.png", exif=exif)
    shown = read_image(tmp_path / "a.png")
    assert shown.shape == (3, 60, 40) and shown.is_contiguous()
    assert torch.equal(shown, torch.from_numpy(np.rot90(QUARTERS, -1).copy()).permute(2, 0, 1))


def test_transparency_is_over_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    clear.putpixel((1, 0), (200, 0, 0, 255))
    clear.putpixel((2, 0), (200, 0, 0, 128))
    clear.save(tmp_path / "a.png")
    clear.save(tmp_path / "a.webp", lossless=True)
    for name in ("a.png", "a.webp"):
        shown = read_image(tmp_path / name)
        assert shown[:, 0, 0].tolist() == [255, 255, 255]
        assert shown[:, 0, 1].tolist() == [200, 0, 0]
        assert shown[:, 0, 2].tolist() == pytest.approx([227, 127, 127], abs=2)


def test_palettes_and_greys(tmp_path: Path) -> None:
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((0, 0), 0)
    palette.save(tmp_path / "plain.png")
    palette.save(tmp_path / "clear.png", transparency=0)
    assert read_image(tmp_path / "plain.png")[:, 0, 0].tolist() == [10, 20, 30]
    assert read_image(tmp_path / "plain.png")[:, 1, 1].tolist() == [40, 50, 60]
    assert read_image(tmp_path / "clear.png")[:, 0, 0].tolist() == [255, 255, 255]
    assert read_image(tmp_path / "clear.png")[:, 1, 1].tolist() == [40, 50, 60]
    Image.new("RGB", (3, 3), (9, 8, 7)).save(tmp_path / "key.png", transparency=(9, 8, 7))
    assert read_image(tmp_path / "key.png")[:, 0, 0].tolist() == [255, 255, 255]
    Image.new("LA", (3, 3), (77, 255)).save(tmp_path / "la.png")
    assert read_image(tmp_path / "la.png")[:, 0, 0].tolist() == [77, 77, 77]
    Image.new("1", (3, 3), 1).save(tmp_path / "bit.png")
    assert read_image(tmp_path / "bit.png")[:, 0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("name", ["deep.png", "deep.tiff"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    values = np.array([[0, 257 * 100, 65535], [128, 129, 30000]], np.uint16)
    Image.fromarray(values).save(tmp_path / name)
    wanted = [[0, 100, 255], [0, 1, round(30000 / 257)]]
    assert read_image(tmp_path / name)[1].tolist() == wanted
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(InputError, match="8 or 16 bits") as error:
        read_image(tmp_path / "float.tiff")
    one_line(error)


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "print.jpg", quality=95)
    red, green, blue = read_image(tmp_path / "print.jpg")[:, 8, 8].tolist()
    assert red > 245 and green < 10 and blue < 10


def test_colour_profiles_become_srgb(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8), (200, 100, 50))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "srgb.png", icc_profile=srgb)
    assert read_image(tmp_path / "srgb.png")[:, 4, 4].tolist() == [200, 100, 50]
    image.save(tmp_path / "broken.png", icc_profile=b"no profile at all")
    assert read_image(tmp_path / "broken.png")[:, 4, 4].tolist() == [200, 100, 50]
    Image.new("RGB", (8, 8), (128, 128, 128)).save(
        tmp_path / "linear.png", icc_profile=linear(srgb)
    )
    grey = read_image(tmp_path / "linear.png")[:, 4, 4].tolist()
    assert grey == pytest.approx([188, 188, 188], abs=2)  # sRGB of half the light


def linear(srgb: bytes) -> bytes:
    """The profile with straight tone curves and another name."""
    at = [i for i in range(len(srgb) - 12) if srgb[i : i + 4] in (b"para", b"curv")]
    changed = bytearray(srgb)
    for i in at:
        end = 40 if changed[i : i + 4] == b"para" else 12
        changed[i : i + end] = b"curv" + bytes(4) + bytes(4) + bytes(end - 12)
    return bytes(changed).replace("sRGB".encode("utf-16-be"), "Mine".encode("utf-16-be"))


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    for name in ("a.gif", "a.webp", "a.png"):
        options = {"lossless": True} if name == "a.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert read_image(tmp_path / name)[:, 3, 3].tolist() == [255, 0, 0]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    (tmp_path / "fine.png").write_bytes(png(2, 1, b"\0\1\2\3\4\5\6"))
    assert read_image(tmp_path / "fine.png")[:, 0].tolist() == [[1, 4], [2, 5], [3, 6]]
    (tmp_path / "30000.png").write_bytes(png(30000, 30000, bytes(10**6)))
    (tmp_path / "9000.png").write_bytes(png(9000, 9000, bytes(10**6)))
    text = zlib.compress(bytes(300 * 2**20), 9)
    notes = chunk(b"zTXt", b"note\0\0" + text)
    small = png(2, 1, b"\0\1\2\3\4\5\6")
    (tmp_path / "notes.png").write_bytes(small[:33] + notes + small[33:])
    program = (
        "import resource, sys; from longtake.video import read_image\n"
        "from longtake.errors import InputError\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak()\n"
        "for path in sys.argv[1:]:\n"
        "    try: read_image(path); print('read')\n"
        "    except InputError as error: print('too', 'many' in str(error))\n"
        "print(peak() - before)"
    )
    names = ["30000.png", "9000.png", "notes.png"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *(str(tmp_path / n) for n in names)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        check=True,
    )
    *said, grown = done.stdout.split("\n")[:-1]
    assert said[:2] == ["too True", "too True"] and float(grown) < 100
    assert done.stderr == ""


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff", ".gif", ".bmp"])
def test_cut_and_broken_pictures(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError) as error:
        read_image(path)
    assert str(path) in one_line(error)
    random = np.random.default_rng(1)
    for _ in range(30):
        broken = bytearray(whole)
        for place in random.integers(0, min(len(whole), 400), 4):
            broken[place] = random.integers(256)
        path.write_bytes(bytes(broken))
        try:
            assert read_image(path).shape[0] == 3
        except InputError as broken_error:
            assert "\n" not in str(broken_error)


def test_not_pictures(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(60))
    (tmp_path / "print.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    Image.new("RGB", (4, 4)).save(tmp_path / "harbour.jpg")
    cases = {
        "text.png": "not a picture",
        "empty.png": "empty",
        "folder.png": "folder",
        "film.mp4": "--video",
        "print.jpg": "not a picture",
        "harbor.jpg": "try harbour.jpg",
        "no/such/a.png": "existing folder",
    }
    for name, text in cases.items():
        with pytest.raises(InputError, match=text) as error:
            read_image(tmp_path / name)
        one_line(error)
    with pytest.raises(InputError, match="--image") as error:
        read_video(tmp_path / "harbour.jpg")
    one_line(error)


def test_sizes_and_fits(tmp_path: Path) -> None:
    Image.fromarray(QUARTERS).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (3, 40, 60)
    assert read_image(tmp_path / "a.png", size=(128, 96)).shape == (3, 96, 128)
    boxed = read_image(tmp_path / "a.png", size=(60, 60), fit="contain")
    assert int(boxed[:, :9].max()) == 0 and boxed[:, 12, 5].tolist() == [250, 0, 0]
    for wrong in ({"size": (0, 1)}, {"fit": "fill"}):
        with pytest.raises(InputError) as error:
            read_image(tmp_path / "a.png", **wrong)  # type: ignore[arg-type]
        one_line(error)


def test_write_image(tmp_path: Path) -> None:
    frame = torch.randint(0, 256, (3, 9, 13), dtype=torch.uint8)
    write_image(frame, tmp_path / "deep" / "a.png")
    assert torch.equal(read_image(tmp_path / "deep" / "a.png"), frame)
    for name in ("a.jpg", "a.webp"):
        smooth = torch.full((3, 16, 16), 90, dtype=torch.uint8)
        write_image(smooth, tmp_path / name)
        assert (read_image(tmp_path / name).int() - 90).abs().max() < 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "a.webp", "deep"]
    for path, wrong in (
        ("a.pgn", frame),
        ("a", frame),
        ("a.png", frame[:1]),
        ("a.png", frame / 255),
        ("a.jpg/b.png", frame),
    ):
        with pytest.raises(InputError) as error:
            write_image(wrong, tmp_path / path)
        one_line(error)


def test_contact_sheet(tmp_path: Path) -> None:
    reds = torch.arange(40, 240, 40, dtype=torch.uint8).view(-1, 1, 1)
    frames = torch.stack([reds, 250 - reds, 0 * reds], 1).expand(-1, 3, 30, 40).contiguous()
    contact_sheet(frames, tmp_path / "sheet.png", columns=3)
    sheet = read_image(tmp_path / "sheet.png")
    for k in range(5):
        mask = (sheet == frames[k, :, :1, :1]).all(0)
        rows, columns = mask.nonzero().unbind(1)
        top, left = int(rows.min()), int(columns.min())
        assert mask[top : top + 30, left : left + 40].all()
        assert (left // 42, top // 44) == (k % 3, k // 3)
    contact_sheet(iter(frames), tmp_path / "same.png", columns=3)
    assert (tmp_path / "same.png").read_bytes() == (tmp_path / "sheet.png").read_bytes()
    contact_sheet([frames[:2], frames[2]], tmp_path / "two.png", labels=["0.0 s", "0.1 s"])
    two = read_image(tmp_path / "two.png")
    assert two.shape[2] < sheet.shape[2] and int(two.max()) > 200  # the labels are written
    for bad, columns in ((frames[:0], 8), (frames, 0)):
        with pytest.raises(InputError) as error:
            contact_sheet(bad, tmp_path / "no.png", columns=columns)
        one_line(error)
    endless = iter(lambda: torch.zeros(3, 1000, 1000, dtype=torch.uint8), None)
    with pytest.raises(InputError, match="too many frames"):
        contact_sheet(endless, tmp_path / "no.png")
    assert not (tmp_path / "no.png").exists()


def test_a_folder_of_photographs_is_a_video(tmp_path: Path) -> None:
    for k in (10, 9, 100):
        image = Image.new("RGB", (20, 10), (k, k, k))
        image.save(tmp_path / f"{k}.png")
    (tmp_path / "readme.txt").write_text("holiday")
    frames = read_video(tmp_path)
    assert frames[:, 0, 0, 0].tolist() == [9, 10, 100]
    info = probe(tmp_path)
    assert (info.width, info.height, info.frames, info.fps) == (20, 10, 3, 10)
    assert len(read_video(tmp_path, fps=20)) == 6
