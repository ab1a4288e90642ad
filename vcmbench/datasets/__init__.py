"""The built-in data sets: one file per kind, found by scanning this folder."""
