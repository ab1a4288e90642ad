"""How long work shows itself: a bar with rate and ETA on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm


class Progress:
    """Counts images × settings towards a total."""

    def __init__(self, total: int, stream: TextIO | None = None, every_seconds: float = 30.0) -> None:
        self._stream = stream or sys.stderr
        self._total = total
        self._every = every_seconds
        self._start = self._last = time.monotonic()
        on_terminal = self._stream.isatty()
        self._bar = tqdm(total=total, unit=" images×settings", file=self._stream, smoothing=0.05) if on_terminal else None

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
            self.say(self._line(done, now - self._start))

    def say(self, line: str) -> None:
        """Print a line without tearing the bar."""
        tqdm.write(line, file=self._stream)

    def _line(self, done: int, seconds: float) -> str:
        rate = done / seconds
        remaining = f"{(self._total - done) / rate:.0f} s left" if rate else "time left unknown"
        return f"{done} of {self._total} images×settings, {rate:.1f}/s, {remaining}"
