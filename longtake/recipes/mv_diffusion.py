"""MV-Diffusion: block-wise prediction that is told how things have moved since a frame far back.

Deng, He, Peng, Zhu, Cheng, "MV-Diffusion: Motion-aware Video Diffusion Model", ACM Multimedia 2023.
Written from the paper's mechanism.

The predictor is MCVD's (Voleti et al. 2022): past and target frames side by side on the channels of a
picture U-Net, one noise level for all targets, block after block. Past frames alone say where things
are going just now, so the global trajectory is added: optical flow w_i = F(x_0, x_i) from one
reference frame x_0, which stays the film's first however far it has come, to every past frame x_i. It
enters twice, as two more channels of each frame, and as tokens to which places attend after
attending to each other.

Left out: SPyNet (a small net learned from the world's joints, the same for all arms), pixels
(latents of the world's shared codec), linear attention (there are few places), slimmed residual
blocks, DPM-Solver++ (Euler's rule on a rectified flow), MCVD's future frames.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from longtake.lab.systems import Design, alone, flow_in, flow_model
from longtake.schemes.chain import Autoregressive, Known
from longtake.steps import Step, Timeline
from longtake.system import Curve, Expectation, Measured, Proof, System

if TYPE_CHECKING:
    import numpy as np

    from longtake.lab.bench import Lab

PAST, BLOCK = 5, 5  # known frames of a call, the reference among them; frames it makes
GIVEN, HORIZON, LATE = 5, 40, 10  # frames a film begins with, that follow, judged as its end
FAR = 40  # frames that the reference may lie back in training
LOST = 0.25  # short sides that a mark counts as off when it is not seen
SIZES: dict[str, dict[str, Any]] = {  # paper: MCVD's, which are for pixels
    "proof": {"widths": (64, 128), "attends": (False, True)},
    "paper": {"widths": (192, 384, 576, 768), "attends": (False, True, True, True), "blocks": 2},
}
ARMS = {
    "global": "flow from the film's first frame to every past frame",
    "local": "flow from each past frame to the next",
    "none": "no flow: zeros in its place",
}


@dataclasses.dataclass(frozen=True)
class Referenced(Autoregressive):
    """Each block sees the frames just before it, and the first of its take."""

    name: ClassVar[str] = "referenced"

    def take(self, take: Timeline, start: int = 0) -> Iterator[Step]:
        """As a chain; with nothing given, a first block out of nothing."""
        if not take.given:
            first = Step(tuple(range(min(self.writes, take.length or self.writes))))
            yield first
            take = Timeline(take.length, first.targets)
        yield from super().take(take, start)

    def _see(self, head: int, room: int, known: Known) -> tuple[list[int], int | None]:
        return [known.given[0], *known.before(head, room - 1)], None


SCHEME = Referenced(window=PAST + BLOCK, step=BLOCK)
DESIGN = Design("mv_diffusion", "walker", SIZES, SCHEME.window, observes="past")


def mv_diffusion(
    *, steps: int = 12, size: str = "proof", weights: str = "", device: str = "cpu"
) -> System:
    """The system: a figure in six actions. size: "proof", or "paper" for the published one's size."""
    net, flow = functools.partial(network, "global"), flow_in(steps)
    return DESIGN.system(SCHEME, size, weights, device, net, flow, knobs=[steps], arm="global")


def network(arm: str, size: str = "proof") -> Any:
    """The predictor of an arm: known frames in their slots, and flow by both its ways."""
    from longtake.nets.flow import FlowNet
    from longtake.nets.routes import Conditioned, InPlace, Trajectory, Trend
    from longtake.nets.stacked import Slots, StackedUNet
    from longtake.nets.unet import UNetShape

    flow = FlowNet(8).requires_grad_(False) if arm != "none" else lambda a, b: 0 * b[:, :2]
    routes = InPlace(), (Trend if arm == "local" else Trajectory)(flow, grid=2)
    shape = UNetShape(channels=8, extra=3, context=routes[1].context, **SIZES[size])
    return Conditioned(StackedUNet(shape, Slots(PAST, BLOCK)), *routes)


