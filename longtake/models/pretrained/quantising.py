"""Weights in fewer bits: through diffusers' quantisation configurations, or kept as float8. No torch here."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Iterable, Mapping
from typing import Any

from longtake.errors import InputError, nearest

# name: package, the configuration's class in diffusers, its argument that a bare name after a colon is, the usual one
BACKENDS: Mapping[str, tuple[str, str, str, str]] = {
    "torchao": ("torchao", "TorchAoConfig", "quant_type", "Int8WeightOnlyConfig"),
    "quanto": ("optimum.quanto", "QuantoConfig", "weights_dtype", "int8"),
    "bitsandbytes": ("bitsandbytes", "BitsAndBytesConfig", "", "load_in_8bit=true"),
}
FLOAT8 = "float8"  # diffusers' layerwise casting: needs no other package
_NAMES = ("none", FLOAT8, *BACKENDS)


@dataclasses.dataclass(frozen=True)
class Quantising:
    """A way to keep weights. told: arguments of its configuration."""

    name: str = "none"
    told: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Quantising:
        """`none`, `float8` or BACKEND[:VALUE|:ARGUMENT=VALUE,...]; InputError for others."""
        name, _, rest = text.partition(":")
        if name not in _NAMES:
            what = f"unknown quantise '{name}'"
            raise InputError(what, "--set quantise", nearest(name, _NAMES))
        if name not in BACKENDS:
            return cls(name)
        _, _, main, usual = BACKENDS[name]
        told = {}
        for part in (rest or usual).split(","):
            key, sign, value = part.partition("=")
            if not sign and not main:
                what = f"'{part}' is no argument of quantise={name}"
                raise InputError(what, "--set quantise", f"{name}:{usual}")
            key, value = (key, value) if sign else (main, key)
            try:
                told[key] = json.loads(value)
            except ValueError:
                told[key] = value
        return cls(name, told)

    def loading(self, nets: Iterable[str]) -> dict[str, Any]:
        """Arguments of a pipeline's `from_pretrained`; InputError for what is not installed or not known there."""
        if self.name not in BACKENDS:
            return {}
        package, kind, main, _ = BACKENDS[self.name]
        if not _installed(package):
            what = f"quantise={self.name} needs {package}, which is not installed"
            raise InputError(what, "--set quantise", f"pip install {package.replace('.', '-')}")
        import diffusers

        told = dict(self.told)
        try:
            if self.name == "torchao":
                told[main] = _torchao(str(told[main]))
            made = getattr(diffusers, kind)(**told)
        except InputError:
            raise
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            what = f"quantise={self.name} cannot be: {text}"
            raise InputError(what, "--set quantise", f"quantise={self.name}") from error
        mapping = dict.fromkeys(nets, made)
        config = diffusers.PipelineQuantizationConfig(quant_mapping=mapping)
        return {"quantization_config": config}

    def store(self, net: Any) -> None:
        """Has a network keep its weights as float8 and compute as before."""
        if self.name == FLOAT8:
            import torch

            net.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=net.dtype)


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _torchao(name: str) -> Any:
    """A configuration of torchao's by its class's name, with its defaults."""
    from torchao.quantization import quant_api

    found = getattr(quant_api, name, None)
    if not (isinstance(found, type) and issubclass(found, quant_api.AOBaseConfig)):
        known = [n for n in dir(quant_api) if n.endswith("Config") and n != "AOBaseConfig"]
        what = f"torchao has no configuration '{name}'"
        raise InputError(what, "--set quantise", f"torchao:{nearest(name, known)}")
    return found()
