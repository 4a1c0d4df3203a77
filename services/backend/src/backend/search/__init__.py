"""Search over own conversions, by meaning or by text."""
