"""Pages and their JavaScript, served by logic."""
