"""imd: instant messaging and push over TCP and WebSocket.

A client's bytes come in through ``transport``, become packets in ``protocol``, and meet a session in ``comet``, which asks
``logic`` who the client is. A back end's push comes in through ``transport`` as HTTP, is accepted by ``logic`` into a broker
from ``backend``, and is taken from there by ``job``, which hands it to the comets that need it. What is kept is in a timeline
before it is in the broker: a client that was away, or is behind, reads it there, through ``comet`` and ``logic``. ``service``
puts the parts together into the processes that twistd runs; ``client`` is the other end of the wire, ``ctl`` the operator's
command line, ``web`` the page that logic serves; ``ledger`` says whether nothing is missing. Which way imports point is a law:
``tests/test_architecture.py``.
"""

__version__ = "0.1.0"
