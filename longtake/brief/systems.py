"""Systems by name, by `FILE.py:FUNCTION` or by folder, with their knobs turned."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longtake import recipes
from longtake.brief.drafts import drafted
from longtake.errors import InputError, LongtakeError, nearest
from longtake.models.pretrained.folder import is_pipeline
from longtake.models.pretrained.hub import is_hub_id
from longtake.schemes import find_scheme
from longtake.steps import Scheme
from longtake.system import Recipe, System, knobs, turn

CONFIG = "config.json"
DEVICES = ("cpu", "cuda", "mps")


def load_system(
    model: str | System = "",
    *,
    settings: Mapping[str, Any] | None = None,
    scheme: str = "",
    device: str = "",
) -> System:
    """A system under its knobs; no weights are read. Settings given as text are read as their default's type."""
    if isinstance(model, System):
        if settings:
            raise InputError("a System has no knobs any more", "settings", "a recipe's name")
        _check_device(device, None)
        return model if not scheme else model.with_scheme(scheme_of(scheme, model))
    if settings and "device" in settings:
        raise InputError("the device is no knob", "--set device", f"--device {settings['device']}")
    recipe, where, fixed = _recipe(model or recipes.DEFAULT)
    known = knobs(recipe)
    asked = {**fixed, **(settings or {})}
    if _check_device(device, known):
        asked["device"] = device
    if scheme and "scheme" in known:
        asked["scheme"] = scheme
    system = _called(recipe, asked, where)
    return (
        system if not scheme or "scheme" in known else system.with_scheme(scheme_of(scheme, system))
    )


def scheme_of(text: str, system: System) -> Scheme:
    """A scheme for a system's first stage; the model's window where the text names none."""
    return find_scheme(text, min(m.spec.window for m in system.stages[0].models.values()))


def _recipe(model: str) -> tuple[Recipe, str, Mapping[str, Any]]:
    """The recipe, where it stands, and what a folder has settled."""
    folder = Path(model)
    if folder.is_dir():
        return _from_folder(folder)
    if ".py" in model and not model.endswith(".py"):
        return recipes.find(model), model, {}
    if model.endswith(".py"):
        raise InputError("no function named", model, f"{model}:FUNCTION")
    if is_hub_id(model):
        return recipes.find("pretrained"), model, {"folder": model}
    return recipes.find(model), model, {}


def _from_folder(folder: Path) -> tuple[Recipe, str, Mapping[str, Any]]:
    """A diffusers pipeline's folder, or one with a `config.json` of {"recipe": NAME, "settings": {..}}.

    The recipe's knob `weights` is turned to the folder: a folder brings weights, never code.
    """
    if is_pipeline(folder):
        return recipes.find("pretrained"), str(folder), {"folder": str(folder)}
    place = folder / CONFIG
    try:
        config = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("a folder without config.json", str(folder), "a saved system") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read it: {error}", str(place), "a saved system") from None
    settings = config.get("settings", {}) if isinstance(config, dict) else None
    if not isinstance(settings, dict) or not isinstance(config.get("recipe"), str):
        raise InputError("not a saved system", str(place), '{"recipe": "skies", "settings": {}}')
    name = config["recipe"].replace("-", "_")
    if name not in recipes.names():
        raise InputError(f"unknown recipe '{name}'", str(place), nearest(name, recipes.names()))
    recipe = recipes.find(name)
    if "weights" in knobs(recipe) and any(folder.glob("*.safetensors")):
        settings = {"weights": str(folder), **settings}
    return recipe, str(place), settings


def _called(recipe: Recipe, settings: Mapping[str, Any], where: str) -> System:
    known = knobs(recipe)
    for name in settings:
        if name not in known:
            raise InputError(f"unknown knob '{name}'", "--set", nearest(name, known))
    missing = [n for n, p in known.items() if p.default is p.empty and n not in settings]
    if missing:
        raise InputError(f"knob '{missing[0]}' needs a value", "--set", f"--set {missing[0]}=...")
    texts = {name: value for name, value in settings.items() if isinstance(value, str)}
    typed = {name: value for name, value in settings.items() if not isinstance(value, str)}
    try:
        system = turn(functools.partial(recipe, **typed), texts)
    except LongtakeError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        NameError,
        OSError,
        TypeError,
        ValueError,
    ) as error:
        what = f"the recipe fails: {type(error).__name__}: {error}"
        raise InputError(what, where, "other knobs, or LONGTAKE_TRACE=1 to see where") from error
    if not isinstance(system, System):
        raise InputError(f"returns {type(system).__name__}, not a System", where, "a System")
    return system


def _check_device(device: str, known: Mapping[str, Any] | None) -> bool:
    """Whether a knob `device` is to be turned; InputError for a device nobody can use."""
    kind, colon, number = device.partition(":")
    if device and (kind not in DEVICES or (colon and not re.fullmatch("[0-9]{1,4}", number))):
        raise InputError(f"unknown device '{device}'", "--device", nearest(kind, DEVICES))
    if known is not None and "device" in known:
        return bool(device)
    if kind not in ("", "cpu"):
        raise InputError("this system runs on the CPU only", f"--device {device}", "--device cpu")
    return False


def make_system(options: Mapping[str, Any]) -> System:
    """As `load_system`, from one picklable mapping: what worker processes call. `draft`: for drafts."""
    asked = {name: value for name, value in options.items() if name != "draft"}
    system = load_system(**asked)
    return drafted(system) if options.get("draft") else system


@dataclasses.dataclass(frozen=True)
class Knob:
    """One keyword of a recipe, for tables."""

    name: str
    default: Any
    kind: str


def knobs_of(recipe: Recipe) -> tuple[Knob, ...]:
    """A recipe's knobs with their defaults."""
    return tuple(
        Knob(name, None if p.default is p.empty else p.default, str(p.annotation))
        for name, p in knobs(recipe).items()
    )
