"""The converter's version, which is part of what it writes: a change of output is a change of this number."""

VERSION = "0.1.0"
