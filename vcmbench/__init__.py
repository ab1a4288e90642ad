"""vcmbench: benchmark face-image codecs for human and machine vision."""

__version__ = "0.1.0"
