"""From a checked folder to a pipeline with its weights: diffusers loads, and nothing is missing after."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Mapping
from typing import Any

import torch

from longtake.errors import InputError, LongtakeError
from longtake.models.pretrained.folder import HINT, Folder
from longtake.models.pretrained.running import Running

# those that need nothing but a number of steps, and `mu` where shifts depend on a picture's size
_SAMPLERS = ("UniPCMultistepScheduler", "FlowMatchEulerDiscreteScheduler", "DDIMScheduler")
_SAMPLERS += ("CogVideoXDDIMScheduler", "CogVideoXDPMScheduler", "EulerDiscreteScheduler")


def load_pipeline(folder: Folder, running: Running) -> Any:
    """The pipeline ready to run, safetensors only, from local files only.

    InputError for a class this diffusers lacks, for weights of another shape, and for weights that
    are not there (diffusers would fill those with chance).
    """
    for library in ("diffusers", "transformers"):
        if importlib.util.find_spec(library) is None:
            what = f"pretrained pipelines need {library}, which is not installed"
            raise InputError(what, "--model", 'pip install "longtake[diffusers]"')
    import diffusers

    _quiet()
    kind = getattr(diffusers, folder.kind, None)
    if kind is None:
        what = f"diffusers {diffusers.__version__} has no {folder.kind}"
        raise InputError(what, str(folder.path), "a newer diffusers")
    # a library that is no part of diffusers could be a file of the folder
    for name, (library, _) in folder.components.items():
        own = library in ("diffusers", "transformers") or hasattr(diffusers.pipelines, library)
        if not own:
            what = f"diffusers {diffusers.__version__} has no {library}"
            raise InputError(what, f"{folder.path}, component {name}", "a newer diffusers")
    try:
        how = {
            "dtype": getattr(torch, running.dtype),
            "local_files_only": True,
            "use_safetensors": True,
            "trust_remote_code": False,
        }
        parts = _encoders(folder, how)
        pipe = kind.from_pretrained(str(folder.path), **parts, **how, **running.loading)
        _check_whole(pipe, folder)
        _check_sampler(pipe, folder)
        return running.prepare(pipe)
    except (LongtakeError, MemoryError):
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        text = text.partition(" If you want to")[0].removesuffix(".")  # what diffusers would allow
        raise InputError(
            f"the pipeline cannot be loaded: {text}", str(folder.path), HINT
        ) from error


def _quiet() -> None:
    """Neither library draws bars or warns on stderr, which is the command line's own."""
    import transformers.utils.logging
    from diffusers.utils import logging

    for library in (logging, transformers.utils.logging):
        library.set_verbosity_error()
        library.disable_progress_bar()


def _encoders(folder: Folder, how: Mapping[str, Any]) -> dict[str, Any]:
    """The components of transformers with weights, which would fill with chance what is not there."""
    import transformers

    found = {}
    for name, (library, kind) in folder.components.items():
        if library == "transformers" and folder.tensors[name]:
            place = folder.path / name
            made, told = getattr(transformers, kind).from_pretrained(
                str(place), output_loading_info=True, **how
            )
            missing = sorted(told["missing_keys"])
            if missing:
                raise InputError(f"the weights lack '{missing[0]}'", str(place), HINT)
            found[name] = made
    return found


def _check_whole(pipe: Any, folder: Folder) -> None:
    for name, files in folder.tensors.items():
        module = getattr(pipe, name, None)
        if not files or not isinstance(module, torch.nn.Module):
            continue
        if getattr(module, "is_quantized", False):
            continue  # its weights have other names and shapes; the quantiser checks them
        stored = {key: shape for one in files for key, shape in one.shapes.items()}
        own = {key: tuple(value.shape) for key, value in module.state_dict().items()}
        where = str(files[0].path)
        wrong = [key for key in own if key in stored and stored[key] != own[key]]
        if wrong:
            what = (
                f"'{wrong[0]}' is {stored[wrong[0]]} where the configuration says {own[wrong[0]]}"
            )
            raise InputError(f"weights of another shape: {what}", where, HINT)
        if folder.components[name][0] == "transformers":
            continue  # some of its weights have other names, or are tied: see `_encoders`
        ints = {key for one in files for key in one.whole}
        values = module.state_dict()
        numbers = [key for key in own if key in ints and values[key].is_floating_point()]
        if numbers:
            raise InputError(f"'{numbers[0]}' holds whole numbers", where, HINT)
        missing = [key for key in own if key not in stored]
        if missing:
            raise InputError(f"the weights lack '{missing[0]}'", where, HINT)
        known = getattr(module, "_keys_to_ignore_on_load_unexpected", None) or ()
        stray = [key for key in stored if key not in own and not any(k in key for k in known)]
        if stray:
            what = f"the weights hold '{stray[0]}', which the configuration has no place for"
            raise InputError(what, where, HINT)


def _check_sampler(pipe: Any, folder: Folder) -> None:
    """InputError for a sampler whose noise levels are no numbers, before any film is begun."""
    sampler = copy.deepcopy(pipe.scheduler)
    if type(sampler).__name__ not in _SAMPLERS:
        return
    shifts = {"mu": 1.0} if sampler.config.get("use_dynamic_shifting") else {}
    try:
        sampler.set_timesteps(4, **shifts)
        levels = torch.as_tensor(getattr(sampler, "sigmas", sampler.timesteps)).float()
        why = "" if levels.isfinite().all() else "its noise levels are no numbers"
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
    if why:
        what = f"the sampler cannot be used: {why}"
        raise InputError(what, str(folder.path / "scheduler"), HINT)
