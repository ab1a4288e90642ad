"""What the golden run's page should say in sentences and lists: counts, reasons, conventions, provenance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
from golden import DRAWS, FEWEST_PEOPLE, Golden
from golden_compared import FEWEST_FOR_BD
from golden_page import NUMBER
from golden_tables import FAILED, SLICES

FEWEST_IN_A_SLICE, MOST_VALUES = 10, 8
BETTER = {1: "higher is better", -1: "lower is better", 0: "no better direction"}


def shards(golden: Golden) -> Iterator[str]:
    """That the run is not finished."""
    total = pd.read_parquet(golden.folder / "manifest.parquet")["shard"].nunique()
    yield f"Partial run: {golden.number('manifest', of='DISTINCT shard')} of {total} shards complete."


def caption(golden: Golden) -> Iterator[str]:
    """What the table's means are over, and what is missing."""
    images, people = (golden.number("rows", of=f"DISTINCT {name}") for name in ("image", "identity"))
    common = golden.n("bpp")
    yield from shards(golden)
    yield f"Means are over the images that every compared setting coded: {common} of {images} (identities: {people})."
    yield "Bold: the best mean of a column, and those whose difference from it is 0 within the paired 95 % interval."
    counts = {column.title: golden.n(name) for name, column in golden.columns.items() if not column.is_of_sets}
    fewer = ", ".join(f"{title} {n}" for title, n in counts.items() if n < common)
    yield f"Means over fewer images, because a setting lacks a value on the others: {fewer}."
    yield f"Error rows: {golden.number('rows', FAILED)} of {golden.number('rows')}."
    for name, found in golden.sets.items():
        without = [variant for variant in golden.variants if variant not in found.value_of]
        if without:
            title, named = golden.columns[name].title, ", ".join(without)
            yield f"{title}: no image has a value with {named}, left out of this column's common support."
    for name, found in golden.sets.items():
        yield f"{golden.columns[name].title}: {found.note}."


def sliced_images(golden: Golden) -> Iterator[str]:
    """The slices to choose from: images in complete shards, whether or not they have values."""
    yield f"all ({golden.number('manifest')} images)"
    for name, condition in SLICES.items():
        yield f"{name} ({golden.number('manifest', condition)} images)"


def notes_on_slices(golden: Golden) -> Iterator[str]:
    """What stands under the table of slices: labels that part no images, and slices that are small."""
    yield (
        f"Means over parts of the images of the table above, and their 95 % intervals from {FEWEST_PEOPLE} identities on; "
        "n is the number of images with a value for every compared setting. Differences between parts need not come from "
        "the codec: the parts show other people and pictures. All of them are in report/slices.csv."
    )
    assert golden.number("manifest", of="DISTINCT remark") > MOST_VALUES
    yield f"remark: more than {MOST_VALUES} values, so that there are no slices by it."
    yield "camera: x for every image."
    for name, condition in SLICES.items():
        n = golden.n("bpp", condition)
        if n < FEWEST_IN_A_SLICE:
            yield f"{name}: n = {n}, fewer than {FEWEST_IN_A_SLICE} images, which say little."


def titles_of_charts(golden: Golden) -> Iterator[str]:
    """What stands over each chart."""
    yield from (f"{golden.head(name)} {BETTER[column.sign]}" for name, column in golden.columns.items())


def labels_of_charts(golden: Golden) -> Iterator[str]:
    """What a screen reader says of each chart."""
    yield from (f"{golden.head(name)} over bits per pixel; {BETTER[each.sign]}" for name, each in golden.columns.items())


def directed(golden: Golden, kind: str) -> Iterator[str]:
    """The metrics of one kind of vision that have a better direction."""
    yield from (golden.head(name) for name, column in golden.columns.items() if column.sign and column.kind == kind)


def conventions(golden: Golden) -> dict[str, list[float]]:
    """Each convention's numbers, which are those that everything here is computed with."""
    fixed: dict[str, list[float]] = {
        "bpp": [8],
        "Common support": [],
        "Coverage": [],
        "Interval": [95, DRAWS, FEWEST_PEOPLE],
        "BD-rate and BD-quality": [FEWEST_FOR_BD],
        "Rate for the task": [],
        "Time": [],
        "Yes or no": [],
    }
    metrics = {
        ", ".join(each["title"] for kind in ("columns", "set_columns") for each in metric[kind].values()): [
            *map(float, NUMBER.findall(metric["summary"])),
            float(metric["version"]),
        ]
        for metric in golden.index["metrics"]
    }
    return {**fixed, **metrics}


def provenance(golden: Golden) -> list[str]:
    """Every value that is stored of where the run comes from."""

    def leaves(value: Any) -> Iterator[str]:
        if isinstance(value, dict | list):
            for each in (value.values() if isinstance(value, dict) else value) or ["none"]:
                yield from leaves(each)
        else:
            yield str(value)

    return list(leaves(json.loads((golden.folder / "provenance.json").read_text())))
