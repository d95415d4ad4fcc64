"""What `twistd --help` lists. Dotted strings only: an import error here would greet every user of twistd."""

from twisted.application.service import ServiceMaker

imd = ServiceMaker(
    "imd",
    "imd.service.standalone",
    "All of imd in one process on embedded backends: connections, HTTP API and delivery.",
    "imd",
)
imd_comet = ServiceMaker(
    "imd-comet",
    "imd.service.comet",
    "imd's edge: holds the clients' TCP and WebSocket connections and writes pushes to them.",
    "imd-comet",
)
imd_logic = ServiceMaker(
    "imd-logic",
    "imd.service.logic",
    "imd's brain: authenticates clients, keeps presence, accepts pushes over HTTP.",
    "imd-logic",
)
imd_job = ServiceMaker(
    "imd-job",
    "imd.service.job",
    "imd's hands: takes pushes off the broker and hands them to the comets.",
    "imd-job",
)
