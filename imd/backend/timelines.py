"""What all stores of timelines have in common."""

HEAD_SECONDS = 7_776_000.0  # 90 days: how long the head of a timeline in which nothing is left is remembered
DEVICES = 1000  # positions that a timeline remembers
PAGE_BYTES = 1 << 20  # of messages in the answer to one read, and at most one message more
