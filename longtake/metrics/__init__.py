"""Metrics, each under a protocol name; scores of different protocols do not compare.

`score` answers for whole films by name; the functions and meters below measure one thing each.
Names are resolved lazily, so that looking one up does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longtake.metrics.clips import ClipDistance, Clips, clips_of
    from longtake.metrics.colours import ColourLag
    from longtake.metrics.distances import (
        Course,
        frechet,
        frechet_score,
        gaussian_frechet,
        windowed,
    )
    from longtake.metrics.extractors import EXTRACTORS, Extractor, find_extractor
    from longtake.metrics.extrapolated import Extrapolated, frechet_infinity
    from longtake.metrics.fidelity import ms_ssim, psnr, ssim
    from longtake.metrics.film import Meter, Stretch, measure
    from longtake.metrics.inception import Certainty, inception_score
    from longtake.metrics.kernels import kernel_distance, kernel_subsets
    from longtake.metrics.moments import Moments
    from longtake.metrics.moving import Dynamic, StillFlicker
    from longtake.metrics.overlength import (
        Drift,
        Flicker,
        Frozen,
        Joins,
        Motion,
        Seams,
        drift,
        flicker,
        frozen,
        joins,
        motion,
        seams,
    )
    from longtake.metrics.probe import Look, Probe
    from longtake.metrics.protocols import PROTOCOLS, find_protocol
    from longtake.metrics.repeating import Repetition, repetition
    from longtake.metrics.revisits import LoopClosure
    from longtake.metrics.scores import Score
    from longtake.metrics.sets import score_sets
    from longtake.metrics.shelf import METRICS, Film, Findings, examine, score, step_borders
    from longtake.metrics.shots import Consistency, PromptAgreement, PromptFit, ShotChanges, Told
    from longtake.metrics.windows import Blocks, Windows

_HOME = {
    "clips": ("ClipDistance", "Clips", "clips_of"),
    "colours": ("ColourLag",),
    "extractors": ("EXTRACTORS", "Extractor", "find_extractor"),
    "extrapolated": ("Extrapolated", "frechet_infinity"),
    "fidelity": ("ms_ssim", "psnr", "ssim"),
    "film": ("Meter", "Stretch", "measure"),
    "distances": ("Course", "frechet", "frechet_score", "gaussian_frechet", "windowed"),
    "inception": ("Certainty", "inception_score"),
    "kernels": ("kernel_distance", "kernel_subsets"),
    "moments": ("Moments",),
    "overlength": (
        "Drift",
        "Flicker",
        "Frozen",
        "Joins",
        "Motion",
        "Seams",
        "drift",
        "flicker",
        "frozen",
        "joins",
        "motion",
        "seams",
    ),
    "probe": ("Look", "Probe"),
    "protocols": ("PROTOCOLS", "find_protocol"),
    "repeating": ("Repetition", "repetition"),
    "scores": ("Score",),
    "sets": ("score_sets",),
    "moving": ("Dynamic", "StillFlicker"),
    "revisits": ("LoopClosure",),
    "shots": ("Consistency", "PromptAgreement", "PromptFit", "ShotChanges", "Told"),
    "windows": ("Blocks", "Windows"),
    "shelf": ("METRICS", "Film", "Findings", "examine", "score", "step_borders"),
}

__all__ = [
    "EXTRACTORS",
    "METRICS",
    "PROTOCOLS",
    "Blocks",
    "Certainty",
    "ClipDistance",
    "Clips",
    "ColourLag",
    "Consistency",
    "Course",
    "Drift",
    "Dynamic",
    "Extractor",
    "Extrapolated",
    "Film",
    "Findings",
    "Flicker",
    "Frozen",
    "Joins",
    "Look",
    "LoopClosure",
    "Meter",
    "Moments",
    "Motion",
    "Probe",
    "PromptAgreement",
    "PromptFit",
    "Repetition",
    "Score",
    "Seams",
    "ShotChanges",
    "StillFlicker",
    "Stretch",
    "Told",
    "Windows",
    "clips_of",
    "drift",
    "examine",
    "find_extractor",
    "find_protocol",
    "flicker",
    "frechet",
    "frechet_infinity",
    "frechet_score",
    "frozen",
    "gaussian_frechet",
    "inception_score",
    "joins",
    "kernel_distance",
    "kernel_subsets",
    "measure",
    "motion",
    "ms_ssim",
    "psnr",
    "repetition",
    "score",
    "score_sets",
    "seams",
    "ssim",
    "step_borders",
    "windowed",
]


def __getattr__(name: str) -> object:
    for module, names in _HOME.items():
        if name in names:
            found: object = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
