"""BD values, iso-rate values and task rates of a whole report, with bootstrap intervals, on one core.

Twenty curves of five settings, sixteen metrics, a thousand replicates: every curve against one anchor, read at the anchor's
rates, and at two levels of each metric. The numbers are synthetic; replicates differ by a few per cent.

    .venv/bin/python benchmarks/bd.py [--curves 20] [--points 5] [--metrics 16] [--replicates 1000] [--repeat 3]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from measuring import keep_to_cores, machine, print_table, spread

from vcmbench.reports.bd import bd_quality, bd_rate
from vcmbench.reports.curves import Curve, measured_curve
from vcmbench.reports.matched_rate import at_points_of, rate_for

IDENTITIES = 500
LEVELS = (30.0, 33.0)
SECONDS_ALLOWED = 10


def make_curve(name: str, points: int, replicates: int, generator: np.random.Generator) -> Curve:
    """A curve of about 24 to 36 dB at 0.1 to 1.6 bits per pixel."""
    rates = np.geomspace(0.1, 1.6, points) * generator.uniform(0.8, 1.25)
    values = np.linspace(24, 36, points) + generator.uniform(-1, 1)
    return measured_curve(
        name,
        [f"{name} {place}" for place in range(points)],
        rates,
        values,
        "higher",
        rates * np.exp(generator.normal(scale=0.02, size=(replicates, 1))),
        values + generator.normal(scale=0.3, size=(replicates, 1)),
    )


def main() -> None:
    """Time each table in turn, and print the medians and their sum."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--curves", type=int, default=20)
    parser.add_argument("--points", type=int, default=5)
    parser.add_argument("--metrics", type=int, default=16)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    keep_to_cores(1)
    print(machine("numpy", "scipy"))

    generator = np.random.default_rng(0)
    metrics = [
        [make_curve(f"curve {number}", options.points, options.replicates, generator) for number in range(options.curves)]
        for _ in range(options.metrics)
    ]
    tables: dict[str, Callable[[Curve, Curve], object]] = {
        "BD-rate": lambda anchor, test: bd_rate(anchor, test, IDENTITIES),
        "BD-quality": lambda anchor, test: bd_quality(anchor, test, IDENTITIES),
        "iso-rate": lambda anchor, test: at_points_of(anchor, test, IDENTITIES),
        "rate for the task": lambda _, test: [rate_for(test, level, IDENTITIES) for level in LEVELS],
    }
    seconds: dict[str, list[float]] = {name: [] for name in tables}
    for _ in range(options.repeat):
        for name, make in tables.items():
            start = time.process_time()
            for curves in metrics:
                for test in curves:
                    make(curves[0], test)
            seconds[name].append(time.process_time() - start)
    totals = [sum(each) for each in zip(*seconds.values(), strict=True)]
    print(f"{options.curves} curves of {options.points} × {options.metrics} metrics × {options.replicates:,} replicates\n")
    print_table(["table", "CPU s"], [[name, spread(each)] for name, each in seconds.items()] + [["all", spread(totals)]])
    print(f"\nallowed: {SECONDS_ALLOWED} s; {'kept' if max(totals) <= SECONDS_ALLOWED else 'exceeded'}")


if __name__ == "__main__":
    main()
