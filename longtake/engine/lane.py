"""Work beside the work: one thread that takes jobs in order, a few at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Lane(Generic[T]):
    """Jobs done by one other thread, in the order in which they came. room: most that are open at once.

    As a context it waits for all jobs at the end, or drops those not begun if the block has raised.
    """

    def __init__(self, name: str, room: int = 2) -> None:
        self._most = room
        self._open: deque[Future[T]] = deque()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"longtake-{name}")

    @property
    def room(self) -> int:
        """How many more jobs it takes now."""
        return self._most - len(self._open)

    @property
    def ready(self) -> bool:
        """Whether `take` has an answer at once."""
        return bool(self._open) and self._open[0].done()

    @property
    def idle(self) -> bool:
        """Whether every answer has been taken."""
        return not self._open

    def give(self, job: Callable[[], T]) -> None:
        """Takes a job; there must be room."""
        assert self.room > 0, "no room for another job"
        self._open.append(self._pool.submit(job))

    def take(self) -> T:
        """The oldest job's answer, or what it raised; waits for it."""
        answer = self._open[0].result()
        self._open.popleft()
        return answer

    def close(self) -> None:
        """Drops what has not begun and waits for what has, however often Ctrl-C is pressed.

        Whoever closes a lane may close what its jobs use: a file, say, of which a job has written half
        a packet.
        """
        pressed: KeyboardInterrupt | None = None
        while True:
            try:
                self._pool.shutdown(wait=True, cancel_futures=True)
                break
            except KeyboardInterrupt as error:
                pressed = error
        self._open.clear()
        if pressed is not None:
            raise pressed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            while kind is None and not self.idle:
                self.take()
        finally:
            self.close()
