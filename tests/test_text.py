"""The word encoder: wordings nobody wrote templates for, and input that nobody expected."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtake.errors import InputError
from longtake.prompts.text import WINDOW, Vocabulary, WordEncoder, plain, windows
from longtake.worlds.sky.state import ATTRIBUTES, WIDTH

WORDINGS = json.loads((Path(__file__).parent / "data" / "wordings.json").read_text())
DAY = ("morning", "noon", "afternoon")


@pytest.fixture(scope="module")
def encoder() -> WordEncoder:
    return WordEncoder()


def phases(classes: list[str] | tuple[str, ...]) -> set[str]:
    """Times of day in four classes."""
    return {"day" if name in DAY else name for name in classes}


def tally(encoder: WordEncoder) -> tuple[dict[str, list[bool]], dict[str, list[bool]]]:
    """For each attribute: was it read right where it is said; was it read where it is not."""
    right: dict[str, list[bool]] = {name: [] for name in ATTRIBUTES}
    false: dict[str, list[bool]] = {name: [] for name in ATTRIBUTES}
    for wording in WORDINGS:
        understood = encoder.understood(wording["text"])
        for name in ATTRIBUTES:
            got = understood.get(name, ("unsaid", 0.0))[0]
            if name in wording["says"]:
                wanted = wording["says"][name]
                alike = phases((got,)) <= phases(wanted) if name == "time" else got in wanted
                right[name].append(alike)
            elif name not in wording["open"]:
                false[name].append(name in understood)
    return right, false


def share(found: list[bool]) -> float:
    return sum(found) / len(found)


def test_unseen_wordings_are_understood(encoder: WordEncoder) -> None:
    right, false = tally(encoder)
    assert len(WORDINGS) >= 120
    assert share([ok for name in right for ok in right[name]]) >= 0.95
    for name in ("time", "cover", "wind", "land"):
        assert share(right[name]) >= 0.93, name
    assert share([bad for name in false for bad in false[name]]) <= 0.03


@pytest.mark.parametrize(
    ("prompt", "attribute", "expected"),
    [
        ("clouds stream from left to right", "wind", "right"),
        ("clouds stream from right to left", "wind", "left"),
        ("wind from the west", "wind", "right"),
        ("wind towards the west", "wind", "left"),
        ("not a cloud in the sky over the fields", "cover", "clear"),
        ("no wind", "speed", "slow"),
        ("the hills without rain", "weather", "dry"),
        ("not the sea but the mountains", "land", "mountains"),
        ("day turns to night", "time", "day"),
    ],
)
def test_order_and_negation_count(
    encoder: WordEncoder, prompt: str, attribute: str, expected: str
) -> None:
    got = encoder.understood(prompt)[attribute][0]
    assert ("day" if got in DAY else got) == expected


def test_a_control_vector_holds_a_share_for_each_class(encoder: WordEncoder) -> None:
    vectors = encoder.encode(["a clear night over the sea", ""])
    assert vectors.shape == (2, WIDTH)
    start, sums = 0, {}
    for name, classes in ATTRIBUTES.items():
        sums[name] = vectors[0, start : start + len(classes)].sum().item()
        start += len(classes)
    assert all(sums[name] > 0.9 for name in ("time", "cover", "land"))
    assert all(sums[name] < 0.1 for name in ("wind", "weather"))
    assert vectors[1].abs().max() == 0
    assert bool(((vectors >= 0) & (vectors <= 1.0001)).all())


def test_attributes_can_be_left_unheard(encoder: WordEncoder) -> None:
    prompts = ["a clear night over the sea", "fog"]
    heard, left = encoder.encode(prompts), encoder.encode(prompts, without={"land"})
    start = sum(len(ATTRIBUTES[name]) for name in itertools.takewhile("land".__ne__, ATTRIBUTES))
    end = start + len(ATTRIBUTES["land"])
    assert heard[0, start:end].sum() > 0.9 and left[:, start:end].abs().max() == 0
    rest = torch.arange(WIDTH).lt(start) | torch.arange(WIDTH).ge(end)
    assert torch.equal(heard[:, rest], left[:, rest])


def test_a_prompt_reads_the_same_in_any_company(encoder: WordEncoder) -> None:
    prompts = ["sunset", "an overcast morning in the city with a stiff wind from the east", "a cat"]
    together = encoder.encode(prompts)
    alone = torch.cat([encoder.encode([prompt]) for prompt in prompts])
    assert torch.allclose(together, alone, atol=1e-4)


def test_of_a_long_prompt_the_first_word_counts(encoder: WordEncoder) -> None:
    filler = " ".join(["He opened the drawer and looked for the letter."] * 300)
    prompt = f"A clear night. {filler} A rainy noon in the mountains."
    understood = encoder.understood(prompt)
    assert understood["time"][0] == "night"
    assert understood["land"][0] == "mountains"


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "\n\n\t",
        "🙂" * 300,
        "海の上の夕日",
        "закат над морем",
        "x" * 20_000,
        "...!?",
        "\x00\ud800",
    ],
)
def test_odd_prompts_are_taken_calmly(encoder: WordEncoder, prompt: str) -> None:
    vector = encoder.encode([prompt])
    assert vector.shape == (1, WIDTH)
    assert bool(vector.isfinite().all())


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_text_gives_a_finite_vector(text: str) -> None:
    vector = ENCODER.encode([text])
    assert bool(vector.isfinite().all()) and float(vector.max()) <= 1.0001


ENCODER = WordEncoder()


def test_no_prompts_give_no_rows(encoder: WordEncoder) -> None:
    assert encoder.encode([]).shape == (0, WIDTH)


def test_one_prompt_takes_milliseconds(encoder: WordEncoder) -> None:
    prompt = "a breeze pushes fluffy clouds leftwards over the ocean at sunset"
    encoder.encode([prompt])
    times = []
    for _ in range(30):
        began = time.process_time()
        encoder.encode([prompt])
        times.append(time.process_time() - began)
    assert sorted(times)[5] < 0.02 * max(1, torch.get_num_threads())


def test_the_fingerprint_is_that_of_the_weights(tmp_path: Path, encoder: WordEncoder) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(encoder.path.read_bytes())
    assert WordEncoder(other).fingerprint == encoder.fingerprint
    other.write_bytes(encoder.path.read_bytes() + b" ")
    assert WordEncoder(other).fingerprint != encoder.fingerprint
    assert len(encoder.fingerprint) == 64


def test_missing_and_foreign_weights_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no word weights at"):
        WordEncoder(tmp_path / "none.safetensors").encode(["x"])
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match="holds no word weights"):
        WordEncoder(tmp_path / "foreign.safetensors").encode(["x"])


def test_weights_stay_small(encoder: WordEncoder) -> None:
    assert encoder.path.stat().st_size < 5_000_000


def test_words_are_split_and_mended() -> None:
    words = Vocabulary(
        ["[PAD]", "[UNK]", "mountains", "moon", "##lit", "m", "##o", "."], ["mountains"]
    )
    assert words.numbers("Moonlit mountains.") == [3, 4, 2, 7]
    assert words.numbers("montains mountians moutnains") == [2, 2, 2]
    assert words.numbers("moo") == [5, 6, 6]
    assert words.numbers("ünïcode 山") == [1, 1]


def test_symbols_are_read_by_name() -> None:
    assert "sunrise" in plain("🌅")
    assert plain("clouds ➡ sea") == ["clouds", "right", "sea"]
    assert plain("→")[0] == "right"
    assert plain("Café 10pm\n") == ["cafe", "1", "0", "pm", "."]


def test_windows_cut_after_a_stop_and_lose_nothing() -> None:
    numbers = [9] * 50 + [1] + [9] * 100
    cut = list(windows(numbers, frozenset([1])))
    assert [number for part in cut for number in part] == numbers
    assert len(cut[0]) == 51 and max(map(len, cut)) <= WINDOW
    assert list(windows([], frozenset())) == []
