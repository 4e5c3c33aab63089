"""Captions for a moment of the sky world: many ways to say some of its attributes, and nothing false."""

from __future__ import annotations

import random
from collections.abc import Collection

from longtake.errors import InputError, nearest
from longtake.worlds.sky.captions.bank import Bank, Phrase, Says, bank, hints, parse
from longtake.worlds.sky.captions.caption import Caption
from longtake.worlds.sky.captions.grammar import compose
from longtake.worlds.sky.state import ATTRIBUTES, Moment

__all__ = ["Bank", "Phrase", "Says", "bank", "captions_of", "describe", "parse", "tell"]


def tell(
    moment: Moment,
    rng: random.Random,
    said: Collection[str] | None = None,
    source: Bank | None = None,
) -> tuple[str, dict[str, tuple[str, ...]]]:
    """A text about the moment, and what it says; `said` are the attributes to tell (None: any)."""
    if said is None:
        said = rng.sample(list(ATTRIBUTES), rng.choice((1, 2, 2, 3, 3, 4, 4, 5, 6, 7)))
    unknown = sorted(set(said) - set(ATTRIBUTES))
    if unknown:
        raise InputError(
            f"unknown attribute '{unknown[0]}'", "captions", nearest(unknown[0], ATTRIBUTES)
        )
    told = frozenset({*said, *misled(moment, said)})
    for _ in range(20):
        caption = Caption(moment, rng, told, bank() if source is None else source)
        text = " ".join(compose(caption).split())
        if told <= set(caption.all_said()):
            break
    return text, caption.all_said()


def misled(moment: Moment, said: Collection[str]) -> set[str]:
    """What must be said too, since what is told would suggest something false of it."""
    return {
        other
        for name in said
        for other, classes in hints(name, getattr(moment, name)).items()
        if getattr(moment, other) not in classes
    }


def describe(moment: Moment, rng: random.Random, *, said: Collection[str] | None = None) -> str:
    """A text that tells the attributes `said` of the moment (None: a random few)."""
    return tell(moment, rng, said)[0]


def captions_of(moment: Moment, n: int, seed: int) -> tuple[str, ...]:
    """`n` captions that each tell every attribute of the moment; the same for the same seed."""
    rng = random.Random(seed)
    return tuple(tell(moment, rng, tuple(ATTRIBUTES))[0] for _ in range(n))
