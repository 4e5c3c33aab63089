"""MeBT: its proof, its sizes, what it learns from, and that its cost is linear."""

from __future__ import annotations

from pathlib import Path

import torch
from recipe_parts import check_plan, check_recipe

from longtake import worlds
from longtake.lab.bench import Lab
from longtake.lab.measures import digits_read
from longtake.recipes import mebt
from longtake.system import Measured


def test_the_proof_and_the_sizes() -> None:
    check_recipe("mebt", 250, 500)
    assert check_plan("mebt")["calls"] == 3  # 50 latent frames: 32, then twice up to 16


def test_clips_grow_longer() -> None:
    spans = [mebt.length(step, 800) for step in range(800)]
    assert spans == sorted(spans) and spans[0] == 8 and spans[400:] == [mebt.WINDOW] * 400
    assert {mebt.TOKENS % span for span in spans} == {0}  # as many tokens in every step


def test_memory_is_linear_and_full_attention_s_is_not(tmp_path: Path) -> None:
    """What a step keeps for its backward pass is counted, not timed."""
    found = {}
    asked = {e.quantity for e in mebt.PROOF.expectations}
    for event in mebt.costs(Lab(tmp_path, hurry=0.01), frames=(16, 32, 64)):
        if isinstance(event, Measured) and "bytes" in event.quantity:
            assert event.quantity in asked
            found[event.arm] = event.value
    assert 0.7 < found["mebt"] < 1.05  # latents are kept at any length
    assert found["full attention"] > 1.4


def test_only_digits_are_read() -> None:
    """Real films show both digits all along; noise, another world, and one digit alone do not."""
    two, one = (worlds.make("digits", seed=1, size=(64, 64), count=n) for n in (2, 1))
    noise = torch.randint(256, (8, 3, 64, 64), dtype=torch.uint8)
    maze = worlds.make("maze", size=(64, 64)).render(range(4))
    assert digits_read(two.render(range(0, 60, 3))[None]) == 1
    for strange in (noise, maze, one.render(range(4))):
        assert digits_read(strange[None]) == 0
