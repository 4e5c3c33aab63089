"""Briefs as shots, by a language model behind an HTTP endpoint."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import urllib.request
from typing import Any

from longtake.controls import Shot
from longtake.errors import InputError

_PATIENCE = 120.0  # seconds for an answer
_LONGEST = 1 << 20  # bytes of one
_SHORTEST, _MOST = 0.5, 200  # seconds of a shot, shots
_ASKED = """You plan a film of {seconds:g} seconds as shots for a model that makes video of short prompts.
Answer with JSON alone: {{"shots": [{{"prompt": "...", "seconds": 8, "cut": true}}]}}
prompt: one sentence that says all that is seen in this shot, for the model knows no other.
seconds: {shortest:g} or more, {seconds:g} together.
cut: true where a new take begins, false where the shot flows on from the one before."""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A planner that asks `POST url/chat/completions`, as OpenAI, vLLM, llama.cpp and Ollama serve it.

    url: as in http://127.0.0.1:8080/v1. key: a bearer token, if one is needed. Redirects are not followed.
    """

    url: str
    model: str = ""
    key: str = dataclasses.field(default="", repr=False)

    def __post_init__(self) -> None:
        if not re.match(r"https?://[^/\s]+", self.url):
            raise InputError("no address of a planner", ascii(self.url), "http://127.0.0.1:8080/v1")

    def plan(self, brief: str, seconds: float) -> tuple[Shot, ...]:
        """Shots of `seconds` together; InputError where no storyboard comes back."""
        asked = _ASKED.format(seconds=seconds, shortest=_SHORTEST)
        said = [{"role": "system", "content": asked}, {"role": "user", "content": brief}]
        try:
            answer = self._ask({"model": self.model or "default", "messages": said})
            text = answer["choices"][0]["message"]["content"]
            told = json.loads(text[text.index("{") : text.rindex("}") + 1])
            return scaled(told["shots"], seconds)
        except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            what = f"the planner gave no storyboard: {reason}"
            raise InputError(what, "planner", "again, or shots of your own") from None

    def _ask(self, body: Any) -> Any:
        headers = {"content-type": "application/json"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        place = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(place, json.dumps(body).encode(), headers)
        with urllib.request.build_opener(_Stays).open(request, timeout=_PATIENCE) as answer:
            found = answer.read(_LONGEST + 1)
        if len(found) > _LONGEST:
            raise ValueError("an answer without end")
        return json.loads(found)


class _Stays(urllib.request.HTTPRedirectHandler):
    """The key is for one host."""

    def redirect_request(self, *_: Any) -> None:
        return None


def scaled(told: Any, seconds: float) -> tuple[Shot, ...]:
    """Shots as a language model lists them, in tenths of a second, and `seconds` together; ValueError."""
    if not isinstance(told, list) or not 0 < len(told) <= min(_MOST, seconds / _SHORTEST):
        raise ValueError(f"no list of 1 to {int(min(_MOST, seconds / _SHORTEST))} shots")
    for shot in told:
        length = shot["seconds"]
        if not isinstance(shot["prompt"], str) or not shot["prompt"].strip():
            raise ValueError("a shot without a prompt")
        if type(length) not in (int, float) or not 0 < length < math.inf:
            raise ValueError("a shot without a length")
    share = (seconds - _SHORTEST * len(told)) / sum(shot["seconds"] for shot in told)
    shots, left = [], seconds
    for number, shot in enumerate(told):
        length = round(_SHORTEST + share * shot["seconds"], 1)
        length = round(left, 6) if number == len(told) - 1 else length
        left -= length
        words = " ".join(shot["prompt"].split())[:1000]
        shots.append(Shot(words, length, cut=number == 0 or shot.get("cut", True) is not False))
    return tuple(shots)
