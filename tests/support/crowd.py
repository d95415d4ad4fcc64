"""Many clients of version 2 that follow kept timelines, each the same way over every loss."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imd.client.client_v2 import ClientV2
from imd.client.core import Pushed
from imd.errors import PeerUnavailable
from imd.transport.dial import dial
from tests.support.following_client import FollowingClient
from tests.support.reactor import reactor

PATIENT_SECONDS = 30.0  # that most of them wait for an answer, that of a heartbeat too
IMPATIENT_SECONDS = 4.0  # the others
CONNECT_SECONDS = 4.0


class CrowdClient(FollowingClient):
    """One device."""

    def __init__(self, urls: Sequence[str], *, number: int, mid: int, rooms: Sequence[str], patient: bool) -> None:
        self.handled_at: list[float] = []  # of each of its bodies, the reactor's seconds
        self.url = ""  # that it dialled last
        self.cuts = 0  # connections that it hung up itself
        self.patient = patient
        self.mid = mid
        self.rooms = rooms
        self._client: ClientV2 | None = None  # None before the first
        self._dials = number + number // 2  # so that neighbours, and a member's devices, begin at different comets
        super().__init__(urls, mid=mid, key=f"device-{number}", rooms=rooms)

    async def _connect(self, on_push: Any) -> ClientV2:
        self.url = self._urls[self._dials % len(self._urls)]
        self._dials += 1
        self._client = await dial(
            ClientV2,
            self.url,
            reactor=reactor,
            on_push=on_push,
            connect_seconds=CONNECT_SECONDS,
            answer_seconds=PATIENT_SECONDS if self.patient else IMPATIENT_SECONDS,
        )
        return self._client

    def pushed(self, push: Pushed) -> None:
        super().pushed(push)
        self.handled_at.append(reactor.seconds())

    def cut(self) -> None:
        """As a phone that changes its network: hang up, and come back."""
        if self.steady.connected and self._client is not None and self._client.trouble is None:
            self.cuts += 1
            self._client.hang_up(PeerUnavailable("cut by the test"))

    @property
    def lost(self) -> int:
        """Connections that stood, and that others ended."""
        return self.steady.losses - self.cuts

    def clear(self) -> None:
        """Of what it was handed."""
        self.bodies.clear()
        self.handled_at.clear()


class Crowd:
    """``count`` clients, two devices of each member, one on TCP and one on WebSocket; a third of all are impatient.

    A device is in one or two rooms of about fifteen; ten members share each target of the back end.
    """

    def __init__(self, *, count: int, urls: Mapping[str, Sequence[str]]) -> None:
        """``urls``: of all comets, by transport; may change in place."""
        self.room_names = [f"chat://{number}" for number in range(max(1, count // 10))]
        self.clients = [
            CrowdClient(
                urls["tcp" if number % 2 else "ws"],
                number=number,
                mid=number // 2 + 1,
                rooms=self._rooms_of(number),
                patient=number % 3 > 0,
            )
            for number in range(count)
        ]

    def _rooms_of(self, number: int) -> list[str]:
        names = self.room_names
        return sorted({names[number % len(names)], names[(7 * number + number % 2) % len(names)]})

    async def end(self) -> None:
        for client in self.clients:
            client.steady.stop()
        for client in self.clients:
            await client.running

    @property
    def connected(self) -> int:
        return sum(client.steady.connected for client in self.clients)

    def clear(self) -> None:
        for client in self.clients:
            client.clear()

    # --- what it is to be sent

    @staticmethod
    def group(mid: int) -> int:
        return (mid - 1) // 10

    def targets(self) -> dict[str, object]:
        """name -> ``to`` of /v1/push: each room, and each ten members."""
        groups: dict[int, set[int]] = {}
        for client in self.clients:
            groups.setdefault(self.group(client.mid), set()).add(client.mid)
        return {name: {"room": name} for name in self.room_names} | {
            f"group{group}": {"mids": sorted(mids)} for group, mids in groups.items()
        }

    def wanted(self, client: CrowdClient) -> list[str]:
        """The targets that are for this one: its timelines."""
        return [*client.rooms, f"group{self.group(client.mid)}"]

    def has(self, accepted: Mapping[str, Sequence[bytes]]) -> bool:
        """Whether each was handed as many as it should be."""
        return all(self.has_all(client, accepted) for client in self.clients)

    def has_all(self, client: CrowdClient, accepted: Mapping[str, Sequence[bytes]]) -> bool:
        return len(client.bodies) >= sum(len(accepted[name]) for name in self.wanted(client))

    def faults(self, accepted: Mapping[str, Sequence[bytes]]) -> Iterator[str]:
        """What is wrong with what they were handed: nothing, if each has everything exactly once, in each timeline's order."""
        for client in self.clients:
            handed: dict[str, list[bytes]] = {}
            for body in client.bodies:
                handed.setdefault(body.rpartition(b" ")[0].decode(), []).append(body)
            for name in {*handed, *self.wanted(client)}:
                wanted = list(accepted[name]) if name in self.wanted(client) else []
                if handed.get(name, []) != wanted:
                    yield f"a device of {client.mid}: {name}: {_difference(handed.get(name, []), wanted)}"

    def longest_wait_seconds(self, accepted_at: Mapping[bytes, float]) -> float:
        """From the answer to the pusher until a client had it."""
        waits = (
            at - accepted_at[body]
            for client in self.clients
            for body, at in zip(client.bodies, client.handled_at, strict=True)
        )
        return max(waits, default=0.0)


def _difference(handed: Sequence[bytes], wanted: Sequence[bytes]) -> str:
    missing = [body for body in wanted if body not in set(handed)]
    twice = sorted({body for body in handed if handed.count(body) > 1})
    strange = [body for body in handed if body not in set(wanted)]
    return f"missing {missing[:5]} ({len(missing)}), twice {twice[:5]}, strange {strange[:5]}, else out of order"
