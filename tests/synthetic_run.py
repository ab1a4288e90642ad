"""A small run directory of made-up numbers, written through the pipeline's own interface."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from vcmbench.interfaces import digest
from vcmbench.results import RunDirectory, row_schema, table_of
from vcmbench.run_index import ColumnRecord, Index, MetricRecord, SettingRecord

Row = dict[str, Any]

WRITER = "0123abcd"
"""What the lease of the driver that wrote the run would have been called."""

PSNR = MetricRecord(
    key="psnr-1",
    name="psnr",
    kind="human",
    version="1",
    summary="peak signal-to-noise ratio over the samples",
    columns={
        "psnr_rgb": ColumnRecord(title="PSNR RGB", better="higher", dtype="float", unit="dB"),
        "psnr_y": ColumnRecord(title="PSNR Y", better="higher", dtype="float", unit="dB"),
    },
)
SSIM = MetricRecord(
    key="ssim-1",
    name="ssim",
    kind="human",
    version="1",
    summary="structural similarity",
    columns={
        "ssim_rgb": ColumnRecord(title="SSIM RGB", better="higher", dtype="float", unit=""),
        "ms_ssim": ColumnRecord(title="MS-SSIM", better="higher", dtype="float", unit=""),
    },
)
LANDMARKS = MetricRecord(
    key="landmarks-1",
    name="landmarks",
    kind="machine",
    version="1",
    summary="normalised mean error of 68 facial landmarks",
    columns={
        "nme_box": ColumnRecord(title="Landmark NME", better="lower", dtype="float", unit="%"),
        "face_detected": ColumnRecord(title="Face detected", better="higher", dtype="bool", unit=""),
        "detector": ColumnRecord(title="Detector", better=None, dtype="string", unit=""),
    },
)
MEMORABILITY = MetricRecord(
    key="memorability-1",
    name="memorability",
    kind="machine",
    version="1",
    summary="how well a face is remembered",
    columns={"memorability": ColumnRecord(title="Memorability", better=None, dtype="float", unit="")},
)
METRICS = (PSNR, SSIM, LANDMARKS, MEMORABILITY)


def setting(family: str, rate_parameter: str | None = None, value: int = 0, *, option: str = "") -> SettingRecord:
    """Describe one setting of a made-up codec."""
    words = [family, option] if option else [family]
    point = [f"{rate_parameter}={value}"] if rate_parameter else []
    params = {"option": option, **({rate_parameter: value} if rate_parameter else {})}
    return SettingRecord(
        key=digest([family, params]),
        family=family,
        curve=" ".join(words),
        variant=" ".join([*words, *point]),
        rate_parameter=rate_parameter,
        params=params,
        backend="made up 1.0",
    )


def twelve_settings() -> list[SettingRecord]:
    """Three curves and a single point."""
    return [
        *(setting("jpeg", "quality", quality) for quality in (40, 20, 10, 4)),
        *(setting("webp", "quality", quality) for quality in (0, 10, 30, 60)),
        *(setting("edge", "points", points) for points in (0, 15, 122)),
        setting("copy", option="lossless=true"),
    ]


def write_run(
    url: str,
    settings: Sequence[SettingRecord],
    metrics: Sequence[MetricRecord] = METRICS,
    *,
    hidden: Sequence[SettingRecord] = (),
    images: int = 24,
    shard_size: int = 8,
    missing_shards: Sequence[int] = (),
    people: int | None = 5,
    notice: str = "",
    alter: Callable[[Row], None] | None = None,
) -> tuple[RunDirectory, Index]:
    """Write a run whose rows are seeded random numbers, each passed through `alter`, and return it with its index.

    Columns that are not known here are null until `alter` gives them a value.
    Rows of `hidden` settings are stored without being asked for; `missing_shards` are still to be computed. Images are of
    so many people, or each of another one.
    """
    run = RunDirectory(url)
    run.write_manifest(_manifest(images, people or images), shard_size)
    index = Index(name="synthetic", notice=notice, settings=tuple(settings), metrics=tuple(metrics))
    stored = (*settings, *hidden)
    cells = index.model_copy(update={"settings": stored}).wanted
    for shard in run.shard_sizes():
        if shard in missing_shards:
            continue
        rows = [
            _row(image, identity, each, metrics)
            for image, identity in zip(*_names(run.manifest(shard)), strict=True)
            for each in stored
        ]
        if alter:
            for row in rows:
                alter(row)
        file = run.write_shard(shard, 1, table_of(rows, row_schema(index.columns)), WRITER)
        features = run.write_features(shard, 1, rows, WRITER)
        index = index.with_shard(shard, file, 1, cells, features=features)
    run.write_index(index)
    run.write_provenance(PROVENANCE)
    return run, index


PROVENANCE = {
    "vcmbench": "0.1.0",
    "hardware": {"cpu": "8 cores", "gpus": []},
    "libraries": {"Pillow": "13.0.0", "libjpeg-turbo": "3.1.3"},
    "dataset": {"kind": "synthetic", "size": 256, "labels": ["gender", "pose"]},
}


def fail(row: Row, reason: str) -> None:
    """Turn a row into an error row."""
    described = ("image", "identity", "setting", "family", "curve", "variant")
    row.update({name: None for name in row if name not in described})
    row.update(status="error", error=reason, metric_errors=[])


def _manifest(images: int, people: int) -> Iterator[pa.RecordBatch]:
    names = [f"image-{number:03d}" for number in range(images)]
    yield pa.RecordBatch.from_pydict({"image": names, "identity": [f"person-{number % people}" for number in range(images)]})


def _names(manifest: pa.Table) -> tuple[list[str], list[str]]:
    return manifest["image"].to_pylist(), manifest["identity"].to_pylist()


_FAMILIES = {"jpeg": (0.022, 0.0), "webp": (0.018, 1.5), "edge": (0.009, -1.5)}
"""How fast a made-up family's rate rises with its rate parameter, and how many decibels it gains at the same rate."""


