"""Try malformed streams of the edge codec: each must raise `BitstreamError` or be read, soon and in little memory.

Streams of several sizes are cut, flipped, spliced, filled with random bytes and given huge sizes; half of them are read
without looking at the checks, so that the decoders behind those are reached. Prints how many were tried and read, the
slowest, and the peak memory.

    .venv/bin/python benchmarks/edge_fuzz.py [--count 100000] [--seed 0]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from unittest.mock import patch

import numpy as np
from skimage.data import astronaut

from vcmbench.codecs.edge import Edge, stream
from vcmbench.codecs.edge.codec import NO_POINTS
from vcmbench.interfaces import BitstreamError

SECONDS, MEGABYTES = 1.0, 200
SIZES = ((32, 32), (48, 64), (96, 128), (256, 256))
NUMBERS = (0, 15, 40)
HUGE = ((1024, 1024), (32, 1024), (1024, 32), (1000, 777))


def corpus() -> list[bytes]:
    """Code parts of one picture in every size and number of points."""
    picture = astronaut()  # type: ignore[no-untyped-call]  # scikit-image has no type hints
    streams = []
    for height, width in SIZES:
        part = np.ascontiguousarray(picture[:height, 100 : 100 + width])
        streams += Edge.encode_many(part, [Edge(points=number) for number in NUMBERS])
    return streams


Mutation = Callable[[bytes, Sequence[bytes], np.random.Generator], bytes]


def cut(valid: bytes, _: Sequence[bytes], random: np.random.Generator) -> bytes:
    """End somewhere."""
    return valid[: random.integers(len(valid))]


def flip(valid: bytes, _: Sequence[bytes], random: np.random.Generator) -> bytes:
    """Change up to eight bits."""
    changed = bytearray(valid)
    for place in random.integers(8 * len(valid), size=random.integers(1, 9)).tolist():
        changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def splice(valid: bytes, others: Sequence[bytes], random: np.random.Generator) -> bytes:
    """Go on as another stream does."""
    other = others[int(random.integers(len(others)))]
    return valid[: random.integers(len(valid))] + other[random.integers(len(other)) :]


def fill(valid: bytes, _: Sequence[bytes], random: np.random.Generator) -> bytes:
    """Keep a beginning, and go on at random."""
    return valid[: random.integers(len(valid))] + random.bytes(int(random.integers(1, 600)))


def enlarge(valid: bytes, _: Sequence[bytes], random: np.random.Generator) -> bytes:
    """Pretend to be of a large image."""
    height, width = HUGE[random.integers(len(HUGE))]
    header = stream.write(height, width, [], NO_POINTS)[: stream.HEADER_BYTES]
    return header + valid[stream.HEADER_BYTES :]


MUTATIONS: tuple[Mutation, ...] = (cut, flip, splice, fill, enlarge)


def behind_unchecked(tried: bytes, end: int) -> int:
    """Take any check for right, where there is one."""
    if end + stream.CHECK_BYTES > len(tried):
        raise BitstreamError("edge: the stream ends inside a layer")
    return end + stream.CHECK_BYTES


def is_read(tried: bytes, *, with_checks: bool) -> bool:
    """Return whether a stream is read rather than refused."""
    try:
        with nullcontext() if with_checks else patch.object(stream, "behind_check", behind_unchecked):
            stream.read(tried)
    except BitstreamError:
        return False
    except Exception:
        print(f"raised by {tried.hex()}")
        raise
    return True


def main() -> None:
    """Try the streams."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    valid = corpus()
    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read, slowest = 0, 0.0
    for number in range(arguments.count):
        mutate = MUTATIONS[number % len(MUTATIONS)]
        tried = mutate(valid[random.integers(len(valid))], valid, random)
        start = time.process_time()
        read += is_read(tried, with_checks=bool(random.integers(2)))
        slowest = max(slowest, time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    more = (peak - peak_before) / 1024
    print(f"{arguments.count} streams tried, {read} read, slowest {slowest:.3f} s, {more:.0f} MB more at the peak")
    assert slowest < SECONDS
    assert more < MEGABYTES


if __name__ == "__main__":
    main()
