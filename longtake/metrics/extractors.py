"""What turns pictures and clips into features: built in, from a file the user has, or from a package.

No weights are fetched. A TorchScript file is a program in TorchScript's own language, read by its own
reader (no Python is unpickled); it runs when it is named, so name files you trust.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from longtake.errors import InputError, nearest
from longtake.metrics.clipnet import FRAMES, SIDE, WIDTH, ClipNet
from longtake.metrics.moments import Moments
from longtake.metrics.resizing import clean, square, squeezed

WEIGHTS = Path(__file__).parent.parent / "weights" / "tfvd.safetensors"
WITHOUT = "tfvd, built in, works without"


class Extractor(Protocol):
    """Turns clips into rows of features. frames: of a clip, 1 for pictures.

    name, resize, crop: as in protocols.
    """

    name: str
    width: int
    frames: int
    resize: str
    crop: str

    def prepare(self, frames: Tensor) -> Tensor:
        """Frames (t, 3, h, w) in 0..255 as the network sees them (t, 3, side, side)."""

    def features(self, clips: Tensor) -> Tensor:
        """Prepared clips (b, frames, 3, side, side) -> (b, width) float32."""


class Tfvd:
    """The built-in features: 64 numbers of 16 frames at 64x64, learned without labels.

    world: the moments of the sky world at large, the reference where none is given.
    """

    name, width, frames = "tfvd-1", WIDTH, FRAMES
    resize, crop = "bilinear-antialias-64", "short-side-crop"

    def __init__(self, weights: str | os.PathLike[str] = WEIGHTS) -> None:
        hint = "tools/train_tfvd.py, which makes it"
        try:
            with safe_open(weights, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except FileNotFoundError:
            raise InputError("no weights", os.fspath(weights), hint) from None
        except (SafetensorError, OSError) as error:
            raise InputError(f"cannot read it: {error}", os.fspath(weights), hint) from None
        own = {name: value.float() for name, value in tensors.items() if name[:6] != "world."}
        self.world = Moments.of_tensors({n[6:]: v for n, v in tensors.items() if n[:6] == "world."})
        self.net = ClipNet()
        lost = set(self.net.load_state_dict(own, strict=False).missing_keys)
        if any(not name.endswith("num_batches_tracked") for name in lost):
            raise InputError("not the weights of tfvd", os.fspath(weights), hint)
        self.net.eval().requires_grad_(False)

    def prepare(self, frames: Tensor) -> Tensor:
        """See Extractor."""
        return square(frames, SIDE)

    def features(self, clips: Tensor) -> Tensor:
        """See Extractor."""
        with torch.inference_mode():
            rows: Tensor = self.net(clips)
        return rows.clone()


class Scripted:
    """A TorchScript file: I3D or C3D of clips, Inception of pictures.

    The files that StyleGAN2-ADA and StyleGAN-V published resize and scale by themselves, as their
    arguments say; any other is given pictures at `side`, in -1..1.
    """

    def __init__(self, name: str, path: str, *, width: int, frames: int, side: int) -> None:
        self.name, self.width, self.frames, self.side = name, width, frames, side
        self.resize, self.crop = f"bilinear-{side}", "whole"
        try:
            self.net: Any = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, OSError) as error:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise InputError(f"not a TorchScript file: {reason}", path, WHERE[name][1]) from None
        known = {argument.name for argument in self.net.forward.schema.arguments}
        self.own = {"resize", "rescale"} <= known
        self.flags = {
            flag: True for flag in ("rescale", "resize", "return_features") if flag in known
        }
        self.bytes = "return_features" in known and not self.own  # NVIDIA's Inception takes bytes

    def prepare(self, frames: Tensor) -> Tensor:
        """See Extractor; a net that resizes by itself gets frames as they are."""
        if self.own or self.bytes:
            return frames
        return squeezed(frames, self.side).mul(2).sub(1)

    def features(self, clips: Tensor) -> Tensor:
        """See Extractor."""
        pictures = clips[:, 0] if self.frames == 1 else clips.transpose(1, 2)
        seen = pictures.round().byte() if self.bytes else pictures.float()
        try:
            with torch.inference_mode():
                rows = self.net(seen, **self.flags)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[-160:]
            what = f"cannot take clips of {tuple(seen.shape[1:])}: {reason}"
            raise InputError(what, self.name, WHERE[self.name][0]) from None
        if rows.ndim != 2 or rows.shape[1] != self.width:
            what = f"gives {tuple(rows.shape)} for {len(clips)} clips"
            raise InputError(what, self.name, f"a network of {self.width} features")
        found: Tensor = rows.float().clone()
        return found


class CleanInception(Scripted):
    """NVIDIA's Inception file beside its own resizing, as clean-fid uses it (Parmar et al. 2022)."""

    def __init__(self, path: str) -> None:
        name = _NAMES["inception"]
        super().__init__(name, path, width=2048, frames=1, side=299)
        if not hasattr(self.net, "layers"):
            raise InputError("has no layers beside its resizing", path, WHERE[name][0])
        self.name, self.resize = f"{name}-clean", "clean-bicubic-299"

    def prepare(self, frames: Tensor) -> Tensor:
        """In -1..1."""
        return (clean(frames, self.side) - 128) / 128

    def features(self, clips: Tensor) -> Tensor:
        """(b, 1, 3, 299, 299) -> (b, 2048)."""
        with torch.inference_mode():
            rows: Tensor = self.net.layers(clips[:, 0]).flatten(1).float()
        return rows.clone()


