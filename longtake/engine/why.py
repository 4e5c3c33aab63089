"""Saying why: what a run would do, and what a finished step was made of. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from longtake.engine.job import Call, Job, Keys
from longtake.engine.repair import settled
from longtake.engine.store import Store
from longtake.errors import InputError
from longtake.keys import StepKey
from longtake.steps import Indices

Line = dict[str, Any]
TOTALS = ("event", "steps", "waves", "calls", "peak_live", "deepest_ancestry")


def plan_lines(job: Job, store: Store) -> Iterator[Line]:
    """One line a step, as it would run now, and last the totals; of an endless film the first steps."""
    last, alike = dict[int, Line](), dict[tuple[int, Indices], Line]()
    for line in store.records():
        last[line["step"]] = line
        alike[line["step"], tuple(line.get("targets", ()))] = line
    keys, waves = Keys(job, settled(job, store)), dict[int, int]()
    for call in job.first_calls():
        wave = waves[call.number] = 1 + max((waves[number] for number in call.needs), default=-1)
        # other stretches that were made again had steps of the same numbers
        record = alike.get((call.number, call.step.targets)) or last.get(call.number)
        observed = _supposed(call, record)
        key = keys.take(call, observed)
        cached = store.has(key.key)
        yield {
            "step": call.number,
            "targets": list(call.step.targets),
            "observed": list(observed),
            "role": call.step.role,
            "wave": wave,
            "cached": cached,
            "key": key.key,
            "why": "cached" if cached else _why(key, record),
            **({} if call.view is None else {"take": call.view.take}),
        }
    depth = 1 + max(waves.values(), default=-1)
    if job.frames is None:
        yield {**dict.fromkeys(TOTALS), "event": "planned", "endless": True}
        return
    yield {
        "event": "planned",
        "steps": len(job.calls),
        "waves": depth,
        "calls": len(job.calls),
        "peak_live": sum(plan.peak_live for plan in job.plans),
        "deepest_ancestry": depth,
    }


def _supposed(call: Call, record: Line | None) -> Indices:
    """What a call observes; where it will choose, its last choice or else all candidates."""
    step = call.step
    if step.choose is None or record is None:
        return step.observed
    chosen = tuple(index for index, _ in record["observed"])
    fits = len(chosen) <= step.choose and set(chosen) <= set(step.observed)
    return chosen if fits else step.observed


def _why(key: StepKey, record: Line | None) -> str:
    if record is None:
        return "new"
    changed = key.why(StepKey(record["parts"]))
    return ", ".join(changed) if changed else "missing"


def explain(store: Store, step: int, key: str = "") -> Line:
    """What a recorded step's clip was made of; InputError if the journal does not know the step.

    key: of one of the clips that steps of this number made; without it, the last.
    """
    records = list(store.records())
    own = [line for line in records if line["step"] == step]
    places = [n for n, line in enumerate(own) if line["key"] == key]
    own = own[: places[-1] + 1] if places else own if not key else []
    if not own:
        known = [line["step"] for line in records]
        hint = f"a step from 0 to {max(known)}" if known else "a run with finished steps"
        raise InputError(f"no step {step} in this run", "explain", hint)
    now = own[-1]
    before = next((line for line in reversed(own) if line["key"] != now["key"]), None)
    changed = () if before is None else StepKey(now["parts"]).why(StepKey(before["parts"]))
    by_key = {line["key"]: line for line in records}
    observed = [
        {"index": index, "key": key, "step": by_key[key]["step"] if key in by_key else None}
        for index, key in now["observed"]
    ]
    return {
        "step": step,
        "key": now["key"],
        "stored": store.has(now["key"]),
        "parts": now["parts"],
        "changed": list(changed),
        "before": None if before is None else before["key"],
        "targets": now["targets"],
        "observed": observed,
        "seed": now["seed"],
        "prompts": now["prompts"],
        **({"take": now["take"]} if "take" in now else {}),
        "attempt": now.get("attempt", 0),
        "scores": now.get("scores", {}),
        "faults": now.get("faults", ""),
        "seconds": next((r["seconds"] for r in reversed(own) if r["seconds"] is not None), None),
        "ancestry": _ancestry(now, by_key),
    }


def _ancestry(line: Line, by_key: Mapping[str, Line]) -> Line:
    """All steps behind one, and the longest chain of them, itself included."""
    depth: dict[str, int] = {}
    open_lines = [line]
    while open_lines:
        current = open_lines[-1]
        parents = {key for _, key in current["observed"] if key in by_key}
        unknown = [by_key[key] for key in parents if key not in depth]
        if unknown:
            open_lines.extend(unknown)
        else:
            depth[current["key"]] = 1 + max((depth[key] for key in parents), default=0)
            open_lines.pop()
    steps = sorted({by_key[key]["step"] for key in depth} - {line["step"]})
    return {"depth": depth[line["key"]], "steps": steps}
