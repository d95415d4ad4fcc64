"""What imd costs, against the least that it could cost; ``python -m benchmarks``, docs/benchmarks.md.

In reading order: ``__main__.py`` the commands; ``case.py`` what fan-out is measured with; ``run.py`` how; ``subject.py`` the
servers (``comet_server.py`` is a real comet with a logic that agrees; ``write_server.py`` and ``c/send_loop.c`` are what it is
compared with); ``clients.py`` and ``c/load_client.c`` the clients; ``measurement.py`` what counts as a result; ``figures.py``
the tables and plots of it. Every benchmark ends in a ``document.py``, of which ``text.py``, ``page.py`` and ``svg.py`` make
something to read.
"""
