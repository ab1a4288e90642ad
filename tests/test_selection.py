"""Selecting and ordering the images of a listing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from vcmbench.datasets.listing import COLUMNS
from vcmbench.datasets.selection import Selection, select
from vcmbench.interfaces import UsageError

COUNT = 3000


def listing(count: int = COUNT, rows: int = 700) -> Iterator[pa.RecordBatch]:
    """A listing of 30 people in turns with square boxes from 0 to 99 pixels; every fifth image has no box or identity."""
    for start in range(0, count, rows):
        numbers = range(start, min(start + rows, count))
        sizes = [None if number % 5 == 0 else float(number % 100) for number in numbers]
        columns = {
            "image": [f"face {number}" for number in numbers],
            "path": [f"/{number}" for number in numbers],
            "identity": [None if number % 5 == 0 else f"person {number % 30}" for number in numbers],
            "box_x": sizes,
            "box_y": sizes,
            "box_width": [size and size + 1 for size in sizes],
            "box_height": sizes,
            "number": list(numbers),
        }
        yield pa.record_batch(columns, schema=pa.schema([*COLUMNS, ("number", pa.int16())]))


def selected(**options: Any) -> list[dict[str, Any]]:
    return [row for batch in select(listing(), Selection(**options)) for row in batch.to_pylist()]


def key(seed: int, name: str) -> str:
    return hashlib.md5(f"{seed}:{name}".encode(), usedforsecurity=False).hexdigest()


def test_the_order_is_that_of_the_seeded_hash() -> None:
    """All rows come, whole, in the order of md5("seed:image"), with the shorter side of the box."""
    rows = selected(seed=7)
    assert [row["image"] for row in rows] == sorted(
        (f"face {number}" for number in range(COUNT)), key=lambda name: key(7, name)
    )
    for row in rows:
        assert row["image"] == f"face {row['number']}"
        assert row["face_size"] == row["box_height"] == (None if row["number"] % 5 == 0 else row["number"] % 100)


def test_a_larger_limit_appends() -> None:
    """Each limit takes a prefix of the whole order; a limit beyond the end takes everything."""
    everything = selected()
    assert selected(limit=10) == everything[:10]
    assert selected(limit=1234) == everything[:1234]
    assert selected(limit=10 * COUNT) == everything


def test_the_seed_changes_the_order() -> None:
    """Another seed takes other images."""
    assert {row["image"] for row in selected(limit=50)} != {row["image"] for row in selected(limit=50, seed=1)}


def test_every_part_is_a_fair_sample() -> None:
    """Among any 300 rows in sequence each of ten equal parts of the listing is found about 30 times."""
    rows = selected()
    for start in range(0, COUNT, 300):
        found = Counter(row["number"] // 300 for row in rows[start : start + 300])
        assert all(10 < found[part] < 60 for part in range(10))


def test_columns_keep_their_types() -> None:
    """The result has the listing's columns and types, then face_size."""
    schema = next(select(listing(), Selection(limit=1))).schema
    assert schema == pa.schema([*next(listing()).schema, ("face_size", pa.float32())])


def test_columns_are_told_apart_by_name() -> None:
    """A batch with its columns in another order is read all the same."""
    first, *others = listing()
    shuffled = [batch.select(first.schema.names[::-1]) for batch in others]
    rows = [row for batch in select(iter([first, *shuffled]), Selection()) for row in batch.to_pylist()]
    assert rows == selected()


def test_named_identities_are_kept() -> None:
    """Only the images of the named people are taken, in the usual order."""
    wanted = ("person 7", "person 12")
    assert selected(identities=wanted) == [row for row in selected() if row["identity"] in wanted]


def test_a_number_of_identities_takes_the_first_in_seeded_order() -> None:
    """More identities contain fewer ones, and more than there are take all; images without identity are dropped."""
    everyone = sorted({f"person {number}" for number in range(30) if number % 5}, key=lambda name: key(3, name))
    for number in (1, 4, 99):
        assert {row["identity"] for row in selected(identities=number, seed=3)} == set(everyone[:number])


def test_small_faces_are_dropped() -> None:
    """From min_face on a face is large enough; images without a box are dropped only if there is a min_face."""
    assert {row["face_size"] for row in selected(min_face=97)} == {97, 98, 99}
    assert None in {row["face_size"] for row in selected(min_face=0)}


def test_filters_combine_with_a_limit() -> None:
    """The limit counts what the filters left."""
    options: dict[str, Any] = {"identities": 10, "min_face": 50, "seed": 2}
    assert selected(**options, limit=20) == selected(**options)[:20]
    assert len(selected(**options, limit=20)) == 20


def test_a_name_used_twice_is_named() -> None:
    """Two images of one name, in different batches, stop the run whatever its limit."""
    twice = pa.record_batch(next(listing(5)).columns, schema=next(listing()).schema)
    with pytest.raises(UsageError, match=r"two images are called face \d;"):
        next(select(iter([*listing(), twice]), Selection(limit=1)))


def test_unknown_identities_are_named() -> None:
    """Every unknown name is in the message, with one that is known."""
    with pytest.raises(UsageError, match="no identity is called no-one, nobody; the data set has 24, such as person 1"):
        selected(identities=("person 1", "no-one", "nobody"))


def test_what_leaves_nothing_is_named() -> None:
    """An empty result says which filter emptied it, how many images it had, and what to do."""
    with pytest.raises(UsageError, match="min_face 200 leaves none of 3,000 images: the largest face has 99 pixels; lower"):
        selected(min_face=200)
    with pytest.raises(UsageError, match="min_face 100 leaves none of 100 images: the largest face has 97"):
        selected(identities=("person 7",), min_face=100)
    boxless = next(listing(1))
    with pytest.raises(UsageError, match="min_face 5 leaves none of 1 images: none has a face box"):
        next(select(iter([boxless]), Selection(min_face=5)))
    with pytest.raises(UsageError, match="names no identity"):
        next(select(iter([boxless]), Selection(identities=2)))
    with pytest.raises(UsageError, match="lists no image"):
        next(select(iter([]), Selection()))


def test_an_error_of_the_listing_passes_through() -> None:
    """What a data set raises while it lists reaches the user as it is."""

    def broken() -> Iterator[pa.RecordBatch]:
        yield from listing()
        raise UsageError("the list ends in the middle")

    with pytest.raises(UsageError, match=r"^the list ends in the middle$"):
        next(select(broken(), Selection()))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"limit": 0}, "limit must be at least 1"),
        ({"identities": 0}, "identities must be"),
        ({"identities": ()}, "identities must be"),
        ({"min_face": -1}, "min_face must be"),
        ({"min_face": float("nan")}, "min_face must be"),
    ],
)
def test_an_impossible_selection_is_refused(options: dict[str, Any], reason: str) -> None:
    """Numbers that select nothing are usage errors at once."""
    with pytest.raises(UsageError, match=reason):
        Selection(**options)
