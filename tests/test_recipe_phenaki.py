"""Phenaki: its proof, its words, and what is counted of codecs."""

from __future__ import annotations

import pytest
import torch
from recipe_parts import check_plan, check_proof, paper_size

from longtake.codecs.vq import VQCodec
from longtake.lab import coding
from longtake.lab.shared import bare
from longtake.prompts.bag import Bag
from longtake.recipes import phenaki
from longtake.worlds.script.story import COLOURS, SHAPES, VERBS


def test_the_proof_and_the_sizes() -> None:
    check_proof("phenaki")
    check_plan("phenaki")
    paper_size("phenaki", 500, 2000)


def test_prompts_are_bags_of_the_world_s_words() -> None:
    acted = tuple(verb for verb in VERBS if verb != "waits")
    assert phenaki.WORDS == (*COLOURS, *SHAPES, *acted, "left", "right")
    rows = Bag(phenaki.WORDS).encode(
        ["The red square moves left!", "a calm sea", "left, RED moves square"]
    )
    assert rows[0].sum() == 4 and not rows[1].any() and torch.equal(rows[0], rows[2])
    assert Bag(("a",)).fingerprint != Bag(("b",)).fingerprint


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
