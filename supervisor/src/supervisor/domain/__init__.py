"""Pure decisions: what is known in, what to do out. Standard library only; no clock, no log, no await."""
