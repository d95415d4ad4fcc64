"""Comets as job sees them: sockets that answer every batch, many in one process, with nobody connected to them.

``python -m benchmarks.simulated_comets --folder F --count N``. It says by a line of JSON that they listen, and
answers ``look`` with how many requests, and items in them, each of them got since it was asked last.
"""

import argparse
import json
import sys
from pathlib import Path

import zmq

from imd.protocol import rpc

OK = b"\0\0"


class SimulatedComet:
    """One ROUTER socket."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.bind(endpoint)
        self.requests = 0
        self.items = 0

    def answer(self) -> None:
        """All that is there: each item was delivered to somebody."""
        while self.socket.poll(0):
            peer, number, _method, _budget, body = self.socket.recv_multipart()
            batch = rpc.load(rpc.Batch, body)
            assert isinstance(batch, rpc.Batch)
            self.requests += 1
            self.items += len(batch.items)
            outcomes = rpc.Outcomes(tuple([rpc.Outcome(delivered=item.count) for item in batch.items]))
            self.socket.send_multipart([peer, number, OK, rpc.dump(outcomes)])


def endpoints(folder: Path, count: int) -> list[str]:
    """Where they listen."""
    return [f"ipc://{folder}/comet-{number}" for number in range(count)]


def main() -> None:
    """Until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    arguments = parser.parse_args()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    comets = [SimulatedComet(context, each) for each in endpoints(arguments.folder, arguments.count)]
    poller = zmq.Poller()
    by_socket = {comet.socket: comet for comet in comets}
    for socket in by_socket:
        poller.register(socket, zmq.POLLIN)
    poller.register(sys.stdin.fileno(), zmq.POLLIN)
    print(json.dumps({"event": "listening"}), flush=True)
    while True:
        for socket, _ in poller.poll():
            if socket in by_socket:
                by_socket[socket].answer()
            elif not sys.stdin.readline():
                context.destroy(linger=0)
                return
            else:
                seen = {"requests": [each.requests for each in comets], "items": [each.items for each in comets]}
                print(json.dumps({"event": "look", **seen}), flush=True)
                for comet in comets:
                    comet.requests = comet.items = 0


if __name__ == "__main__":
    main()
