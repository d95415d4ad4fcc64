"""The table of moves."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.state import MOVES, OVER, Event, State


class StateTests(SynchronousTestCase):
    """What moves a session."""

    def test_whole_product(self) -> None:
        """Each pair moves on, or is no move at all: no state is left and come back to."""
        moves = {
            State.HANDSHAKE: {Event.AUTH: State.AUTHENTICATING, Event.CLOSE: State.CLOSING, Event.LOSE: State.CLOSED},
            State.AUTHENTICATING: {
                Event.ENTER: State.RESUMING,
                Event.ADMIT: State.OPEN,
                Event.CLOSE: State.CLOSING,
                Event.LOSE: State.CLOSED,
            },
            State.RESUMING: {Event.ADMIT: State.OPEN, Event.CLOSE: State.CLOSING, Event.LOSE: State.CLOSED},
            State.OPEN: {Event.CLOSE: State.CLOSING, Event.LOSE: State.CLOSED},
            State.CLOSING: {Event.LOSE: State.CLOSED},
            State.CLOSED: {},
        }
        for state in State:
            for event in Event:
                self.assertIs(MOVES.get((state, event)), moves[state].get(event), (state, event))

    def test_over_is_what_cannot_be_closed(self) -> None:
        """A close of what is over has no move: the session ignores it."""
        for state in State:
            self.assertEqual(state in OVER, (state, Event.CLOSE) not in MOVES)
