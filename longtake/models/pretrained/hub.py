"""Pipelines by their hub id: found on this machine, or fetched once that was asked for in so many words."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from pathlib import Path

from longtake.errors import InputError, MachineError
from longtake.models.pretrained.folder import INDEX

DOWNLOADS = ("no", "ask", "yes")
# safetensors and texts: no pickle and no code is ever fetched
WANTED = ("*.safetensors", "*.json", "*.txt", "*.model")
_ID = re.compile(r"[\w.-]+/[\w.-]+")
_SPARE = 1.05  # of the disk space that a download takes


def is_hub_id(text: str) -> bool:
    """Whether a text has the form OWNER/NAME."""
    return _ID.fullmatch(text) is not None


def folder_of(hub_id: str, download: str = "no") -> Path:
    """The folder of a pipeline on this machine; InputError says how large it is, or how to ask.

    download: no (look in the cache only, use no network), ask (say what a download needs) or yes. With
    HF_HUB_OFFLINE set, nothing is ever fetched. MachineError where the network or the disk fails.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        what = "models from a hub need diffusers, which is not installed"
        raise InputError(what, "--model", 'pip install "longtake[diffusers]"')
    import huggingface_hub

    try:
        found = Path(huggingface_hub.snapshot_download(hub_id, local_files_only=True))
    except Exception:
        found = None
    if found is not None and (found / INDEX).is_file():
        return found
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        what = f"'{hub_id}' is not on this machine, and HF_HUB_OFFLINE is set"
        raise InputError(what, "--model", "a folder")
    if download == "no":
        what = f"'{hub_id}' is not on this machine"
        raise InputError(what, "--model", "--set download=ask to be told its size, or a folder")
    return _fetched(hub_id, download)


def _fetched(hub_id: str, download: str) -> Path:
    import huggingface_hub

    try:
        files = huggingface_hub.HfApi().model_info(hub_id, files_metadata=True).siblings or ()
        weights = sum(f.size or 0 for f in files if f.rfilename.endswith(".safetensors"))
        bytes_ = sum(f.size or 0 for f in files if any(Path(f.rfilename).match(w) for w in WANTED))
    except Exception as error:
        text = " ".join(str(error).split())
        what = f"the hub cannot be asked: {text}"
        raise MachineError(what, hub_id, "the same command later, or a folder") from error
    free = shutil.disk_usage(_nearest(Path(huggingface_hub.constants.HF_HUB_CACHE))).free
    needs = f"{bytes_ / 1e9:.1f} GB of disk, of which {free / 1e9:.1f} GB are free, and about "
    needs += f"{weights / 1e9:.1f} GB of memory as it is stored"
    if not weights:
        raise InputError(f"'{hub_id}' has no safetensors", "--model", "another model")
    if download == "ask":
        raise InputError(f"'{hub_id}' needs {needs}", "--set download", "--set download=yes")
    if free < _SPARE * bytes_:
        raise InputError(f"'{hub_id}' does not fit: it needs {needs}", "--model", "HF_HOME=...")
    try:
        return Path(huggingface_hub.snapshot_download(hub_id, allow_patterns=list(WANTED)))
    except Exception as error:
        text = " ".join(str(error).split())
        raise MachineError(f"the download failed: {text}", hub_id, "the same command") from error


def _nearest(place: Path) -> Path:
    """The place itself or the nearest folder above it that is there."""
    return next(p for p in (place, *place.parents) if p.is_dir())
