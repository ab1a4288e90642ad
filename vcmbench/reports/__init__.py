"""From a run directory to tables, curves and a page; imports neither torch nor Ray."""
