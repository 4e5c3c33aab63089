"""Reads free English about the sky and answers with a control vector of soft classes, one set an attribute."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from longtake.errors import InputError

WEIGHTS = Path(__file__).parent.parent / "weights" / "words.safetensors"
WINDOW = 64  # tokens the net reads at once; longer prompts are read in several windows
LONGEST = 40  # letters of a word; longer ones are not words
STOPS = frozenset(".!?;")
PAD, UNKNOWN = 0, 1
WORD = re.compile(r"[^\W\d_]+|\d|[^\w\s]|\n")


def spell(char: str) -> str:
    """A symbol's name in words: a rain-cloud emoji says 'cloud with rain', an arrow its direction."""
    if char in "\u2018\u2019":
        return "'"
    if unicodedata.category(char) not in ("So", "Sm"):
        return char
    words = re.findall("[a-z]+", unicodedata.name(char, "").lower().replace("wards", ""))
    if "arrow" in words or "arrowhead" in words:
        words = [word for word in words if word in ("left", "right")]
    return f" {' '.join(word for word in words if word not in ('black', 'white', 'medium'))} "


def plain(text: str) -> list[str]:
    """Lower-case words, single digits and marks; accents are dropped, symbols (emoji, arrows) spelled out."""
    spelled = "".join(spell(char) if ord(char) > 0x2000 else char for char in text)
    bare = unicodedata.normalize("NFKD", spelled).lower()
    bare = "".join(char for char in bare if unicodedata.category(char) != "Mn")
    return ["." if word == "\n" else word for word in WORD.findall(bare)]


def deletions(word: str) -> set[str]:
    """The word and all ways to leave out one of its letters: two words a slip apart share one."""
    return {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}


class Vocabulary:
    """Words and word pieces (`##ing`) numbered in order; misspellings of the words in `known` are mended."""

    def __init__(self, tokens: Sequence[str], known: Iterable[str]) -> None:
        self.tokens = tuple(tokens)
        self.number = {token: i for i, token in enumerate(self.tokens)}
        self.slips: dict[str, str] = {}
        for word in sorted(known):
            for short in deletions(word):
                self.slips.setdefault(short, word)

    def numbers(self, text: str) -> list[int]:
        """The text as token numbers."""
        return [number for word in plain(text) for number in self._word(word)]

    def _word(self, word: str) -> list[int]:
        if word in self.number:
            return [self.number[word]]
        if not word.isalpha():
            return []
        if not word.isascii() or len(word) > LONGEST:
            return [UNKNOWN]
        if mended := self._mend(word):
            return [self.number[mended]]
        return self._pieces(word)

    def _mend(self, word: str) -> str | None:
        if len(word) < 5:
            return None
        found = (self.slips[short] for short in sorted(deletions(word)) if short in self.slips)
        return next((right for right in found if abs(len(right) - len(word)) < 2), None)

    def _pieces(self, word: str) -> list[int]:
        """Greedy longest match first, as WordPiece does."""
        out: list[int] = []
        start = 0
        while start < len(word):
            mark = "##" if start else ""
            ends = (
                end for end in range(len(word), start, -1) if mark + word[start:end] in self.number
            )
            end = next(ends, None)
            if end is None:
                return [UNKNOWN]
            out.append(self.number[mark + word[start:end]])
            start = end
        return out


