"""Keeps the stack alive, scales it, deploys to it, and says why."""
