"""Steps computed by actors on a Ray cluster."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from longtake.engine.executors.here import Result, Task
from longtake.engine.executors.parcels import Hand, Losses, Make, Pulse, parcel_of, result_of
from longtake.errors import MachineError

LOOK = 10.0  # seconds between looks at workers that do not answer
PATIENCE = 300.0  # seconds after which a worker that does nothing is taken for hanging


@dataclasses.dataclass
class Actor:
    """An actor, the task it has in hand, and a question how much processor time it has used."""

    hand: Any
    task: Task
    pulse: Pulse = dataclasses.field(default_factory=Pulse)
    asked: Any = None
    used: float = 0.0


class Ray:
    """Workers on a Ray cluster, each with a system of its own and as many threads as this process has.

    address: of the cluster ("": one on this machine). gpu: workers hold a GPU each. most: at most so
    many workers, however large the cluster.
    A worker that dies or hangs is replaced and its step begun again, once.
    """

    def __init__(
        self, address: str, make: Make, *, gpu: bool = False, most: int | None = None
    ) -> None:
        try:
            ray = importlib.import_module("ray")
        except ImportError:
            raise MachineError("ray is not installed", "--executor", "pip install ray") from None
        self._ray: Any = ray
        if not ray.is_initialized():
            try:
                ray.init(address=address or None, log_to_driver=False)
            except (ConnectionError, ValueError) as error:
                raise MachineError("no Ray cluster answers", address, "ray") from error
        self._make, self._gpu, self._losses = make, gpu, Losses()
        self._cores, size = self._shares()
        self._size = size if most is None else min(size, most)
        self._idle: list[Any] = []
        self._busy: dict[Any, Actor] = {}

    def room(self) -> int:
        """Workers without work."""
        return self._size - len(self._busy)

    def submit(self, task: Task) -> None:
        """Hands the task to a worker."""
        hand = self._idle.pop() if self._idle else self._hired()
        self._busy[hand.answer.remote(parcel_of(task))] = Actor(hand, task)

    def wait(self) -> Result:
        """The first answer to come; MachineError if a step has cost two workers."""
        while True:
            ready, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=LOOK)
            if not ready:
                self._look()
                continue
            actor = self._busy.pop(ready[0])
            try:
                reply = self._ray.get(ready[0])
            except self._ray.exceptions.RayError as error:
                self._replace(actor, type(error).__name__)
                continue
            self._idle.append(actor.hand)
            return result_of(reply, actor.task, self._losses.of(actor.task))

    def close(self) -> None:
        """Ends the workers; the cluster goes on."""
        for hand in (*self._idle, *(actor.hand for actor in self._busy.values())):
            self._ray.kill(hand)
        self._idle.clear()
        self._busy.clear()

    def _shares(self) -> tuple[int, int]:
        """Cores of a worker, and how many workers the cluster has room for."""
        import torch

        total = self._ray.cluster_resources()
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        largest = max((int(node.get("CPU", 0)) for node in nodes), default=1)
        cores = max(1, min(torch.get_num_threads(), largest))
        kind, each = ("GPU", 1) if self._gpu else ("CPU", cores)
        return cores, max(1, int(total.get(kind, 1)) // each)

    def _hired(self) -> Any:
        import torch

        # two calls at once, so that it can be asked for a sign of life while it works
        options = {"num_cpus": self._cores, "num_gpus": int(self._gpu), "max_concurrency": 2}
        kind = self._ray.remote(Hand).options(**options)
        return kind.remote(self._make, torch.get_num_threads())

    def _look(self) -> None:
        """Replaces workers that hang."""
        for answer, actor in tuple(self._busy.items()):
            if actor.asked is None:
                actor.asked = actor.hand.used.remote()
            elif self._ray.wait([actor.asked], timeout=0)[0]:
                try:
                    actor.used = self._ray.get(actor.asked)
                except self._ray.exceptions.RayError:
                    continue  # its answer says so as well
                actor.asked = None
            if actor.pulse.stopped(actor.used, PATIENCE):
                del self._busy[answer]
                self._ray.kill(actor.hand)
                self._replace(actor, "it did nothing any more")

    def _replace(self, actor: Actor, why: str) -> None:
        self._losses.note(actor.task, why)
        hand = self._hired()
        self._busy[hand.answer.remote(parcel_of(actor.task))] = Actor(hand, actor.task)
