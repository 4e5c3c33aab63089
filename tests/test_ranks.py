"""Training in pieces and in several processes, in half precision, watched, and its charts."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from longtake.errors import InputError
from longtake.train import Logged, Ranks, Schedule, charted, fit, in_half, optimisers
from longtake.train.charts import crc32c, event, record

ROOT = Path(__file__).parent.parent
SCHEDULE = Schedule(steps=50, rate=0.02, warmup=5, ema=0.9, save_every=20, log_every=5, pieces=2)


class Small(nn.Module):
    """A net that Muon and AdamW share, and chance in its loss."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 4))

    def losses(self, batch: Tensor) -> Mapping[str, Tensor]:
        noisy = batch + 0.1 * torch.randn_like(batch)
        return {"near": (self.body(noisy) - batch.flip(1)).square().mean(1)}


def batch(number: int) -> Tensor:
    return torch.randn(8, 4, generator=torch.Generator().manual_seed(number))


def plain(module: nn.Module, params, rate: float) -> list[torch.optim.Optimizer]:
    return [torch.optim.SGD(params, lr=rate)]


def run(
    folder: Path, schedule: Schedule = SCHEDULE, tools=optimisers, **more
) -> tuple[Small, list[Logged]]:
    net = Small()
    curve = list(fit(net, net.losses, batch, schedule, folder, tools=tools, **more))
    return net, curve


