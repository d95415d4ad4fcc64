"""The postman: letters to channels."""

from functools import partial

from imd.comet.answer import Answer
from imd.comet.channel import Channel
from imd.comet.directory import Directory
from imd.comet.edition import Edition
from imd.comet.fanout import Fanout
from imd.comet.fate import Fate
from imd.comet.letters import Letters
from imd.comet.load import Load
from imd.comet.policy import SlowPolicy
from imd.comet.tally import Tally
from imd.metrics import Metrics
from imd.protocol.rpc import Item, Outcome
from imd.protocol.wire import Wire

_DELIVERED = Outcome(delivered=1)


class Postman:
    """Delivers letters. Apart from the few that need more it makes an object or two for each, and counts them together."""

    __slots__ = ("_directory", "_fanout", "_metrics", "_policy")

    def __init__(self, *, directory: Directory, fanout: Fanout, metrics: Metrics, policy: SlowPolicy) -> None:
        self._directory = directory
        self._fanout = fanout
        self._metrics = metrics
        self._policy = policy  # of keys

    def deliver(self, letters: Letters, most: int) -> int:
        """The first ``most`` of them, in order; how many there were. Never raises."""
        letters.begun = True
        taken = min(most, len(letters.items))
        done: list[tuple[Answer, int, Outcome]] = []
        delivered = 0
        for _ in range(taken):
            item, answer, place = letters.items.popleft()
            channel = self._directory.find(item.keys[0])
            if channel is None or (item.mids and channel.mid != item.mids[0]):
                outcome = Outcome(unknown=item.keys)
            else:
                outcome = self._hand(item, channel)
                delivered += outcome is _DELIVERED
            done.append((answer, place, outcome))
        if delivered:
            self._metrics.packets_offered.add(delivered, "keys")
            self._metrics.deliveries.add(delivered, "keys", Fate.DELIVERED.value)
        self._metrics.items_settled.add(taken)
        for answer, place, outcome in done:
            answer.settle(place, outcome)
        return taken

    def _hand(self, item: Item, channel: Channel) -> Outcome:
        """``_DELIVERED`` itself is not counted yet, any other is."""
        wire = Wire(item.packets)
        if channel.positions is None and item.operation in channel.accepts:
            load = Load(wire, packets=1, policy=self._policy, operation=item.operation)
            drop = self._fanout.hand(load, channel)
            if drop is None:
                return _DELIVERED
            tally = Tally()
            tally.offered = 1
            tally.add(drop)
        else:
            tally = Tally()
            edit = partial(self._edition, item)
            load = Load(wire, packets=1, policy=self._policy, operation=item.operation, edit=edit)
            self._fanout.spread(load, (channel,), tally)
        tally.count(self._metrics, "keys", 1)
        return tally.outcome(1)

    def _edition(self, item: Item) -> Edition:
        inboxes = dict(zip(item.keys, item.places, strict=True)) if item.places else None
        return Edition(item.packets, marks=item.marks or ((0, 0),), policy=self._policy, inboxes=inboxes)
