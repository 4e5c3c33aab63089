"""Two processes, as torchrun starts them, take the steps of one: every family, accumulated, cut, averaged, in shards.

All trainings of two processes are run by one pair of them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_families import Family, family, request_of
from torch import nn

from longtake.clip import Clip, ClipRequest
from longtake.codecs.pixels import PixelCodec
from longtake.codecs.vq import VQTraining
from longtake.errors import InputError
from longtake.nets.convolutional import VideoShape, VQVideo
from longtake.nets.quantise import VectorQuantiser
from longtake.train import Compute, Schedule, Widths, adversarial, fit

ROOT = Path(__file__).parent.parent
STEPS = 50
# Four batches a step, two a process; gradients of every family's first steps are longer than `clip`.
SCHEDULE = Schedule(
    STEPS, rate=2e-3, warmup=5, ema=0.9, save_every=20, log_every=5, clip=0.2, pieces=4
)
SHARDED = Compute(sharded=True)


@dataclasses.dataclass(frozen=True)
class Case:
    """A training of a family. stop: number of the batch at which it breaks off.

    The third of a step's four, so that both processes have then taken one.
    """

    name: str
    schedule: Schedule = SCHEDULE
    compute: Compute = dataclasses.field(default_factory=Compute)
    stop: int | None = None

    def run(self, folder: Path) -> nn.Module:
        made = booked() if self.name == "codes" else family(self.name)

        def batch(number: int):
            if self.stop is not None and number >= self.stop:
                raise KeyboardInterrupt
            return request_of(made.codec, number)

        losses: Callable = made.losses
        lines = fit(
            made.net,
            lambda pair: losses(*pair),
            batch,
            self.schedule,
            folder,
            made.parts,
            made.tools,
            compute=self.compute,
        )
        try:
            list(lines)
        except KeyboardInterrupt:
            pass
        return made.net


PLAIN = dataclasses.replace(SCHEDULE, pieces=2)


def booked() -> Family:
    """An autoencoder whose codes are of a moving codebook, some of it soon dead; in the place of a model."""
    torch.manual_seed(0)
    book = VectorQuantiser(64, 4, decay=0.8)
    net = VQVideo(VideoShape(channels=4, widths=(8, 8, 8)), book)
    training = VQTraining(net.train())
    pixels = PixelCodec()

    def losses(request: ClipRequest, truth: Clip):
        return training(pixels.decode(truth.frames))

    return Family(None, pixels, net, losses, tools=adversarial)  # type: ignore[arg-type]


WIDE = dataclasses.replace(SCHEDULE, ema=Widths())
BRIEF = dataclasses.replace(WIDE, steps=8, save_every=3)
PAIRED: dict[str, tuple[Case, ...]] = {
    "diffusion": (Case("diffusion", PLAIN),),
    "tokens": (Case("tokens", WIDE),),
    "masked": (Case("masked", PLAIN),),
    "gan": (Case("gan", PLAIN),),
    # no more steps: later a vector between two codes falls to the other by rounding alone
    "codes": (Case("codes", dataclasses.replace(SCHEDULE, steps=15)),),
    "in shards": (Case("tokens", WIDE, Compute(recomputed=True, sharded=True)),),
    "straight": (Case("diffusion", BRIEF, SHARDED),),
    "cut": (Case("diffusion", BRIEF, SHARDED, stop=4 * 5 + 2), Case("diffusion", BRIEF, SHARDED)),
    "gan straight": (Case("gan", BRIEF),),
    "gan cut": (Case("gan", BRIEF, stop=4 * 4 + 2), Case("gan", BRIEF)),
}


def all_of_a_pair(home: Path) -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    for name, cases in PAIRED.items():
        for case in cases:
            case.run(home / name)
    with pytest.raises(InputError, match="several players in shards"):
        Case("gan", compute=SHARDED).run(home / "refused")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("pair")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})\n"
        "import test_shards, pathlib\n"
        f"test_shards.all_of_a_pair(pathlib.Path({str(home)!r}))\n"
        # all is asked and written: at the interpreter's end a thread of torch's now and then aborts it
        "import os; os._exit(0)\n"
    )
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    told |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, **told, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=600)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(errors)[-4000:]
    yield home


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("case", ["diffusion", "tokens", "masked", "gan", "codes", "in shards"])
def test_two_processes_take_the_steps_of_one(case: str, pair: Path, tmp_path: Path) -> None:
    """50 steps: losses at most 1e-5 apart, in accumulated batches, with cut gradients, players, averages."""
    (asked,) = PAIRED[case]
    alone = dataclasses.replace(asked, compute=Compute())
    alone.run(tmp_path)
    one, two = curve(tmp_path), curve(pair / case)
    assert [line["step"] for line in one] == [line["step"] for line in two]
    assert len(one) == asked.schedule.steps // SCHEDULE.log_every
    assert max(line["norm"] for line in one) > SCHEDULE.clip, "gradients were cut"
    for a, b in zip(one, two, strict=True):
        for name in a.keys() - {"event", "step", "seconds", "left", "norm"}:
            # the curve is written to six places
            assert b[name] == pytest.approx(a[name], abs=1.1e-5), (a["step"], name)
        # a gradient twice as long is the same step to Adam: only its length tells
        assert b["norm"] == pytest.approx(a["norm"], rel=0.02)
    whole, shared = (load_file(home / "checkpoint.safetensors") for home in (tmp_path, pair / case))
    assert whole.keys() == shared.keys()
    for name, value in whole.items():
        assert value.shape == shared[name].shape, "whole, whoever wrote it"
        row, _, rest = name.partition("/")
        # of buffers, codebooks are all processes' own, running means the first one's
        if row != "tools" and (f"average/{rest}" in whole or "book" in rest):
            # Muon's products in half precision make more of rounding than losses do
            assert (shared[name] - value).norm() <= 0.03 * value.norm() + 1e-3, name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["", "gan "])
def test_two_processes_are_killed_and_go_on_to_the_bit(kind: str, pair: Path) -> None:
    """In shards, and as a game of two players; snapshots of the averages too."""
    names = [f"{kind}straight", f"{kind}cut"]
    steps = [sorted(p.name for p in (pair / name / "widths").iterdir()) for name in names]
    assert steps[0] == steps[1] and len(steps[0]) == 3
    files = ["checkpoint.safetensors", "average.safetensors", *(f"widths/{n}" for n in steps[0])]
    for file in files:
        one, other = (load_file(pair / name / file) for name in names)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), file


@pytest.mark.slow
def test_one_process_goes_on_from_what_two_left(pair: Path, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    for file in ("checkpoint.safetensors", "curve.jsonl"):
        (folder / file).write_bytes((pair / "straight" / file).read_bytes())
    Case("diffusion", dataclasses.replace(BRIEF, steps=10)).run(folder)
    assert [line["step"] for line in curve(folder)] == [5, 10]
    one, other = (load_file(home / "average.safetensors") for home in (pair / "straight", folder))
    assert one.keys() == other.keys()
    assert any(not torch.equal(one[name], other[name]) for name in one)
