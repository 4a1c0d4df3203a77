"""Takes conversions from the queue, runs the converter on each, and stores what comes of it exactly once."""
