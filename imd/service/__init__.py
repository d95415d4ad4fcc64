"""Composition roots: what stands behind each seam, and the order of start and stop."""