def windows(numbers: Sequence[int], stops: frozenset[int]) -> Iterator[list[int]]:
    """Cuts a long prompt into windows of at most WINDOW tokens, after a stop where one is near."""
    start = 0
    while start < len(numbers):
        end = min(len(numbers), start + WINDOW)
        if end < len(numbers):
            cuts = (cut for cut in range(end, start + WINDOW // 3, -1) if numbers[cut - 1] in stops)
            end = next(cuts, end)
        yield list(numbers[start:end])
        start = end


class Block(nn.Module):
    """Pre-norm attention with a learned bias for each distance, then a perceptron."""

    def __init__(self, width: int, heads: int, reach: int = 12) -> None:
        super().__init__()
        self.heads, self.reach = heads, reach
        self.norm = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)
        self.drop = nn.Dropout(0.1)
        self.distance = nn.Parameter(torch.zeros(heads, 2 * reach + 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (b, n, d); mask: (b, 1, 1, n), 0 for words and -inf for padding."""
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        place = torch.arange(n, device=x.device)
        apart = (place[None] - place[:, None]).clamp(-self.reach, self.reach) + self.reach
        bias = self.distance[:, apart] + mask
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + self.drop(self.out(y.transpose(1, 2).reshape(b, n, d)))
        x = x + self.drop(self.down(functional.gelu(self.up(self.norm2(x)))))
        return x


class Reader(nn.Module):
    """Word vectors to class logits: blocks, then for each attribute the words it attends to.

    Each attribute has one more logit than classes, the last: the text does not say.
    """

    def __init__(
        self, vectors: int, sizes: Sequence[int], width: int = 128, depth: int = 3
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(vectors, width)
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, 4) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.ask = nn.Linear(width, 2 * len(sizes))  # two looks an attribute
        self.heads = nn.ModuleList(nn.Linear(2 * width, size + 1) for size in sizes)

    def states(self, vectors: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """States (b, 1 + n, d) of a start token and of all words; mask (b, 1 + n) of what is no padding."""
        x = self.enter(vectors)
        x = torch.cat([self.start.expand(len(x), 1, -1), x], 1)
        words = torch.cat([words.new_ones(len(words), 1), words], 1)
        mask = torch.zeros(words.shape, dtype=x.dtype, device=x.device)
        mask = mask.masked_fill(~words, -math.inf)[:, None, None]
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x), words

    def forward(self, vectors: Tensor, words: Tensor) -> list[Tensor]:
        """Vectors (b, n, v) and mask (b, n) to logits (b, classes + 1), a tensor an attribute."""
        x, words = self.states(vectors, words)
        look = self.ask(x).masked_fill(~words[..., None], -math.inf).softmax(1)  # (b, n, 2 * a)
        seen = torch.einsum("bnk,bnd->bkd", look, x)
        return [head(seen[:, 2 * i : 2 * i + 2].flatten(1)) for i, head in enumerate(self.heads)]


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What the weights file holds."""

    attributes: Mapping[str, tuple[str, ...]]
    vocabulary: Vocabulary
    table: Tensor  # int8 (tokens, v)
    scales: Tensor  # float32 (tokens, 1)
    reader: Reader


def load(path: Path) -> Loaded:
    """Read a weights file; InputError when it is missing or not one."""
    if not path.is_file():
        raise InputError(f"no word weights at {path}", "text", str(WEIGHTS))
    with safe_open(str(path), framework="pt") as file:
        note = json.loads((file.metadata() or {}).get("words", "{}"))
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    if "attributes" not in note:
        raise InputError(f"{path} holds no word weights", "text", str(WEIGHTS))
    attributes = {name: tuple(classes) for name, classes in note["attributes"]}
    tokens = bytes(tensors.pop("tokens").tolist()).decode().split("\n")
    known = [tokens[i] for i in tensors.pop("known").tolist()]
    table, scales = tensors.pop("table"), tensors.pop("scales").float()
    sizes = [len(classes) for classes in attributes.values()]
    reader = Reader(table.shape[1], sizes, note["width"], note["depth"])
    reader.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return Loaded(attributes, Vocabulary(tokens, known), table, scales, reader.eval())


class WordEncoder:
    """Free English to control vectors: what a prompt says of each attribute, zeros where it is silent.

    Of several windows, as of several sentences, the first that speaks of an attribute decides it.
    """

    def __init__(self, weights: Path | None = None) -> None:
        self.path = weights or WEIGHTS
        self._loaded: Loaded | None = None
        self._fingerprint = ""

    @property
    def loaded(self) -> Loaded:
        """The weights, read at first use."""
        if self._loaded is None:
            self._loaded = load(self.path)
        return self._loaded

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights file."""
        if not self._fingerprint:
            self._fingerprint = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return self._fingerprint

    @torch.no_grad()
    def encode(self, prompts: Sequence[str], without: Container[str] = ()) -> Tensor:
        """Control vectors (p, WIDTH) in the order of the attributes; a silent attribute is all zeros.

        without: attributes of which nothing is to be heard.
        """
        cut, owners = self._cut(prompts)
        width = sum(map(len, self.loaded.attributes.values()))
        out = torch.zeros(len(prompts), width)
        silent = torch.ones(len(prompts), len(self.loaded.attributes))
        first = 0
        for logits in self._read(cut):
            for row, owner in enumerate(owners[first : first + len(logits[0])]):
                self._add([part[row] for part in logits], out[owner], silent[owner])
            first += len(logits[0])
        sizes = [len(classes) for classes in self.loaded.attributes.values()]
        for name, part in zip(self.loaded.attributes, out.split(sizes, 1), strict=True):
            if name in without:
                part.zero_()
        return out

    def understood(self, prompt: str) -> dict[str, tuple[str, float]]:
        """The likeliest class and its probability, for every attribute that the prompt speaks of."""
        vector, found, start = self.encode([prompt])[0], {}, 0
        for name, classes in self.loaded.attributes.items():
            part = vector[start : start + len(classes)]
            start += len(classes)
            if part.sum() > 0.5:
                best = int(part.argmax())
                found[name] = (classes[best], round(float(part[best]), 3))
        return found

    def _cut(self, prompts: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        words = self.loaded.vocabulary
        stops = frozenset(words.number[mark] for mark in STOPS if mark in words.number)
        cut, owners = [], []
        for owner, prompt in enumerate(prompts):
            for window in windows(words.numbers(prompt), stops):
                cut.append(window)
                owners.append(owner)
        return cut, owners

    def _read(self, cut: Sequence[Sequence[int]], batch: int = 32) -> Iterator[list[Tensor]]:
        loaded = self.loaded
        for start in range(0, len(cut), batch):
            numbers = padded(cut[start : start + batch])
            vectors = loaded.table[numbers].float() * loaded.scales[numbers]
            yield loaded.reader(vectors, numbers != PAD)

    @staticmethod
    def _add(logits: Sequence[Tensor], vector: Tensor, silent: Tensor) -> None:
        """Add to one prompt's vector what its next window says; `silent` holds what is still open."""
        start = 0
        for i, part in enumerate(logits):
            says = sharpen(part.softmax(-1))
            vector[start : start + len(says) - 1] += silent[i] * says[:-1]
            silent[i] *= says[-1]
            start += len(says) - 1


def sharpen(chances: Tensor) -> Tensor:
    """Squared and made to sum to one: sure readings become one, faint ones nothing."""
    squared = chances.square()
    return squared / squared.sum(-1, keepdim=True)


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of numbers as one tensor, filled up with PAD."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows])
