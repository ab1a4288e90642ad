"""Result rows: one per image × setting, whatever happened. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias, cast

from vcmbench.interfaces import Missing, Value
from vcmbench.pipeline.coding import Coded, Failure
from vcmbench.results import SettingRecord

Row: TypeAlias = dict[str, object]

LONGEST_REASON = 1000
"""Characters of a reason that are kept; a plug-in's message may quote all that it was given."""


def make_row(
    image: Mapping[str, object],
    size: int,
    note: str,
    setting: SettingRecord,
    outcome: Coded | Failure,
    scores: Mapping[str, Value],
) -> Row:
    """The row of one image × setting; an error row keeps its reason and has null metrics."""
    row: Row = {
        "image": image["image"],
        "identity": image["identity"],
        "setting": setting.key,
        "family": setting.family,
        "curve": setting.curve,
        "variant": setting.variant,
        "width": size,
        "height": size,
        "note": note,
        "metric_errors": [],
    }
    if isinstance(outcome, Failure):
        return {**row, "status": "error", "error": _reason(outcome.reason)}
    values = {name: value for name, value in scores.items() if not isinstance(value, Missing)}
    reasons = [(name, _reason(value.reason)) for name, value in scores.items() if isinstance(value, Missing)]
    return {
        **row,
        "bytes": outcome.bytes,
        "bpp": 8 * outcome.bytes / (size * size),
        "encode_ms": outcome.encode_ms,
        "decode_ms": outcome.decode_ms,
        "bitstream_hash": outcome.bitstream_hash,
        "decoded_hash": outcome.decoded_hash,
        "status": "ok",
        "metric_errors": reasons,
        **values,
    }


def _reason(words: object) -> str:
    """A reason as a column of text can hold it, whatever a plug-in gave for one."""
    return str(words)[:LONGEST_REASON].encode(errors="replace").decode()


def without_superseded(stored: Sequence[Row], settings: Sequence[SettingRecord]) -> list[Row]:
    """The stored rows without those of a wanted variant's former keys, as it had with another version or library."""
    current = {setting.variant: setting.key for setting in settings}
    return [row for row in stored if current.get(str(row["variant"]), row["setting"]) == row["setting"]]


def differing_settings(stored: Sequence[Row], fresh: Sequence[Row]) -> set[str]:
    """The settings of which a row was coded again and came out otherwise than it is stored.

    A row that could not be coded again says nothing of the stored one, which stays.
    """
    before = {_place(row): _outcome(row) for row in stored}
    return {str(row["setting"]) for row in _coded(fresh) if before.get(_place(row), _outcome(row)) != _outcome(row)}


def not_deterministic(stored: Sequence[Row], fresh: Sequence[Row]) -> set[str]:
    """The settings that coded an image twice, the second time to other bytes or pixels; a failure proves nothing of that."""
    return differing_settings(_coded(stored), _coded(fresh))


def _coded(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["status"] == "ok"]


def _place(row: Row) -> tuple[str, str]:
    return str(row["image"]), str(row["setting"])


def _outcome(row: Row) -> tuple[object, ...]:
    return row["status"], row.get("bitstream_hash"), row.get("decoded_hash")


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


def _extend(stored: Row, fresh: Row, columns: Collection[str]) -> Row:
    kept = [pair for pair in _reasons(stored) if pair[0] not in columns]
    values = {name: fresh.get(name) for name in columns}
    failed = stored["status"] == "ok" and fresh["status"] == "error"
    reasons = [(name, str(fresh["error"])) for name in columns] if failed else _reasons(fresh)
    return {**stored, **values, "metric_errors": kept + reasons}


def _reasons(row: Row) -> list[tuple[str, str]]:
    return list(cast("list[tuple[str, str]]", row["metric_errors"]))
