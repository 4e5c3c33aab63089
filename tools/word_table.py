"""Word vectors, proper names and silent sentences for `train_words.py`, out of MiniLM and WordNet."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from longtake.prompts.text import Vocabulary, padded, plain
from longtake.worlds.sky.captions import Bank

MARKS = list(".,;:!?'\"()-/|+%&#*=<>[]")
VECTOR = 96
EXTRA = 4000  # words beyond MiniLM's own that lie nearest to the captions' words

# --- MiniLM: a six-layer BERT --------------------------------------------------------------------


class MiniLM:
    """all-MiniLM-L6-v2 on token numbers: sentence vectors of length one."""

    def __init__(self, folder: Path) -> None:
        self.w = load_file(str(folder / "model.safetensors"))
        self.tokens = (folder / "vocab.txt").read_text().split("\n")[:-1]
        self.vocabulary = Vocabulary(self.tokens, ())
        self.first, self.last = self.tokens.index("[CLS]"), self.tokens.index("[SEP]")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(
            x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"], 1e-12
        )

    @torch.no_grad()
    def embed(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Sentence vectors (b, 384) of rows of token numbers."""
        numbers = padded([[self.first, *row, self.last] for row in rows])
        words = numbers != 0
        mask = torch.zeros(words.shape).masked_fill(~words, -math.inf)[:, None, None]
        table = "embeddings."
        x = self.w[table + "word_embeddings.weight"][numbers]
        x = x + self.w[table + "position_embeddings.weight"][: numbers.shape[1]]
        x = self._norm(x + self.w[table + "token_type_embeddings.weight"][0], table + "LayerNorm")
        b, n, d = x.shape
        for i in range(6):
            at = f"encoder.layer.{i}."
            parts = (self._linear(x, f"{at}attention.self.{k}") for k in ("query", "key", "value"))
            q, k, v = (part.view(b, n, 12, 32).transpose(1, 2) for part in parts)
            y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            y = self._linear(y.transpose(1, 2).reshape(b, n, d), at + "attention.output.dense")
            x = self._norm(x + y, at + "attention.output.LayerNorm")
            y = functional.gelu(self._linear(x, at + "intermediate.dense"))
            x = self._norm(x + self._linear(y, at + "output.dense"), at + "output.LayerNorm")
        mean = (x * words[..., None]).sum(1) / words.sum(1, keepdim=True)
        return functional.normalize(mean, dim=-1)

    def embed_all(self, rows: Sequence[Sequence[int]], batch: int = 256) -> Tensor:
        """As `embed`, for many rows, short ones together."""
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        out = torch.zeros(len(rows), 384)
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            out[chosen] = self.embed([rows[i] for i in chosen])
        return out


# --- WordNet: names, words and sentences ---------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Synset:
    """One meaning: its words, file number, pointers to wider meanings, and gloss."""

    words: tuple[str, ...]
    file: int
    wider: tuple[int, ...]
    instance_of: tuple[int, ...]
    gloss: str


def wordnet(folder: Path, part: str) -> dict[int, Synset]:
    """The synsets of a part of speech by their offset."""
    out = {}
    for line in (folder / f"data.{part}").read_text().splitlines():
        if line.startswith(" "):
            continue
        head, _, gloss = line.partition(" | ")
        items = head.split()
        count = int(items[3], 16)
        words = tuple(items[4 + 2 * i].replace("_", " ") for i in range(count))
        rest = items[4 + 2 * count + 1 :]
        pointers = [
            (rest[i], int(rest[i + 1])) for i in range(0, len(rest) - 3, 4) if rest[i][0] == "@"
        ]
        wider = tuple(to for mark, to in pointers if mark == "@")
        instance = tuple(to for mark, to in pointers if mark == "@i")
        out[int(items[0])] = Synset(words, int(items[1]), wider, instance, gloss.strip())
    return out


KINDS = {  # what a name must be an instance of, and the land that it then names
    "sea": ("ocean", "sea", "bay", "gulf", "beach", "strait", "island", "harbor", "cape"),
    "hills": ("hill", "moor", "valley", "down"),
    "mountains": ("mountain peak", "mountain", "range", "volcano", "alp"),
    "plain": ("desert", "plain", "grassland", "steppe", "prairie", "tundra"),
    "city": ("city", "national capital", "state capital", "provincial capital", "city district"),
}


def land_names(nouns: Mapping[int, Synset]) -> dict[str, list[str]]:
    """Proper names of seas, mountains, cities and so on."""
    out: dict[str, list[str]] = {}
    for land, kinds in KINDS.items():
        heads = {at for at, s in nouns.items() if set(kinds) & set(s.words) and not s.instance_of}
        heads = {at for at in heads if nouns[at].file in (15, 17, 14)}
        found = {
            s.words[0]
            for s in nouns.values()
            if heads & set(s.instance_of) and s.words[0].isascii()
        }
        out[land] = sorted(found)
    return out


