"""The installed reactor, for tests that need real time, threads or sockets."""

from typing import Any

from twisted.internet import reactor as installed

reactor: Any = installed  # Twisted types it as the little that every reactor has
