"""A quick draft of the whole film, and the film that keeps its keyframes. Nothing is written."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.clip import ClipSpec
from longtake.engine.job import Job
from longtake.engine.manifest import made_with, read_manifest
from longtake.errors import InputError
from longtake.schemes import Draft, Kept
from longtake.schemes.drafts import ROLE
from longtake.system import Part, Stage, System

if TYPE_CHECKING:
    from longtake.clip import ClipModel

BLEND = "blend 1"  # raise it when a change of `models.blend` changes drafts
_NAMES = {"models": "model", "codecs": "codec"}


def drafted_job(job: Job, options: Mapping[str, Any]) -> Job:
    """The job of the film's draft, or of the film that keeps it, where either is asked for.

    `draft`: the draft. `from_draft`: the film; of that draft, if it is named by its file.
    """
    draft, kept = options.get("draft"), options.get("from_draft")
    if not draft and not kept:
        return job
    if draft and kept:
        raise InputError("a draft of a draft", "--draft, --from-draft", "one of the two")
    if job.frames is None:
        what = "an endless film has no draft"
        raise InputError(what, "--draft" if draft else "--from-draft", "--seconds 60")
    if kept:
        if not isinstance(kept, bool):
            _check(job, options, os.fspath(kept))
        stages = tuple(
            dataclasses.replace(stage, scheme=Kept(stage.scheme)) for stage in job.system.stages
        )
        return dataclasses.replace(job, system=dataclasses.replace(job.system, stages=stages))
    # blends are smooth where films are not: there is nothing to judge them by
    return dataclasses.replace(job, system=drafted(job.system), repair="off")


def drafted(system: System) -> System:
    """A system that makes the keyframes of films and blends all else."""
    return dataclasses.replace(system, stages=tuple(map(_quick, system.stages)))


def draft_of(options: Mapping[str, Any]) -> str | None:
    """The file of the draft that is named, if one is."""
    kept = options.get("from_draft")
    return None if not kept or isinstance(kept, bool) else os.fspath(kept)


def _quick(stage: Stage) -> Stage:
    scheme, first = Draft(stage.scheme), next(iter(stage.models.values()))
    models = dict(stage.models)
    if len(models) == 1:
        models = {"clip": first}  # which then still serves every role

    def make() -> ClipModel:
        from longtake.models.blend import Blend

        return Blend(spec)

    spec = ClipSpec(scheme.window, first.spec.frame, BLEND, codes=first.spec.codes)
    return dataclasses.replace(stage, scheme=scheme, models={**models, ROLE: Part(spec, make)})


def _check(job: Job, options: Mapping[str, Any], draft: str) -> None:
    """Refuses what is no draft, and one from which this film could keep nothing."""
    manifest = read_manifest(Path(draft))
    asked = manifest["asked"]
    if not asked.get("draft"):
        hint = "the same command with --draft first, and the film that it makes"
        raise InputError("not a draft", f"--from-draft {draft}", hint)
    told = manifest["film"]
    pairs = {
        "seed": (manifest["seed"], job.seed),
        "size": tuple("x".join(map(str, size)) for size in (told["size"], job.size)),
        "fps": (told["fps"], str(job.fps)),
        "scheme": (asked["scheme"], options.get("scheme", "")),
    }
    for name, (then, now) in pairs.items():
        if then != now:
            was, now = ("the usual one" if value == "" else value for value in (then, now))
            what = f"the draft's {name} is {was}, the film's {now}"
            hint = f"no --{name}" if then == "" else f"--{name} {then}"
            raise InputError(what, f"--from-draft {draft}", hint)
    quick = made_with(dataclasses.replace(job, system=drafted(job.system)), "")
    for name in ("system", "models", "codecs", "encoder", "machine"):
        if manifest["made"].get(name) != quick[name]:
            what = f"the film would be made with another {_NAMES.get(name, name)} than its draft"
            raise InputError(what, f"--from-draft {draft}", "the draft's own options, or a new one")