def _clean(path: str | None) -> Extractor:
    _file(_NAMES["inception"], path, "clean-inception")
    return CleanInception(str(path))


def _tfvd(path: str | None) -> Extractor:
    return default_tfvd() if path is None else Tfvd(path)


@functools.lru_cache(maxsize=1)
def default_tfvd() -> Tfvd:
    """The built-in features, read once."""
    return Tfvd()


def _scripted(name: str, width: int, frames: int, side: int) -> Callable[[str | None], Extractor]:
    def make(path: str | None) -> Extractor:
        _file(name, path, short_of(name))
        return Scripted(name, str(path), width=width, frames=frames, side=side)

    return make


def _file(name: str, path: str | None, short: str) -> None:
    """Refuses where there is no file, and says which one is wanted."""
    if path is None or not Path(path).is_file():
        file, where = WHERE[name]
        what = f"no weights for '{name}'" if path is None else "no such file"
        hint = f"--features {short}={file} (published: {where}); {WITHOUT}"
        raise InputError(what, path or "metrics", hint)


def _packaged(name: str) -> Callable[[str | None], Extractor]:
    def make(path: str | None) -> Extractor:
        shelf = importlib.import_module("longtake.metrics.packaged")
        made: Extractor = getattr(shelf, name)(path)
        return made

    return make


def short_of(name: str) -> str:
    """What to ask `find_extractor` for, by the name that protocols carry."""
    return next((short for short, known in _NAMES.items() if known == name), name)


_NAMES = {
    "tfvd": Tfvd.name,
    "i3d": "i3d-kinetics400",
    "c3d": "c3d-ucf101-logits",
    "inception": "inception-2015-12-05-pool3",
}
WHERE: Mapping[str, tuple[str, str]] = {  # by name: the file, and who published it
    "i3d-kinetics400": ("i3d_torchscript.pt", "github.com/universome/fvd-comparison"),
    "c3d-ucf101-logits": ("c3d_ucf101.pt", "github.com/universome/stylegan-v"),
    "inception-2015-12-05-pool3": (
        "inception-2015-12-05.pt",
        "github.com/NVlabs/stylegan2-ada-pytorch",
    ),
}
EXTRACTORS: Mapping[str, Callable[[str | None], Extractor]] = {
    "tfvd": _tfvd,
    "i3d": _scripted(_NAMES["i3d"], 400, 16, 224),
    "c3d": _scripted(_NAMES["c3d"], 101, 16, 112),
    "inception": _scripted(_NAMES["inception"], 2048, 1, 299),
    "clean-inception": _clean,
    "efficientnet": _packaged("EfficientNet"),
    "transnet": _packaged("TransNet"),
    "videomae": _packaged("VideoMae"),
}


def find_extractor(spec: str) -> Extractor:
    """An extractor by name, or NAME=PATH with the file or folder of its weights.

    InputError for an unknown name, and one line on which file or package is missing.
    """
    name, _, path = spec.partition("=")
    if name not in EXTRACTORS:
        raise InputError(f"unknown features '{name}'", "metrics", nearest(name, EXTRACTORS))
    return EXTRACTORS[name](path or None)
