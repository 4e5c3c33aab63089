"""What people prefer of two: win rate with its interval, how far they agree, and who was not looking. No torch."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.errors import InputError
from longtake.metrics.scores import Score

FORMAT = "longtake-study-1"
PROTOCOL = "preference-pairs-v1"
CHECK, AGAIN = "check", "again"  # how names of pairs begin that are no pairs of their own
CHOICES = ("left", "right", "same")
_LARGEST = 4 << 20  # bytes of an answers file
_Z = 1.959964  # of the normal distribution, for 95%


@dataclass(frozen=True)
class Answer:
    """One look at a pair. left: which of the two stood there, 0 or 1."""

    pair: str
    left: int
    chose: str

    @property
    def winner(self) -> int | None:
        """0 or 1; None where both were about the same."""
        if self.chose == "same":
            return None
        return self.left if self.chose == "left" else 1 - self.left


@dataclass(frozen=True)
class Sheet:
    """One person's answers to a study."""

    study: str
    person: str
    answers: tuple[Answer, ...]

    @property
    def attentive(self) -> bool:
        """Whether every check was answered rightly: the first of its two is whole, the second spoiled."""
        return all(a.winner == 0 for a in self.answers if a.pair.startswith(CHECK))

    @property
    def votes(self) -> dict[str, int | None]:
        """By pair; neither checks nor pairs that were shown again."""
        own = (a for a in self.answers if not a.pair.startswith((CHECK, AGAIN)))
        return {answer.pair: answer.winner for answer in own}


def preference(sheets: Sequence[Sheet]) -> Score:
    """The share of votes for the first of two, those for neither counting half, with Wilson's 95% interval.

    People who failed a check do not count. `alpha` in the detail is Krippendorff's, of nominal votes: 1 where
    all agree, 0 as if by chance; `steady` the share of pairs that people answered alike when shown
    again with sides changed. The interval takes votes for independent; with few pairs it is too narrow.
    """
    if len({sheet.study for sheet in sheets}) > 1:
        raise InputError("answers to several studies", "--answers", "those of one")
    persons = Counter(sheet.person for sheet in sheets)
    twice = [person for person, count in persons.items() if count > 1]
    if twice:
        raise InputError(f"'{twice[0]}' has answered twice", "--answers", "each file once")
    heard = [sheet for sheet in sheets if sheet.attentive and sheet.votes]
    if not heard:
        what = f"{len(sheets)} answers, none of which passed its checks"
        raise InputError(what, "--answers", "more people")
    votes = [vote for sheet in heard for vote in sheet.votes.values()]
    wins = votes.count(0) + votes.count(None) / 2
    low, high = wilson(wins, len(votes))
    detail = {
        "low": low,
        "high": high,
        "votes": len(votes),
        "same": votes.count(None),
        "people": len(heard),
        "left_out": len(sheets) - len(heard),
        "alpha": alpha([list(sheet.votes.items()) for sheet in heard]),
        "steady": _steady(heard),
    }
    verdict = "first preferred" if low > 0.5 else "second preferred" if high < 0.5 else "no winner"
    return Score(wins / len(votes), PROTOCOL, "high", verdict, detail)


def wilson(wins: float, count: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927)."""
    share, square = wins / count, _Z**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    reach = _Z * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    reach /= 1 + square / count
    return max(0.0, middle - reach), min(1.0, middle + reach)


def alpha(people: Sequence[Sequence[tuple[str, Any]]]) -> float | None:
    """Krippendorff's alpha of nominal values by unit, from several people; None where nobody shares a unit."""
    units: dict[str, Counter[Any]] = {}
    for answers in people:
        for unit, value in answers:
            units.setdefault(unit, Counter())[value] += 1
    shared = [values for values in units.values() if values.total() > 1]
    whole: Counter[Any] = sum(shared, Counter())
    count = whole.total()
    if not count:
        return None
    seen = sum(
        (values.total() ** 2 - sum(n * n for n in values.values())) / (values.total() - 1)
        for values in shared
    )
    chance = (count**2 - sum(n * n for n in whole.values())) / (count - 1)
    return 1 - seen / chance if chance else 1.0


def _steady(sheets: Sequence[Sheet]) -> float | None:
    pairs = [
        (answer.winner, sheet.votes[answer.pair.removeprefix(AGAIN)])
        for sheet in sheets
        for answer in sheet.answers
        if answer.pair.startswith(AGAIN) and answer.pair.removeprefix(AGAIN) in sheet.votes
    ]
    return sum(a == b for a, b in pairs) / len(pairs) if pairs else None


def read_sheet(path: str | os.PathLike[str]) -> Sheet:
    """The answers that a study's page saved; InputError for anything else."""
    place, hint = Path(path), "a file that the study's page saved"
    try:
        if place.stat().st_size > _LARGEST:
            raise InputError("far too large for answers", str(path), hint)
        found = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", str(path), hint) from None
    except (OSError, ValueError, RecursionError):
        raise InputError("not answers to a study", str(path), hint) from None
    try:
        return _sheet(found)
    except (KeyError, TypeError, ValueError):
        raise InputError("not answers to a study", str(path), hint) from None


def _sheet(found: Mapping[str, Any]) -> Sheet:
    if found["format"] != FORMAT:
        raise ValueError
    answers = []
    for line in found["answers"]:
        answer = Answer(str(line["pair"]), line["left"], line["chose"])
        if answer.left not in (0, 1) or answer.chose not in CHOICES:
            raise ValueError
        answers.append(answer)
    if len({answer.pair for answer in answers}) != len(answers):
        raise ValueError
    return Sheet(str(found["study"]), str(found["person"]), tuple(answers))
