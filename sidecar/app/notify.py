"""Notifications: what `telemetry.digest` decides to say is posted from here, without ever holding anybody up.

Each receiver has a bounded queue and one task, which lives as long as there is something to post. The HTTP client is
imported in a thread when the first message is due: a sidecar that has nothing to say does not pay for it.
"""

import asyncio
import importlib
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, Final, cast

import msgspec

from sidecar import config, tasks
from sidecar.clock import MONOTONIC, WALL, Clock
from sidecar.telemetry.delivery import Delivery, Reply
from sidecar.telemetry.journal import Entry, Journal
from sidecar.telemetry.watched import Subjects

if TYPE_CHECKING:  # some 15 ms at the start, which only who notifies shall pay
    from sidecar.telemetry.digest import Digest
    from sidecar.telemetry.message import Message

TICK_EVERY: Final = 1.0
"""Seconds between two looks at what is due."""
WAITING: Final = 8
"""Messages that a receiver may be behind; then the oldest goes."""
LAST_WAIT: Final = 3.0
"""Seconds that an end gives to what is not sent yet."""

_log = logging.getLogger("sidecar")

Post = Callable[[str, bytes], Awaitable[Reply]]


async def post(url: str, body: bytes) -> Reply:
    """See `app.webhook.post`, which is imported with the first."""
    module = await asyncio.to_thread(importlib.import_module, "sidecar.app.webhook")
    return await cast("Post", module.post)(url, body)


class Receiver:
    """One webhook. sent, failed, dropped: messages that it took, tries that it did not, messages it never got."""

    def __init__(self, name: str, asked: config.Notify, digest: "Digest", post: Post, rng: Random) -> None:
        self.name = name
        self.asked = asked
        self.digest = digest
        self.sent = self.failed = self.dropped = 0
        self._post = post
        self._rng = rng
        self._host = socket.gethostname()
        self._queue: deque[bytes] = deque()
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._ill = False
        self._lost = False

    def offer(self, message: "Message") -> None:
        """Takes it for sending; returns at once."""
        from sidecar.telemetry.message import payload  # noqa: PLC0415 - see above

        if len(self._queue) >= WAITING:
            self._queue.popleft()
            self._give_up("too many wait before it")
        self._queue.append(msgspec.json.encode(payload(message, self.asked.format, self._host)))
        if self._task is None or self._task.done():
            self._task = tasks.spawn(self._work(), name=f"notify {self.name}")

    def hurry(self) -> asyncio.Task[None] | None:
        """Tries what waits once more, now, and no more after that. The task that does, if there is one."""
        self._hurry.set()
        return None if self._task is None or self._task.done() else self._task

    async def _work(self) -> None:
        try:
            while self._queue:
                await self._deliver(self._queue.popleft())
        except asyncio.CancelledError:
            self._give_up("the process ended")
            raise

    async def _deliver(self, body: bytes) -> None:
        delivery = Delivery(MONOTONIC(), self._rng)
        while True:
            reply = await self._try(body)
            if not reply.why:
                self._went_well()
                return
            self.failed += 1
            wait = None if self._hurry.is_set() else delivery.wait(reply, MONOTONIC())
            if wait is None:
                self._give_up(reply.why)
                return
            self._went_wrong(reply.why)
            try:
                await asyncio.wait_for(self._hurry.wait(), wait)
            except TimeoutError:
                continue

    async def _try(self, body: bytes) -> Reply:
        try:
            return await self._post(self.asked.webhook.reveal(), body)
        except Exception as error:  # noqa: BLE001 - whatever it is must not end the task, nor show what it holds
            return Reply(type(error).__name__)

    # Told once when it begins and once when it is over: a dead webhook must not fill the log.

    def _went_well(self) -> None:
        self.sent += 1
        if self._ill:
            self._say(logging.INFO, f"notifications to {self.name} are taken again", "sent")
        self._ill = self._lost = False

    def _went_wrong(self, why: str) -> None:
        if not self._ill:
            self._say(logging.WARNING, f"a notification to {self.name} failed and is tried again: {why}", "failed")
        self._ill = True

    def _give_up(self, why: str) -> None:
        self.dropped += 1
        if not self._lost:
            self._say(logging.ERROR, f"a notification to {self.name} was given up: {why}", "dropped")
        self._ill = self._lost = True

    def _say(self, level: int, text: str, result: str) -> None:
        _log.log(level, "%s", text, extra={"fields": {"event": "notify", "receiver": self.name, "result": result}})


class Notifier:
    """All receivers. Hears the journal from now on; `tick` is to be called every `TICK_EVERY` seconds."""

    def __init__(
        self,
        asked: Sequence[config.Notify],
        *,
        subjects: Callable[[], Subjects],
        journal: Journal,
        rng: Random,
        post: Post = post,
        clock: Clock = MONOTONIC,
        wall: Clock = WALL,
    ) -> None:
        self._subjects = subjects
        self._rng = rng
        self._post = post
        self._clock = clock
        self._wall = wall
        self._receivers: list[Receiver] = []
        self.change(asked)
        self._deaf = journal.listen(self._heard)

    def change(self, asked: Sequence[config.Notify]) -> None:
        """Another configuration: a receiver that is as before keeps what it knows and what it has still to send.

        One that is no more tries once again what waits for it.
        """
        before = {(receiver.name, receiver.asked): receiver for receiver in self._receivers}
        self._receivers = []
        for index, one in enumerate(asked):
            name = one.name or str(index)
            kept = before.pop((name, one), None)
            self._receivers.append(self._made(name, one) if kept is None else kept)
        for receiver in before.values():
            receiver.hurry()

    def tick(self) -> None:
        """Sends what is due."""
        for receiver in self._receivers:
            if (message := receiver.digest.tick()) is not None:
                receiver.offer(message)

    async def close(self, within: float = LAST_WAIT) -> None:
        """Sends what waits, within so many seconds."""
        self._deaf()
        for receiver in self._receivers:
            if (message := receiver.digest.last()) is not None:
                receiver.offer(message)
        working = [task for receiver in self._receivers if (task := receiver.hurry()) is not None]
        if working:
            _, late = await asyncio.wait(working, timeout=within)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def counts(self) -> Iterator[tuple[Sequence[str], float]]:
        """For `sidecar_notifications_total`, by receiver and result."""
        for receiver in self._receivers:
            yield (receiver.name, "sent"), receiver.sent
            yield (receiver.name, "failed"), receiver.failed
            yield (receiver.name, "dropped"), receiver.dropped

    def _heard(self, entry: Entry) -> None:
        for receiver in self._receivers:
            receiver.digest.heard(entry)

    def _made(self, name: str, asked: config.Notify) -> Receiver:
        from sidecar.telemetry.digest import Digest  # noqa: PLC0415 - see above

        digest = Digest(
            on=asked.on,
            window=asked.window,
            after=asked.after,
            subjects=self._subjects,
            clock=self._clock,
            wall=self._wall,
        )
        digest.tick()  # what was before is no news
        return Receiver(name, asked, digest, self._post, self._rng)
