"""Names of quantities that more than one file speaks of: those measured here, and expected by a proof. No torch."""

from __future__ import annotations

STEP_SECONDS = "a training step, processor seconds"
STEP_BYTES = "a training step, bytes kept"
CODES = "codes of 16 frames"
KEPT = "PSNR of the codec, dB"
CHANGED = "codes changed by later frames"
CHANGED_BY_OWN = "codes changed by their own frames"


def growth_of(quantity: str) -> str:
    """How a cost grows with the film."""
    return f"{quantity}, exponent of length"


def codes_alike(arm: str) -> str:
    """How many codes it takes to keep what an arm keeps."""
    return f"codes for 16 frames at {arm}'s PSNR"
