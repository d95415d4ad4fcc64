"""README.md and docs/ are true: their examples are run, their tables compared with the code."""
