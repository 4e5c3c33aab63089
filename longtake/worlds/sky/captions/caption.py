"""A caption under way: it draws phrases that are true of a moment and notes what they say."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Collection
from dataclasses import field

from longtake.worlds.sky.captions.bank import Bank, Phrase, Says
from longtake.worlds.sky.state import Moment


@dataclasses.dataclass
class Caption:
    """A text under way: what is still to be told of a moment, and what has been said."""

    moment: Moment
    rng: random.Random
    wanted: frozenset[str]
    source: Bank
    says: dict[str, tuple[str, ...]] = field(default_factory=dict)
    weakly: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def chance(self, share: float) -> bool:
        """True in that share of calls."""
        return self.rng.random() < share

    def pick(self, attribute: str, *roles: str) -> str:
        """A phrase for the attribute in one of the roles, noted as said; '' when there is none."""
        for _ in range(12):
            role = self.rng.choice(roles)
            listed = self.source.get((attribute, role, getattr(self.moment, attribute)), ())
            if not listed:
                continue
            phrase = self.rng.choice(listed)
            if self._fits(phrase):
                self._note(phrase)
                return phrase.text
        return ""

    def _fits(self, phrase: Phrase) -> bool:
        def true(says: Says, spare: Collection[str]) -> bool:
            return all(
                getattr(self.moment, name) in classes or name in spare
                for name, classes in says.items()
            )

        return true(phrase.says, ()) and true(phrase.weakly, {*self.says, *self.wanted})

    def _note(self, phrase: Phrase) -> None:
        for name, classes in phrase.says.items():
            before = self.says.get(name, classes)
            self.says[name] = tuple(c for c in classes if c in before)
        self.weakly.update(phrase.weakly)

    def note(self, attribute: str) -> None:
        """Note as said an attribute told without a phrase of the bank."""
        self.says[attribute] = (getattr(self.moment, attribute),)

    def all_said(self) -> dict[str, tuple[str, ...]]:
        """What the text says; weak readings hold where nothing stronger was said."""
        return {**self.weakly, **self.says}
