"""Phenaki: its proof, its words, and what is counted of codecs."""

from __future__ import annotations

import pytest
import torch
from recipe_parts import check_recipe

from longtake.codecs.vq import VQCodec
from longtake.lab import coding
from longtake.lab.shared import bare


def test_the_proof_and_the_sizes() -> None:
    check_recipe("phenaki", 500, 2000)


def test_codes_at_equal_quality_lie_between_two_codecs() -> None:
    coarse, fine = (256.0, 20.0), (1024.0, 24.0)
    assert coding.spent_alike(22.0, coarse, fine) == pytest.approx(512)
    assert coding.spent_alike(19.0, coarse, fine) == 256
    assert coding.spent_alike(30.0, coarse, fine) == pytest.approx(1024)
    assert coding.spent_alike(21.0, coarse, (1024.0, 19.0)) == pytest.approx(1024)


def test_causal_codes_change_with_nothing_later() -> None:
    """Exactly; and the test sees a codec that is not causal."""
    torch.manual_seed(0)
    video = torch.randint(256, (2, 16, 3, 64, 64), dtype=torch.uint8)
    codec = VQCodec(bare("vq"), "")
    before, after = coding.changed(codec, video)
    assert before == 0 and after > 0.1
    assert coding.codes_of(codec, 16) == 256

    class Backwards:
        """Codes a film from its end."""

        spec = codec.spec

        def encode(self, film: torch.Tensor) -> torch.Tensor:
            return codec.encode(film.flip(1)).flip(1)

    assert coding.changed(Backwards(), video)[0] > 0
