"""Result rows: one per image × setting, whatever happened. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias, cast

from vcmbench.interfaces import Missing, Value
from vcmbench.pipeline.coding import Coded, Failure, Loaded
from vcmbench.pipeline.plan import Retry
from vcmbench.pipeline.scoring import FeatureValue
from vcmbench.run_index import SettingRecord

Row: TypeAlias = dict[str, object]

LONGEST_TEXT = 1000
"""Characters of a reason or value that are kept; a plug-in's message may quote all that it was given."""


def make_row(
    image: Mapping[str, object],
    size: int,
    loaded: Loaded | None,
    setting: SettingRecord,
    outcome: Coded | Failure,
    scores: Mapping[str, Value | FeatureValue],
) -> Row:
    """The row of one image × setting; an error row keeps its reason and has null metrics.

    `loaded` is None for an image that could not be read.
    """
    row: Row = {
        "image": image["image"],
        "identity": image["identity"],
        "setting": setting.key,
        "family": setting.family,
        "curve": setting.curve,
        "variant": setting.variant,
        "width": size,
        "height": size,
        "note": loaded.note if loaded else "",
        "source_hash": loaded.source_hash if loaded else None,
        "metric_errors": [],
    }
    if isinstance(outcome, Failure):
        return {**row, "status": "error", "error": _text(outcome.reason), "transient": outcome.transient}
    missing = {name: value for name, value in scores.items() if isinstance(value, Missing)}
    values = {name: value for name, value in scores.items() if name not in missing}
    return {
        **row,
        "bytes": outcome.bytes,
        "bpp": 8 * outcome.bytes / (size * size),
        "encode_ms": outcome.encode_ms,
        "decode_ms": outcome.decode_ms,
        "bitstream_hash": outcome.bitstream_hash,
        "decoded_hash": outcome.decoded_hash,
        "status": "ok",
        "transient": any(value.transient for value in missing.values()),
        "metric_errors": [(name, _text(value.reason)) for name, value in missing.items()],
        **{name: _text(value) if isinstance(value, str) else value for name, value in values.items()},
    }


def failed(row: Row, retry: Retry) -> bool:
    """Whether a row is one to try again."""
    return bool(row.get("transient")) or (retry == "errors" and row["status"] == "error")


def count_failed(rows: Sequence[Row], retry: Retry) -> dict[str, int]:
    """Setting key → its number of rows that are to be tried again; only settings that have some."""
    return dict(Counter(str(row["setting"]) for row in rows if failed(row, retry)))


def replaced_images(stored: Sequence[Row], fresh: Sequence[Row]) -> set[str]:
    """The images that were read again and are no longer those that the stored rows were computed from."""
    before = {row["image"]: row["source_hash"] for row in stored if row.get("source_hash")}
    read = {row["image"]: row["source_hash"] for row in fresh if row["source_hash"]}
    return {str(image) for image in before.keys() & read.keys() if before[image] != read[image]}


def _text(words: object) -> str:
    """Words as a column of text can hold them, whatever a plug-in gave."""
    return str(words)[:LONGEST_TEXT].encode(errors="replace").decode()


def without_superseded(stored: Sequence[Row], settings: Sequence[SettingRecord]) -> list[Row]:
    """The stored rows without those of a wanted variant's former keys, as it had with another version or library."""
    current = {setting.variant: setting.key for setting in settings}
    return [row for row in stored if current.get(str(row["variant"]), row["setting"]) == row["setting"]]


def not_deterministic(stored: Sequence[Row], fresh: Sequence[Row]) -> set[str]:
    """The settings that coded an image twice, the second time to other bytes or pixels; a failure proves nothing of that."""
    before = {_place(row): _outcome(row) for row in _coded(stored)}
    return {str(row["setting"]) for row in _coded(fresh) if before.get(_place(row), _outcome(row)) != _outcome(row)}


def recovered(stored: Sequence[Row], fresh: Sequence[Row]) -> set[tuple[str, str]]:
    """The image and setting of stored error rows that could be coded now."""
    return {_place(row) for row in stored if row["status"] == "error"} & {_place(row) for row in _coded(fresh)}


def recoded(stored: Sequence[Row], rows: Sequence[Row]) -> set[str]:
    """The settings of which an image has another bitstream than was stored, or had none."""
    before = {_place(row): row["bitstream_hash"] for row in _coded(stored)}
    return {str(row["setting"]) for row in _coded(rows) if before.get(_place(row)) != row["bitstream_hash"]}


def _coded(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["status"] == "ok"]


def _place(row: Row) -> tuple[str, str]:
    return str(row["image"]), str(row["setting"])


def _outcome(row: Row) -> tuple[object, ...]:
    return row.get("bitstream_hash"), row.get("decoded_hash")


def merge_rows(stored: Sequence[Row], fresh: Sequence[Row], gained: Mapping[str, Collection[str]]) -> list[Row]:
    """Stored rows with what was computed anew.

    A row of a setting in `gained` keeps every stored value and takes only those metric columns from its fresh row; any other
    fresh row replaces the stored one; rows that were not computed again stay as they are.
    """
    merged = {_place(row): row for row in stored}
    for row in fresh:
        place = _place(row)
        columns = gained.get(place[1])
        merged[place] = row if columns is None or place not in merged else _extend(merged[place], row, columns)
    return list(merged.values())


def retry_rows(stored: Sequence[Row], fresh: Sequence[Row]) -> list[Row]:
    """Stored rows with those that were tried again.

    One that could not be coded is replaced; one that only lacked values takes these, and stays as it is if the image cannot
    be coded any more.
    """
    rows = {_place(row): row for row in stored}
    for row in fresh:
        rows[_place(row)] = _retried(rows.get(_place(row)), row)
    return list(rows.values())


def _retried(stored: Row | None, fresh: Row) -> Row:
    if stored is None or stored["status"] == "error":
        return fresh
    if fresh["status"] == "error":
        return stored
    if _outcome(stored) != _outcome(fresh):
        return fresh
    return _extend(
        stored, fresh, [column for column, _ in _reasons(stored) if column in fresh or column in dict(_reasons(fresh))]
    )


def _extend(stored: Row, fresh: Row, columns: Collection[str]) -> Row:
    kept = [pair for pair in _reasons(stored) if pair[0] not in columns]
    values = {name: fresh.get(name) for name in columns}
    no_longer_coded = stored["status"] == "ok" and fresh["status"] == "error"
    reasons = [(name, str(fresh["error"])) for name in columns] if no_longer_coded else _reasons(fresh)
    transient = fresh["transient"] or (stored.get("transient") and (kept or stored["status"] == "error"))
    return {**stored, **values, "transient": bool(transient), "metric_errors": kept + reasons}


def _reasons(row: Row) -> list[tuple[str, str]]:
    return list(cast("list[tuple[str, str]]", row["metric_errors"]))
