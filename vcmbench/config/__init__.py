"""The job file: its spelling, its checks, and what it resolves to. The only place that knows YAML keys."""
