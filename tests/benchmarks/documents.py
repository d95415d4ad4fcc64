"""A document with one of everything."""

from benchmarks.document import Document, Group, Mark, Plot, Refusal, Run, Table

RUN = Run("python -m benchmarks short", "2026-01-02T03:04:05Z", 12.5, {"cpu": "x < y", "cores": 2})
TABLE = Table(
    "delivery",
    "tcp × 10, flat out",
    ("µs", "× loop"),
    (("C loop", "4.00", "1.00"), ("imd | comet", "refused: 1 of 1 windows, others had 20%", "")),
    "µs: of CPU time.",
)
BARS = Plot(
    "cost",
    "What it costs",
    "× the C loop",
    "bars",
    (Group("tcp & co", (Mark("imd", (1.2,), "ours", 1.25), Mark("write", (2.4,), "other"))),),
    line=(1.0, "the C loop"),
)
SPANS = Plot("latency", "How long", "ms", "spans", (Group("tcp", (Mark("imd", (1, 20, 300)),)),), ("p50", "p99", "max"))
STACKED = Plot("memory", "Idle", "KiB", "stacked", (Group("tcp", (Mark("imd", (2, 7)),)),), ("process", "kernel"))
DOCUMENT = Document(
    (RUN,), (TABLE,), (BARS, SPANS, STACKED), (Refusal("tcp × 10, imd", ("others had 20%",)),), {"x": 1}
)