def test_a_step_in_pieces_is_the_step_of_all_at_once(tmp_path: Path) -> None:
    """Two batches of 8 and their mean gradient, against one batch of 16."""
    net, whole = Small(), Small()
    schedule = Schedule(steps=6, rate=0.1, warmup=1, ema=0.0, pieces=2)

    def exact(module: nn.Module):
        return lambda x: {"near": (module.body(x) - x.flip(1)).square().mean(1)}

    list(fit(net, exact(net), batch, schedule, tmp_path / "pieces", tools=plain))
    both = Schedule(steps=6, rate=0.1, warmup=1, ema=0.0)

    def joined(step: int) -> Tensor:
        return torch.cat([batch(2 * step), batch(2 * step + 1)])

    list(fit(whole, exact(whole), joined, both, tmp_path / "whole", tools=plain))
    for one, other in zip(net.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(net.body[0].weight, Small().body[0].weight, atol=1e-3)


CODE = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
import test_ranks as t
net, curve = t.run(Path({folder!r}))
"""


def test_two_processes_take_the_steps_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """50 steps at the same global batch: losses at most 1e-5 apart; only the first process writes."""
    one, curve = run(tmp_path / "one")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = CODE.format(tests=str(ROOT / "tests"), folder=str(tmp_path / "two"))
    # What torchrun sets; this process is the first of the two.
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    second = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "RANK": "1", "LOCAL_RANK": "1", **common},
        stderr=subprocess.PIPE,
        text=True,
    )
    with monkeypatch.context() as launched:
        for name, value in {**common, "RANK": "0", "LOCAL_RANK": "0"}.items():
            launched.setenv(name, value)
        try:
            _, shared = run(tmp_path / "two")
        finally:
            torch.distributed.destroy_process_group()
            _, error = second.communicate(timeout=300)
    assert second.returncode == 0, error
    assert len(shared) == 10
    lines = [
        json.loads(line) for line in (tmp_path / "two" / "curve.jsonl").read_text().splitlines()
    ]
    assert (
        [line["step"] for line in lines] == [line.step for line in curve] == list(range(5, 51, 5))
    )
    assert curve[-1].losses["near"] < 0.5 * curve[0].losses["near"]
    for line, alone in zip(lines, curve, strict=True):
        # the curve is written to six places
        assert line["near"] == pytest.approx(alone.losses["near"], abs=1e-5)
    again, more = run(tmp_path / "two")  # one process goes on from what two have left: it is over
    assert more == []
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, one.state_dict()[name], atol=1e-5, rtol=1e-4)


def test_batches_that_cannot_be_shared_out_are_refused() -> None:
    assert list(Ranks(1, 2).share(4)) == [1, 3] and list(Ranks().share(3)) == [0, 1, 2]
    with pytest.raises(InputError, match="pieces=4"):
        Ranks(0, 2).share(3)
    with pytest.raises(InputError, match="pieces=0"):
        Schedule(steps=1, pieces=0)


def test_half_precision_trains_whole_weights(tmp_path: Path) -> None:
    net, seen = Small(), []

    def losses(x: Tensor) -> Mapping[str, Tensor]:
        y = net.body(x)
        seen.append(y.dtype)
        return {"near": (y - x.flip(1)).square().mean(1)}

    schedule = Schedule(steps=30, rate=0.02, warmup=1, log_every=1)
    curve = list(fit(net, in_half(losses), batch, schedule, tmp_path))
    assert set(seen) == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in net.parameters())
    assert curve[-1].losses["near"] < 0.7 * curve[0].losses["near"]


def test_watching_sees_the_average_and_changes_nothing(tmp_path: Path) -> None:
    unseen, _ = run(tmp_path / "unseen")
    net, looks = Small(), []

    def look(step: int) -> None:
        torch.randn(5)
        looks.append((step, net.training, net.body[0].weight.detach().clone()))

    list(fit(net, net.losses, batch, SCHEDULE, tmp_path / "seen", watch=look))
    assert [(step, training) for step, training, _ in looks] == [(20, False), (40, False)]
    assert net.training
    for one, other in zip(net.parameters(), unseen.parameters(), strict=True):
        assert torch.equal(one, other)
    stopped, early = Small(), SCHEDULE
    for line in fit(stopped, stopped.losses, batch, early, tmp_path / "short"):
        if line.step == 20:
            break
    assert not torch.equal(stopped.body[0].weight, looks[0][2]), "the weights themselves are others"


# ---- charts


def fields(data: bytes) -> list[tuple[int, object]]:
    """A protocol buffer's (number, value), read independently of what wrote it."""
    found, at = [], 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            found.append((key >> 3, varint()))
            continue
        size = {1: 8, 5: 4}.get(kind) or varint()
        raw, at = data[at : at + size], at + size
        found.append(
            (
                key >> 3,
                struct.unpack("<d" if kind == 1 else "<f", raw)[0] if kind in (1, 5) else raw,
            )
        )
    return found


def test_charts_are_records_that_tensorboard_reads(tmp_path: Path) -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the checksum's own test value
    lines = [Logged(7, 1.0, {"near": 0.5, "norm": 2.0}), Logged(300, 2.0, {"near": 0.25})]
    assert list(charted(iter(lines), tmp_path / "charts")) == lines
    (path,) = (tmp_path / "charts").glob("events.out.tfevents.*")
    data, events = path.read_bytes(), []
    while data:
        (size,) = struct.unpack("<Q", data[:8])
        body = data[12 : 12 + size]
        assert record(body) == data[: 16 + size]
        events.append(dict(fields(body)))
        data = data[16 + size :]
    assert events[0][3] == b"brain.Event:2"
    assert [e[2] for e in events[1:]] == [7, 300]
    told = [
        {dict(fields(value))[1]: dict(fields(value))[2] for _, value in fields(e[5])}
        for e in events[1:]
    ]
    assert told == [{b"near": 0.5, b"norm": 2.0}, {b"near": 0.25}]


def test_tensorboard_itself_reads_them(tmp_path: Path) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    list(charted(iter([Logged(3, 1.0, {"near": 0.5})]), tmp_path))
    (path,) = tmp_path.iterdir()
    last = list(loader.EventFileLoader(str(path)).Load())[-1]
    assert last.step == 3 and last.summary.value[0].tag == "near"


def test_an_event_is_compact() -> None:
    assert len(event(1, {"a": 1.0})) < 32
