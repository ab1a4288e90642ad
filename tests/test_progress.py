"""How long work shows itself."""

from __future__ import annotations

import contextlib
import io
import os
import re
import time

import pytest

from vcmbench.progress import Progress, in_words


@pytest.mark.parametrize(
    ("done", "total", "seconds", "words"),
    [
        (12, 48, 4, "12 of 48 images×settings, 3.0/s, 00:12 left"),
        (1, 7201, 0.5, "1 of 7201 images×settings, 2.0/s, 1:00:00 left"),
        (48, 48, 96, "48 of 48 images×settings, 0.5/s, 00:00 left"),
        (50, 48, 25, "50 of 48 images×settings, 2.0/s, 00:00 left"),
        (0, 48, 4, "0 of 48 images×settings, time left unknown"),
    ],
)
def test_the_rate_is_the_mean_and_tells_the_time_left(done: int, total: int, seconds: float, words: str) -> None:
    """What is done by the time it took; work that was done twice leaves nothing, and no work leaves it open."""
    assert in_words(done, total, seconds) == words


def test_a_pipe_gets_whole_lines_now_and_then() -> None:
    """Without a terminal there is a line for each interval that passed, however often progress is told."""
    pipe = io.StringIO()
    with Progress(100, pipe, every_seconds=0.2) as progress:
        progress.reach(1)
        assert pipe.getvalue() == ""
        time.sleep(0.25)
        progress.reach(50)
        progress.reach(51)
    assert re.fullmatch(r"50 of 100 images×settings, \d+\.\d/s, 00:00 left\n", pipe.getvalue())


def test_a_terminal_gets_a_bar_with_rate_and_time_left() -> None:
    """On a terminal the bar is redrawn in place."""
    controller, terminal = os.openpty()
    with os.fdopen(terminal, "w", encoding="utf-8") as stream, Progress(100, stream) as progress:
        time.sleep(0.15)  # the bar is not redrawn more often than ten times a second
        progress.reach(25)
        time.sleep(0.15)
        progress.reach(50)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux reports the end
        while chunk := os.read(controller, 65536):
            shown += chunk
    os.close(controller)
    assert re.search(r"\r +50%\|.*\| 50/100 \[\d\d:\d\d<\d\d:\d\d, +\d+\.\d+ images×settings/s\]", shown.decode())
