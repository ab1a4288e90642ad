"""Steps as places on rings: all steps whose longer direction has one length, clockwise from straight to the right."""

from __future__ import annotations


def polar(down: int, right: int) -> tuple[int, int]:
    """Return a step's length in its longer direction, and its place on the ring of the 8·length steps so long."""
    length = max(abs(down), abs(right))
    if right == length and 0 <= down < length:
        return length, down
    if down == length and right > -length:
        return length, 2 * length - right
    if right == -length and down > -length:
        return length, 4 * length - down
    if down == -length and right < length:
        return length, 6 * length + right
    return length, 8 * length + down


def cartesian(length: int, place: int) -> tuple[int, int]:
    """Return how far down and to the right a step goes."""
    if place < length:
        return place, length
    if place < 3 * length:
        return length, 2 * length - place
    if place < 5 * length:
        return 4 * length - place, -length
    if place < 7 * length:
        return -length, place - 6 * length
    return place - 8 * length, length