def _row(image: str, identity: str, each: SettingRecord, metrics: Sequence[MetricRecord]) -> Row:
    """One result that improves with the rate parameter, the same whenever it is asked for."""
    draw = random.Random(digest([image, each.key]))
    quality = float(each.params.get(each.rate_parameter or "", 30))
    slope, gain = _FAMILIES.get(each.family, (0.03, 2.0))
    bpp = 0.05 + slope * quality * draw.uniform(0.8, 1.2)
    values = {
        "psnr_rgb": 24 + gain + 4 * math.log2(1 + 4 * bpp) + draw.gauss(0, 1),
        "psnr_y": 26 + gain + 4 * math.log2(1 + 4 * bpp) + draw.gauss(0, 1),
        "ssim_rgb": 1 - (0.4 - 0.05 * gain) * math.exp(-2 * bpp) * draw.uniform(0.8, 1.2),
        "ms_ssim": 1 - (0.2 - 0.03 * gain) * math.exp(-3 * bpp) * draw.uniform(0.8, 1.2),
        "nme_box": (6 - 0.5 * gain) * math.exp(-bpp) + draw.uniform(0.5, 1),
        "face_detected": draw.random() < 0.9,
        "detector": "made up",
        "memorability": draw.uniform(0.4, 0.9),
    }
    columns = itertools.chain.from_iterable(metric.columns for metric in metrics)
    return {
        "image": image,
        "identity": identity,
        "setting": each.key,
        "family": each.family,
        "curve": each.curve,
        "variant": each.variant,
        "bytes": round(bpp * 256 * 256 / 8),
        "bpp": bpp,
        "width": 256,
        "height": 256,
        "encode_ms": draw.uniform(1, 3),
        "decode_ms": draw.uniform(0.5, 1),
        "bitstream_hash": digest([image, each.key, "bitstream"]),
        "decoded_hash": digest([image, each.key, "decoded"]),
        "note": None,
        "status": "ok",
        "error": None,
        "metric_errors": [],
        **{column: values.get(column) for column in columns},
    }
