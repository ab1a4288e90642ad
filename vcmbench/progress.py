"""How long work shows itself: a bar with rate and ETA on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm


class Progress:
    """Counts units of work towards a total."""

    def __init__(
        self, total: int, stream: TextIO | None = None, every_seconds: float = 30.0, unit: str = "images×settings"
    ) -> None:
        self._stream = stream or sys.stderr
        self._total = total
        self._unit = unit
        self._every = every_seconds
        self._start = self._last = time.monotonic()
        on_terminal = self._stream.isatty()
        self._bar = tqdm(total=total, unit=f" {unit}", file=self._stream, smoothing=0.05) if on_terminal else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def reach(self, done: int) -> None:
        """Show that `done` of the total are finished."""
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        if now - self._last >= self._every:
            self._last = now
            self._stream.write(in_words(done, self._total, now - self._start, self._unit) + "\n")


def in_words(done: int, total: int, seconds: float, unit: str = "images×settings") -> str:
    """How far work has come after so many seconds, its mean rate, and the time left at that rate."""
    counted = f"{done} of {total} {unit}"
    if done == 0 or seconds == 0:
        return f"{counted}, time left unknown"
    rate = done / seconds
    return f"{counted}, {rate:.1f}/s, {tqdm.format_interval(max(total - done, 0) / rate)} left"