SKYLESS = (
    4,
    5,
    6,
    8,
    9,
    10,
    12,
    13,
    18,
    20,
    21,
)  # acts, animals, artifacts, minds, people, food...
INDOORS = (8, 9, 10, 12, 13, 18, 21)  # bodies, minds, talk, feelings, food, people, money


def sentences(
    folder: Path, nouns: Mapping[int, Synset], spoken: frozenset[str], grave: frozenset[str]
) -> tuple[list[str], list[str]]:
    """Glosses and examples that say nothing of the sky: without its words, and with some in passing.

    `spoken` are the captions' words, `grave` those that even in passing would say something.
    """
    synsets = [s for s in nouns.values() if s.file in SKYLESS]
    for part in ("verb", "adj", "adv"):
        synsets += [s for s in wordnet(folder, part).values() if s.file != 43]
    silent, passing = [], []
    for synset in synsets:
        for text in re.split(r";\s*", synset.gloss.replace('"', "")):
            words = set(plain(text))
            if not 3 <= len(words) <= 20:
                continue
            if not spoken & words:
                silent.append(text)
            elif synset.file in INDOORS and not grave & words:
                passing.append(text)
    return silent, passing


OUTDOORS = (15, 17, 19, 25, 28, 38, 43)  # places, natural things, weather, shapes, times, motion


def outdoor_words(folder: Path) -> list[str]:
    """Single words for what is met out of doors, and all adjectives."""
    synsets = [*wordnet(folder, "noun").values(), *wordnet(folder, "verb").values()]
    synsets = [s for s in synsets if s.file in OUTDOORS] + list(wordnet(folder, "adj").values())
    return sorted({word.lower() for s in synsets for word in s.words if word.isalpha()})


COMMON = frozenset(
    "the a an of and in to at with on by it is its from for as no not all up out over into down off "
    "away through one two there here are be has have can you i my we".split()
)


def spoken_words(source: Bank, attributes: Sequence[str] = ()) -> frozenset[str]:
    """Words of the phrases that tell something (of the attributes): those met in few classes."""
    seen: dict[str, set[tuple[str, str]]] = {}
    for (attribute, _, name), listed in source.items():
        for phrase in listed:
            for word in plain(phrase.text):
                seen.setdefault(word, set()).add((attribute, name))
    return frozenset(
        word
        for word, where in seen.items()
        if word.isalpha() and len(word) > 2 and word not in COMMON and len(where) <= 12
        if not attributes or {attribute for attribute, _ in where} & set(attributes)
    )


# --- the table of word vectors -------------------------------------------------------------------


def build_table(minilm: MiniLM, lemmas: Sequence[str], spoken: frozenset[str]) -> dict[str, Tensor]:
    """Tokens, int8 vectors and scales: MiniLM's sentence vector of every single word."""
    kept = [t for t in minilm.tokens if t.isascii() and t.removeprefix("##").isalpha()]
    tokens = kept + list("0123456789") + [mark for mark in MARKS if mark in minilm.tokens]
    have = set(tokens)
    rows = [[minilm.vocabulary.number[token]] for token in tokens]
    vectors = minilm.embed_all(rows)
    whole = Vocabulary(minilm.tokens, ())
    must = sorted(w for w in spoken if w.isascii() and w not in have)
    more = sorted(w for w in set(lemmas) - have - set(must) if w.isascii() and w.isalpha())
    must_v = minilm.embed_all([whole.numbers(w) for w in must])
    more_v = minilm.embed_all([whole.numbers(w) for w in more])
    anchors = vectors[[i for i, t in enumerate(tokens) if t in spoken]]
    near = torch.cat([(part @ anchors.T).topk(5, 1).values.mean(1) for part in more_v.split(2048)])
    best = near.topk(EXTRA).indices
    tokens += must + [more[i] for i in best.tolist()]
    vectors = torch.cat([vectors, must_v, more_v[best]])
    centred = vectors - vectors.mean(0)
    basis = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -VECTOR:]
    short = functional.normalize(centred @ basis, dim=-1)
    digits = [i for i, token in enumerate(tokens) if token.isdigit()]  # MiniLM holds them too alike
    apart = torch.randn(len(digits), VECTOR, generator=torch.Generator().manual_seed(0))
    short[digits] = functional.normalize(short[digits].mean(0) + apart / VECTOR**0.5, dim=-1)
    short = torch.cat([torch.zeros(1, VECTOR), short.mean(0, keepdim=True), short])
    scales = short.abs().amax(1, keepdim=True).clamp_min(1e-6) / 127
    tokens = ["[PAD]", "[UNK]", *tokens]
    known = [i for i, t in enumerate(tokens) if t in spoken and len(t) > 5]
    text = "\n".join(tokens).encode()
    return {
        "table": (short / scales).round().to(torch.int8),
        "scales": scales.half(),
        "tokens": torch.tensor(list(text), dtype=torch.uint8),
        "known": torch.tensor(known, dtype=torch.int32),
    }
