"""The run of which every number is recomputed: one of everything that a page may have to show."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from report_browser import label_images, reported
from synthetic_run import LANDMARKS, MEMORABILITY, PSNR, Row, fail, setting, write_run

from vcmbench.feature_tables import feature_keys
from vcmbench.interfaces import digest
from vcmbench.run_index import ColumnRecord, MetricRecord

ANCHOR, SCALABLE = "jpeg", "edge"
IMAGES, PEOPLE = 104, 48
MISSING_SHARD = 5
LENGTHS = {"inception": 16, "face": 8}
"""Of the features that are stored."""


def set_metric(name: str, kind: str, feature: str, columns: dict[str, ColumnRecord]) -> MetricRecord:
    """A set metric whose value is computed as the real one's."""
    return MetricRecord.model_validate(
        {
            "key": f"{name}-1",
            "name": name,
            "kind": kind,
            "version": "1",
            "summary": name,
            "columns": {},
            "set_columns": columns,
            "value": f"vcmbench.reports.set_metrics:{name}",
            "features": {feature: LENGTHS[feature]},
        }
    )


FID = set_metric("fid", "human", "inception", {"fid": ColumnRecord(title="FID", better="lower", dtype="float", unit="")})
KID = set_metric("kid", "human", "inception", {"kid": ColumnRecord(title="KID", better="lower", dtype="float", unit="")})
VERIFICATION = set_metric(
    "verification",
    "machine",
    "face",
    {
        "tar_at_far_1e_2": ColumnRecord(title="TAR at FAR 1 %", better="higher", dtype="float", unit=""),
        "tar_at_far_1e_3": ColumnRecord(title="TAR at FAR 0.1 %", better="higher", dtype="float", unit=""),
    },
)


def spoil(row: Row) -> None:
    """Errors and missing values, each on images of its own; a scale on which levels of NME are reached; features."""
    if row["variant"] == "jpeg quality=4" and row["image"] in {"image-001", "image-060"}:
        fail(row, "encoder crashed")
        return
    row["nme_box"] /= 150
    if row["family"] == "copy":
        row["bpp"] *= 2.5  # so that no other setting's rate is near
    if row["variant"] == "webp quality=1" and row["image"] == "image-002":
        row.update(nme_box=None, metric_errors=[("nme_box", "no face found")])
    elif row["family"] == "edge" and row["image"] == "image-007":
        row.update(psnr_y=math.inf)
    for name, length in LENGTHS.items():
        add_feature(row, name, length)


def add_feature(row: Row, name: str, length: int) -> None:
    """One that is nearer to the original's at higher rates, and to those of the same person's; some have none."""
    if row["family"] == "copy" and name == "inception":
        return
    if row["variant"] == "webp quality=10" and row["image"] in {"image-003", "image-030"} and name == "face":
        row["metric_errors"] = [*row["metric_errors"], (feature_keys(name)[0], "no face to compare")]
        return
    person, image, noise = (_draw(row[key], name, length) for key in ("identity", "image", "bitstream_hash"))
    original = 0.5 + person + 0.35 * image
    decoded = original + noise * 0.3 / (0.2 + row["bpp"])
    for key, feature in zip(feature_keys(name), (decoded, original), strict=True):
        row[key] = feature.astype(np.float32)


def _draw(*words: str | int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    *seeds, length = words
    return np.random.default_rng(int(digest(list(seeds))[:8], 16)).normal(size=int(length))


def write_golden_run(folder: Path) -> None:
    """Three curves, one of them scalable, and a single point; labels; a shard that is still to come; and the report."""
    settings = [
        *(setting("jpeg", "quality", quality) for quality in (41, 4, 10, 20)),
        *(setting("webp", "quality", quality) for quality in (1, 10, 30, 53, 15)),
        *(setting("edge", "points", points).model_copy(update={"scalable": True}) for points in (10, 15, 61, 122)),
        setting("copy", option="lossless=true"),
    ]
    metrics = [PSNR, FID, KID, LANDMARKS, MEMORABILITY, VERIFICATION]
    run, index = write_run(
        str(folder), settings, metrics, images=IMAGES, people=PEOPLE, missing_shards=[MISSING_SHARD], alter=spoil
    )
    label_images(run, IMAGES, PEOPLE)
    reported(run, index)
