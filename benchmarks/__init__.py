"""What a delivery and a connection cost, against a bare loop of send() in C; ``python -m benchmarks``, docs/benchmarks.md.

In reading order: ``case.py`` what is measured; ``run.py`` how; ``subject.py`` the servers (``comet_server.py`` is a real comet
with a logic that agrees; ``write_server.py`` and ``c/send_loop.c`` are what it is compared with); ``c/load_client.c`` the
clients; ``measurement.py`` what counts as a result; ``report.py`` the tables.
"""
