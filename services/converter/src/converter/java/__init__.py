"""Java resource formats with rules of their own: block models and their parents, block states. Pure readers."""
