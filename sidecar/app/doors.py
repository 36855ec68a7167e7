"""Every address that callers are taken at: bound at the start, and changed while the process serves."""

import asyncio
import logging
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from sidecar import config
from sidecar.app.bind import bind, renewal_of
from sidecar.app.diff import by_address
from sidecar.app.systemd import is_for
from sidecar.wire.farewell import bid
from sidecar.wire.listener import Listener
from sidecar.wire.renewal import Renewal
from sidecar.wire.shared import Server

_log = logging.getLogger("sidecar")


@dataclass(slots=True)
class Door:
    """One of them. renewal: what keeps its certificate fresh, if it has one."""

    asked: config.Listen
    listener: Listener
    renewal: Renewal | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be open. Everything that can fail has been done: `bound` are new, `renewals` for those that stay."""

    doors: dict[str, Door]
    bound: list[Door]
    renewals: dict[str, Renewal]

    def give_up(self) -> None:
        """Unbinds what was bound for it."""
        for door in self.bound:
            door.listener.stop()


class Doors:
    """Of one process. `server`: what all their connections share. `inherited`: sockets that were handed in."""

    def __init__(self, server: Server, inherited: Iterable[socket.socket] = ()) -> None:
        self._server = server
        self._inherited = tuple(inherited)
        self._doors: dict[str, Door] = {}

    @property
    def listeners(self) -> list[Listener]:
        """As they are now, in the order of the file."""
        return [door.listener for door in self._doors.values()]

    @property
    def renewals(self) -> list[tuple[Listener, Renewal]]:
        """Of those that have a certificate."""
        return [(door.listener, door.renewal) for door in self._doors.values() if door.renewal is not None]

    async def plan(self, listens: Iterable[config.Listen]) -> Plan:
        """Binds what is not bound yet, and leaves all others as they are.

        Raises:
            CannotStart: an address can't be bound, or a certificate not be used; then nothing is bound either.
        """
        plan = Plan({}, [], {})
        try:
            for name, asked in by_address(listens).items():
                plan.doors[name] = await self._door(name, asked, plan)
        except BaseException:
            plan.give_up()
            raise
        return plan

    async def _door(self, name: str, asked: config.Listen, plan: Plan) -> Door:
        there = self._doors.get(name)
        if there is None:
            handed = next((sock for sock in self._inherited if is_for(sock, asked)), None)
            door = Door(asked, *await bind(asked, self._server, handed))
            plan.bound.append(door)
            return door
        if asked.tls is not None and asked != there.asked:
            plan.renewals[name] = await asyncio.to_thread(renewal_of, asked.tls)
        return Door(asked, there.listener, plan.renewals.get(name, there.renewal))

    def follow(self, plan: Plan) -> list[Listener]:
        """Makes it so; what is returned is for the caller to retire."""
        left = [door.listener for name, door in self._doors.items() if name not in plan.doors]
        for name, renewal in plan.renewals.items():
            presenting = plan.doors[name].listener.tls
            assert presenting is not None
            presenting.present(renewal)
        self._doors = plan.doors
        return left

    async def hand_over(self) -> None:
        """Leaves those callers who come to others that listen at the same addresses, where there are any.

        Those who are here are told, with their next answer, to come anew: wherever that leads them.
        """
        for connection in list(self._server.connections):
            bid(connection)
        for name, door in list(self._doors.items()):
            if await door.listener.hand_over():
                del self._doors[name]
                _log.info("handed over %s", door.listener.address)

    def unasked(self) -> list[str]:
        """Of the sockets that were handed in, those that the configuration does not name."""
        asked = [door.asked for door in self._doors.values()]
        return [
            str(sock.getsockname()) for sock in self._inherited if not any(is_for(sock, listen) for listen in asked)
        ]

    def close(self) -> None:
        """All of them, with every connection that carries no request."""
        for listener in self.listeners:
            listener.stop()
        for connection in list(self._server.connections):
            connection.close_if_idle()
