"""The hands: from the broker to the comets."""
