"""Bytes to values and back. No Twisted, no clock, no I/O."""
