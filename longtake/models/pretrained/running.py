"""How a pipeline is run: its precision, where its weights lie, what is put on top of them. No torch until it is."""

from __future__ import annotations

import dataclasses
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from longtake.errors import InputError, LongtakeError, nearest
from longtake.models.pretrained.folder import header, sampled
from longtake.models.pretrained.loras import adapter
from longtake.models.pretrained.quantising import Quantising
from longtake.models.pretrained.stepping import Caching

DTYPES = ("float32", "bfloat16", "float16")
OFFLOADS = ("none", "model", "group", "sequential")
COMPILES = ("none", "default", "reduce-overhead", "max-autotune")
TILINGS = ("off", "on")
_NETS = ("transformer", "transformer_2", "unet")


@dataclasses.dataclass(frozen=True)
class Running:
    """dtype: of the weights. device: where it runs. device_map: parts spread over several devices, as diffusers'
    pipelines take it. offload: what waits in main memory: none, whole parts (model), groups of layers (group) or
    single layers (sequential). lora: FILE[=WEIGHT],... of safetensors. attention: a backend's name in diffusers.
    cache: steps that reuse what earlier ones computed, see `stepping`. quantise: how the networks' weights are
    kept, see `quantising`. compile: a mode of torch.compile for the blocks that repeat. tiling: the autoencoder
    takes pictures in tiles.
    """

    dtype: str = "float32"
    device: str = "cpu"
    offload: str = "none"
    lora: str = ""
    attention: str = ""
    cache: str = "none"
    quantise: str = "none"
    compile: str = "none"
    tiling: str = "off"
    device_map: str = ""

    def __post_init__(self) -> None:
        known = {"dtype": DTYPES, "offload": OFFLOADS, "compile": COMPILES, "tiling": TILINGS}
        for name, values in known.items():
            value = getattr(self, name)
            if value not in values:
                what = f"unknown {name} '{value}'"
                raise InputError(what, f"--set {name}", nearest(value, values))
        if self.offload != "none" and self.device == "cpu":
            what = f"offload={self.offload} where everything is in main memory already"
            raise InputError(what, "--set offload", "--device cuda, or offload=none")
        if self.offload != "none" and self.device_map:
            what = f"offload={self.offload} of parts that a device map has placed"
            raise InputError(what, "--set device_map", "one of the two")
        Caching.read(self.cache)
        Quantising.read(self.quantise)
        for file, _ in self.loras:
            header(file)
        names = [adapter(file.stem) for file, _ in self.loras]
        twice = next((name for n, name in enumerate(names) if name in names[:n]), None)
        if twice is not None:
            raise InputError(f"two LoRAs named '{twice}'", "--set lora", "files of different names")

    @cached_property
    def loras(self) -> tuple[tuple[Path, float], ...]:
        """Files and their weights."""
        found = []
        for text in filter(None, self.lora.split(",")):
            name, _, weight = text.partition("=")
            path = Path(name)
            if path.suffix != ".safetensors" or not path.is_file():
                raise InputError("not a LoRA file", name, "FILE.safetensors=WEIGHT")
            try:
                found.append((path, float(weight or 1)))
            except ValueError:
                what = f"a LoRA's weight '{weight}'"
                raise InputError(what, "--set lora", f"{name}=0.8") from None
        return tuple(found)

    @property
    def observes(self) -> bool:
        """Whether a LoRA that has a weight teaches the network to observe any frames."""
        return any(weight and _teaches(file) for file, weight in self.loras)

    @property
    def mark(self) -> list[Any]:
        """What pixels may depend on."""
        loras = [(sampled(file), weight) for file, weight in self.loras]
        ways = [self.quantise, self.compile, self.tiling]
        told = [] if ways == ["none", "none", "off"] else ways
        return [self.dtype, self.attention, self.cache, loras, *told]

    @property
    def loading(self) -> dict[str, Any]:
        """Arguments of the pipeline's `from_pretrained`; InputError for a quantiser that is not installed."""
        found = {"device_map": self.device_map} if self.device_map else {}
        return found | Quantising.read(self.quantise).loading(_NETS)

    def prepare(self, pipe: Any) -> Any:
        """The pipeline with all that on and in; InputError for what it does not offer."""
        for what, do in (
            ("LoRA", self._with_loras),
            (f"attention={self.attention}", self._with_attention),
            (f"cache={self.cache}", Caching.read(self.cache).put_on),
            (f"quantise={self.quantise}", self._with_storage),
            (f"compile={self.compile}", self._compiled),
            (f"tiling={self.tiling}", self._tiled),
        ):
            try:
                do(pipe)
            except LongtakeError:
                raise
            except Exception as error:
                text = " ".join(str(error).split()) or type(error).__name__
                said = f"{type(pipe).__name__} cannot take {what}: {text}"
                raise InputError(said, "--set", "another value, or none") from error
        return self._placed(pipe)

    def _with_loras(self, pipe: Any) -> None:
        names = [adapter(file.stem) for file, _ in self.loras]
        for name, (file, _) in zip(names, self.loras, strict=True):
            pipe.load_lora_weights(
                str(file.parent), weight_name=file.name, adapter_name=name, local_files_only=True
            )
            told = pipe.get_list_adapters()
            if not any(name in adapters for adapters in told.values()):
                raise InputError("no layer of the pipeline fits a LoRA", str(file), "another file")
        if names:
            pipe.set_adapters(names, [weight for _, weight in self.loras])

    def _with_attention(self, pipe: Any) -> None:
        for net in _nets(pipe) if self.attention else ():
            net.set_attention_backend(self.attention)

    def _with_storage(self, pipe: Any) -> None:
        for net in _nets(pipe):
            Quantising.read(self.quantise).store(net)

    def _compiled(self, pipe: Any) -> None:
        # block by block: films replace a network's own `forward` while they call it
        for net in _nets(pipe) if self.compile != "none" else ():
            net.compile_repeated_blocks(mode=self.compile)

    def _tiled(self, pipe: Any) -> None:
        if self.tiling == "on":
            pipe.vae.enable_tiling()

    def _placed(self, pipe: Any) -> Any:
        if self.device_map:
            return pipe
        if self.offload == "none":
            return pipe.to(self.device)
        # films are decoded past the hooks that would fetch the autoencoder
        pipe._exclude_from_cpu_offload = [*pipe._exclude_from_cpu_offload, "vae"]
        if self.offload == "group":
            pipe.enable_group_offload(
                onload_device=self.device, offload_type="leaf_level", exclude_modules=["vae"]
            )
        elif self.offload == "model":
            pipe.enable_model_cpu_offload(device=self.device)
        else:
            pipe.enable_sequential_cpu_offload(device=self.device)
        pipe.vae.to(self.device)
        return pipe


def _teaches(file: Path) -> bool:
    try:
        return bool(json.loads(header(file).notes.get("longtake", "{}"))["observes"] == "any")
    except (ValueError, KeyError, TypeError):
        return False


def _nets(pipe: Any) -> list[Any]:
    found = [getattr(pipe, name, None) for name in _NETS]
    return [net for net in found if net is not None]
