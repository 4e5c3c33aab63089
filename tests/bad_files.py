"""Files that nobody should be able to make a film of, and odd pictures that anybody should."""

from __future__ import annotations

import json
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from longtake.video import VideoWriter

SHOT = '[[shot]]\nprompt = "a"\nseconds = 1\n'
STORYBOARDS = {
    "good": SHOT,
    "empty": "",
    "misspelt": SHOT.replace("seconds", "secnds"),
    "misspelt-film": "sede = 3\n" + SHOT,
    "prompt-number": SHOT.replace('"a"', "3"),
    "seconds-text": SHOT.replace("1", '"one"'),
    "seconds-zero": SHOT.replace("1", "0"),
    "seconds-negative": SHOT.replace("1", "-1"),
    "seconds-nan": SHOT.replace("1", "nan"),
    "seconds-huge": SHOT.replace("1", "1e8"),
    "seconds-digits": SHOT.replace("1", "9" * 5000),
    "cut-text": SHOT + 'cut = "no"\n',
    "images-text": SHOT + 'images = "good.png"\n',
    "fps-text": 'fps = "x"\n' + SHOT,
    "fps-digits": f"fps = {'9' * 400}\n" + SHOT,
    "size-number": "size = 3\n" + SHOT,
    "seed-fraction": "seed = 1.5\n" + SHOT,
    "shot-list": "shot = [1, 2]\n",
    "no-shots": "seed = 3\n",
    "empty-shots": "shot = []\n",
    "empty-shot": "[[shot]]\n",
    "invalid": "[[shot\nprompt =\n",
    "twice": "seed = 1\nseed = 2\n" + SHOT,
    "deep": "a = " + "[" * 100_000,
    "up": SHOT + 'images = ["../x.jpg"]\n',
    "absolute": SHOT + 'images = ["/etc/hostname"]\n',
    "link-out": SHOT + 'images = ["out.png"]\n',
    "missing": SHOT + 'images = ["nowhere.png"]\n',
    "late": SHOT + 'images = ["5=good.png"]\n',
    "folder-pin": SHOT + 'images = ["full"]\n',
}


def make_files(folder: Path) -> None:
    """Everything `test_bad_input` names."""
    for name, text in STORYBOARDS.items():
        (folder / f"{name}.toml").write_text(text)
    rng = np.random.default_rng(0)
    (folder / "binary.toml").write_bytes(rng.bytes(3000))
    (folder / "folder.toml").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "notes.txt").write_text("mine")
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ("good.png", "good.jpg"):
        Image.fromarray(pixels).save(folder / name)
        whole = (folder / name).read_bytes()
        (folder / f"cut{name[4:]}").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("not a picture\n")
    (folder / "empty.png").touch()
    (folder / "bomb.png").write_bytes(_png(30_000, 30_000, 8, 0, _zeros(30_001 * 30_000)))
    (folder / "out.png").symlink_to("/etc/hostname")
    (folder / "ring.png").symlink_to("ring.png")
    with VideoWriter(folder / "good.mp4", size=(64, 64), fps=Fraction(10)) as writer:
        writer.write(torch.from_numpy(rng.integers(0, 256, (20, 3, 64, 64), dtype=np.uint8)))
    whole = (folder / "good.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "text.mp4").write_text("not a film\n")
    (folder / "empty.mp4").touch()


def make_odd_pictures(folder: Path) -> list[Path]:
    """Pictures that are not plain eight-bit RGB, each 64x64 and none of them dark."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(100, 256, (64, 64, 3), dtype=np.uint8)
    rgb = Image.fromarray(pixels)
    turns = [Image.fromarray(np.roll(pixels, n, 0)) for n in range(4)]
    for name in ("animated.gif", "animated.png", "animated.webp"):
        turns[0].save(folder / name, save_all=True, append_images=turns[1:], duration=100)
    grey = Image.fromarray(pixels[..., 0])
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(folder / "grey-16.png")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels.astype(">u2") * 257)
    (folder / "rgb-16.png").write_bytes(_png(64, 64, 16, 2, zlib.compress(rows)))
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    rgb.convert("CMYK").save(folder / "cmyk.tif")
    rgb.quantize(16).save(folder / "palette-alpha.png", transparency=3)
    Image.merge("LA", (grey, grey)).save(folder / "grey-alpha.png")
    grey.convert("1").save(folder / "one-bit.png")
    rgb.resize((1, 1)).save(folder / "one-pixel.png")
    return sorted(folder.iterdir())


def _zeros(count: int) -> bytes:
    squeeze = zlib.compressobj(9)
    block = bytes(1 << 20)
    parts = [squeeze.compress(block) for _ in range(count >> 20)]
    return b"".join((*parts, squeeze.compress(bytes(count & 0xFFFFF)), squeeze.flush()))


def _png(width: int, height: int, bits: int, kind: int, data: bytes) -> bytes:
    """A PNG of rows already compressed; Pillow itself writes neither bombs nor 16-bit colour."""
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    sealed = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(sealed)


def make_weights(folder: Path, built_in: Path) -> None:
    """Folders of weights, each with one wrong file beside a right one."""
    net, codec = "skies.safetensors", "skies_codec.safetensors"
    shape = {"channels": 32, "text": 27, "outer": 128, "inner": 224, "outer_blocks": 2}
    shape |= {"inner_blocks": 5, "head": 32, "ratio": 3}
    small = {"a": torch.zeros(3)}
    large = {"a": torch.zeros(300, 300), "b": torch.zeros(300, 300)}

    def place(name: str, file: str = net) -> Path:
        made = folder / name
        made.mkdir()
        for other in {net, codec} - {file}:
            (made / other).symlink_to(built_in / other)
        return made / file

    def stated(name: str, tensors: dict[str, torch.Tensor], sizes: Any, file: str = net) -> None:
        save_file(tensors, place(name, file), {"shape": json.dumps(sizes)})

    whole = (built_in / net).read_bytes()
    place("w-cut").write_bytes(whole[:100_000])
    place("w-cut-header").write_bytes(whole[:50])
    place("w-empty").touch()
    place("w-long-header").write_bytes(struct.pack("<Q", 2**62) + b"{}" * 100)
    tensor = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}
    head = json.dumps({"__metadata__": {"shape": json.dumps(shape)}, "a": tensor}).encode()
    place("w-huge-tensor").write_bytes(struct.pack("<Q", len(head)) + head)
    save_file(small, place("w-foreign"))
    stated("w-no-sizes", small, None)
    stated("w-other-sizes", large, {"widths": [3], "blocks": [1]})
    stated("w-small", small, shape)
    stated("w-wide", large, {**shape, "inner": 400_000})
    stated("w-deep", large, {**shape, "inner_blocks": 10**9})
    stated("w-texts", large, dict.fromkeys(shape, "x"))
    stated("w-stride", large, {"channels": 32, "stride": 0}, codec)
    stated("w-negative", large, {"channels": -1, "stride": 4}, codec)
    stated("w-not-numbers", {"a": torch.full((600, 600), torch.nan)}, shape)
    place("w-missing")
