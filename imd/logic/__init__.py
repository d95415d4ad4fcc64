"""The brain: who is who, who is where, what goes where."""