def drawn(rng: np.random.Generator, length: int) -> list[int]:
    """Places of a training clip in a take: a reference up to FAR back, the past, the block."""
    begin = int(rng.integers(1, length - (PAST - 1 + BLOCK) + 1))
    back = min(begin, int(rng.integers(1, FAR + 1)))
    return [begin - back, *range(begin, begin + PAST - 1 + BLOCK)]


def learn(lab: Lab, arm: str) -> Iterator[Any]:
    """Trains flow on pairs of frames up to FAR apart, then an arm; every tenth batch begins films."""
    import numpy as np
    import torch

    from longtake.lab.motion import learn_flow
    from longtake.lab.tasks import flow
    from longtake.models.diffusion import Scene
    from longtake.nets.flow import FlowNet

    takes = lab.takes("walker", 256, 72)
    yield from learn_flow(lab, takes, FlowNet(8), FAR, 800)
    net = network(arm)
    if arm != "none":
        lab.trained("flow", net.routes[1].flow)

    def batch(step: int) -> Scene:
        rng = np.random.default_rng([lab.seed, step])
        rows = torch.from_numpy(rng.integers(len(takes), size=16))
        places = torch.tensor([drawn(rng, takes.latents.shape[1]) for _ in rows])
        known = (torch.arange(PAST + BLOCK) < PAST).expand(len(rows), -1)
        if step % 10 == 9:
            places, known = places[:, PAST:], known[:, PAST:]
        latents = takes.at(rows, places)
        return Scene(latents, known, places / 10, latents.new_zeros(*places.shape, 0))

    yield from lab.train(arm, net, lambda scene: {"flow": flow(net, scene)}, batch, 1600)


def experiment(lab: Lab) -> Iterator[Any]:
    """All arms go on for HORIZON frames from the first frames of the same held-out takes."""
    import torch

    from longtake.clip import Clip, ClipSpec
    from longtake.lab.films import films, pictures
    from longtake.lab.measures import clip_distance, clip_features, psnr_course

    length = GIVEN + HORIZON
    truth = lab.takes("walker", 32, length, use="test")
    start = Clip(truth.latents[:, :GIVEN].float(), tuple(range(GIVEN)))
    real, world = truth.video(), truth.stretches[0].made()
    known = clip_features(real)
    marks, size = truth.truth["joints"][:, GIVEN:, :5], (8, 8, 8)
    after = tuple(float(n + 1) for n in range(HORIZON))
    for arm in ARMS:
        yield from learn(lab, arm)
        model = flow_model(lab.trained(arm, network(arm)), ClipSpec(SCHEME.window, size, ""))
        make = functools.partial(
            films, model, SCHEME, length, len(real), seed=lab.seed, frame=size, given=start
        )
        video = pictures(lab, "walker", arm, make)
        psnr = psnr_course(video[:, GIVEN:], real[:, GIVEN:])
        states = [world.read(film[GIVEN:]) for film in video]
        there = torch.stack([state["there"] for state in states])
        off = (torch.stack([state["marks"] for state in states]) - marks).norm(dim=-1)
        off = torch.where(there, off, LOST).clamp(max=LOST).mean((0, 2))
        yield Curve("psnr, dB", arm, "frame", after, tuple(psnr.tolist()))
        yield Curve("marks off, short sides", arm, "frame", after, tuple(off.tolist()))
        yield Measured("psnr of the first block, dB", arm, float(psnr[:BLOCK].mean()))
        yield Measured("marks off at the end, short sides", arm, float(off[-LATE:].mean()))
        yield Measured("tfvd", arm, clip_distance(clip_features(video), known))
        yield Measured("frames read, end", arm, float(there[:, -LATE:, 0].float().mean()))


END = "marks off at the end, short sides"
PROOF = Proof(
    claim="Flow from a reference frame far back, given to a block-wise predictor, keeps motion right "
    "beyond its window; flow of the last frames does so less, and at first all are alike.",
    world="walker",
    arms=ARMS,
    expectations=(
        Expectation(END, "global", "local", 0.95, "what lies beyond the window is told"),
        Expectation(END, "local", "none", 0.95, "velocity is told"),
        Expectation("psnr of the first block, dB", "global", "none", 1.05, "no better at first"),
        Expectation("frames read, end", 0.8, "global", 1, "the last frames show a figure"),
    ),
    experiment=experiment,
    system="global",
    minutes=20,
)

train = alone("mv_diffusion", learn, "global")
