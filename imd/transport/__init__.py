"""Speaks a wire to a peer."""
