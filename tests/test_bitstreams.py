"""Bitstreams that a run keeps: they are those of its rows, whatever codec gave them and however the run came about."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from faulty import Faulty, InWorker, Together, TogetherInBoth, block_of_images
from runs import SIZE, bitstreams, bring_up_to_date, make_task, read_rows, rows, write_images

from vcmbench import codecs, metrics
from vcmbench.bitstreams import GROUP_BYTES, BitstreamSpool, bitstream_tables
from vcmbench.interfaces import Codec, StorageError, content_hash
from vcmbench.pipeline.blocks import Block
from vcmbench.pipeline.codec_pool import CodecPool
from vcmbench.pipeline.coding import Coded
from vcmbench.pipeline.driver import Outcome
from vcmbench.pipeline.plan import ShardWork
from vcmbench.pipeline.worker import ShardResult, Worker
from vcmbench.pipeline.worker_job import WorkerJob
from vcmbench.results import RunDirectory

IMAGES, MARKED = 6, 2
JPEG, WEBP = codecs.create("jpeg", quality=10), codecs.create("webp", quality=10)
BROKEN = Faulty(fault="raise")
OF_EVERY_KIND: tuple[Codec, ...] = (
    JPEG,
    codecs.create("edge", points=0, decoder="diffusion"),
    codecs.create("edge", points=15, decoder="diffusion"),
    InWorker(),
    Together(),
    Together(level=2),
    TogetherInBoth(),
    BROKEN,
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Six images, of which one breaks `BROKEN`."""
    write_images(tmp_path / "images", IMAGES, marked=[MARKED])
    return tmp_path / "images"


def check(outcome: Outcome, out: Path | str, codecs: Sequence[Codec]) -> None:
    """Every row's bitstream is kept, hashes and decodes to what the row says, and there is no other."""
    stored = rows(outcome, out)
    kept = bitstreams(outcome, out)
    assert kept.keys() == {(row["image"], row["variant"]) for row in stored if row["status"] == "ok"}
    by_variant = {codec.variant: codec for codec in codecs}
    for row in stored:
        if row["status"] == "ok":
            bitstream = kept[row["image"], row["variant"]]
            assert len(bitstream) == row["bytes"]
            assert hashlib.sha256(bitstream).hexdigest()[:16] == row["bitstream_hash"]
            pixels = by_variant[row["variant"]].decode(bitstream)
            assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == row["decoded_hash"]


def with_times(outcome: Outcome, out: Path) -> list[dict[str, Any]]:
    """Every stored value of every row."""
    return [row for record in outcome.index.shards.values() for row in read_rows(out / record.file)]


def folder(out: Path) -> set[str]:
    """The files that are there."""
    return {f"bitstreams/{file.name}" for file in (out / "bitstreams").iterdir()}


def named(outcome: Outcome) -> set[str]:
    """The files that the index names."""
    return {record.bitstreams for record in outcome.index.shards.values()}


# ------------------------------------------------------------------------------------------------------ what is kept


def test_codecs_of_every_kind_have_their_bitstreams_kept(images: Path, tmp_path: Path) -> None:
    """In a process or the worker, alone, in batches or by family; an error row has none."""
    task = make_task(images, tmp_path / "run", codecs=OF_EVERY_KIND, keep_bitstreams=True)
    outcome = bring_up_to_date(task)
    check(outcome, tmp_path / "run", OF_EVERY_KIND)
    failed = [(row["image"], row["variant"]) for row in rows(outcome, tmp_path / "run") if row["status"] == "error"]
    assert failed == [(f"{MARKED:03}.png", BROKEN.variant)]
    assert folder(tmp_path / "run") == named(outcome)


def isolated(job: WorkerJob, works: Sequence[ShardWork], progress: Callable[[int], None]) -> Iterator[ShardResult]:
    """Compute image by image in a process beside the worker."""
    with Worker(job, isolated=True) as worker:
        for work in works:
            yield worker.run(work)
            progress(worker.done)


def test_an_isolated_worker_keeps_the_same(images: Path, tmp_path: Path) -> None:
    """What is computed image by image beside the worker, after that was lost, keeps its bitstreams, too."""
    chosen = (JPEG, InWorker(), TogetherInBoth())
    task = make_task(images, tmp_path / "run", codecs=chosen, metrics=(), keep_bitstreams=True)
    check(bring_up_to_date(task, isolated), tmp_path / "run", chosen)


def test_none_are_kept_unless_asked_for(images: Path, tmp_path: Path) -> None:
    """By default there is no such folder, and codec processes send none."""
    outcome = bring_up_to_date(make_task(images, tmp_path / "run"))
    assert named(outcome) == {""}
    assert not (tmp_path / "run" / "bitstreams").exists()
    source, target = block_of_images(2, SIZE, 0), Block(2, SIZE)
    for asked in (False, True):
        pool = CodecPool(1, 10.0, with_bitstreams=asked)
        coded = [each for each in pool.code(JPEG, 2, source.name, target.name).result() if isinstance(each, Coded)]
        pool.close()
        assert [each.bitstream is not None for each in coded] == [asked, asked]
    source.close()
    target.close()


def test_an_object_store_keeps_them_as_well(images: Path, bucket: str) -> None:
    """They are stored, found one by one, and kept when a setting is added."""
    task = make_task(images, f"{bucket}/run", codecs=(JPEG,), keep_bitstreams=True)
    check(bring_up_to_date(task), task.out, task.codecs)
    more = replace(task, codecs=(JPEG, WEBP))
    outcome = bring_up_to_date(more)
    check(outcome, task.out, more.codecs)
    keys = [setting.key for setting in outcome.index.settings]
    run = RunDirectory(task.out)
    name = run.manifest(0)["image"][0].as_py()
    found = run.find_bitstreams(outcome.index.shards[0].bitstreams, name, keys[1:])
    assert found == {keys[1]: bitstreams(outcome, task.out)[name, WEBP.variant]}


# ----------------------------------------------------------------------------------------------------- runs converge


def test_a_run_that_is_asked_later_codes_again_and_scores_nothing(images: Path, tmp_path: Path) -> None:
    """What was computed without keeping bitstreams gets them; no stored value changes, and then nothing is missing."""
    out = tmp_path / "run"
    task = make_task(images, out)
    before = with_times(bring_up_to_date(task), out)
    asked = replace(task, keep_bitstreams=True)
    outcome = bring_up_to_date(asked)
    assert outcome.computed == 2 * IMAGES
    assert with_times(outcome, out) == before
    check(outcome, out, task.codecs)
    assert bring_up_to_date(asked).computed == 0


def test_what_is_added_later_leaves_what_was_kept(images: Path, tmp_path: Path) -> None:
    """One more setting and one more metric; the file of the former generation goes with the next run."""
    out = tmp_path / "run"
    task = make_task(images, out, codecs=(JPEG,), keep_bitstreams=True)
    first = bitstreams(bring_up_to_date(task), out)
    more = replace(task, codecs=(JPEG, WEBP))
    outcome = bring_up_to_date(more)
    assert outcome.computed == IMAGES
    check(outcome, out, more.codecs)
    assert first.items() <= bitstreams(outcome, out).items()
    scored = bring_up_to_date(replace(more, metrics=(*more.metrics, metrics.create("psnr_y"))))
    check(scored, out, more.codecs)
    bring_up_to_date(replace(more, metrics=(*more.metrics, metrics.create("psnr_y"))))
    assert folder(out) == named(scored)


def test_a_run_that_is_not_asked_any_more_leaves_what_was_kept(images: Path, tmp_path: Path) -> None:
    """What was kept stays, what comes then is not kept, and asked again only that is coded once more."""
    out = tmp_path / "run"
    task = make_task(images, out, codecs=(JPEG,), keep_bitstreams=True)
    first = bring_up_to_date(task)
    both = replace(task, codecs=(JPEG, WEBP), keep_bitstreams=False)
    unasked = bring_up_to_date(both)
    assert named(unasked) == named(first) == folder(out)
    outcome = bring_up_to_date(replace(both, keep_bitstreams=True))
    assert outcome.computed == IMAGES
    check(outcome, out, both.codecs)


def test_a_lost_file_is_made_again_only_where_asked(images: Path, tmp_path: Path) -> None:
    """Without its bitstreams a shard has all its values; they are coded again if the job still asks for them."""
    out = tmp_path / "run"
    task = make_task(images, out, keep_bitstreams=True)
    first = bring_up_to_date(task)
    kept = bitstreams(first, out)
    (out / first.index.shards[1].bitstreams).unlink()
    assert bring_up_to_date(replace(task, keep_bitstreams=False)).computed == 0
    outcome = bring_up_to_date(task)
    assert outcome.computed == 2 * 2
    assert bitstreams(outcome, out) == kept


def test_a_damaged_file_is_named_and_made_again_once_deleted(images: Path, tmp_path: Path) -> None:
    """A bitstream that is not that of its hash is never carried on into the next generation."""
    out = tmp_path / "run"
    task = make_task(images, out, codecs=(JPEG,), keep_bitstreams=True)
    first = bring_up_to_date(task)
    file = out / first.index.shards[0].bitstreams
    spoil(file, pq.read_table(file)["bitstream"][0].as_py())
    more = replace(task, codecs=(JPEG, WEBP))
    with pytest.raises(StorageError, match=rf"{file.name} is damaged: .*; delete it and run the same command again"):
        bring_up_to_date(more)
    file.unlink()
    check(bring_up_to_date(more), out, more.codecs)


def spoil(file: Path, bitstream: bytes) -> None:
    """Change a byte of a bitstream in its file."""
    data = file.read_bytes()
    assert data.count(bitstream) == 1
    file.write_bytes(data.replace(bitstream, bitstream[:-1] + bytes([bitstream[-1] ^ 1])))


def test_bitstreams_follow_rows_that_are_replaced(images: Path, tmp_path: Path) -> None:
    """Of a codec that is not deterministic, a repaired image and a replaced one, the current row's bitstream is kept."""
    out = tmp_path / "run"
    whole = (images / "001.png").read_bytes()
    (images / "001.png").write_bytes(b"")
    task = make_task(images, out, codecs=(JPEG, Faulty(fault="random")), keep_bitstreams=True)
    check(bring_up_to_date(task), out, task.codecs)
    (images / "001.png").write_bytes(whole)
    check(bring_up_to_date(task, retry="errors"), out, task.codecs)
    (images / "004.png").write_bytes(whole)
    more = replace(task, metrics=(*task.metrics, metrics.create("psnr_y")))
    outcome = bring_up_to_date(more)
    assert outcome.not_deterministic == {Faulty(fault="random").variant}
    assert outcome.replaced == ["004.png"]
    check(outcome, out, task.codecs)


def test_a_row_that_is_replaced_while_not_asked_is_coded_again_when_asked(images: Path, tmp_path: Path) -> None:
    """Bitstreams of a setting that gave others since are not taken for the current ones."""
    out = tmp_path / "run"
    task = make_task(images, out, codecs=(JPEG, Faulty(fault="random")), keep_bitstreams=True)
    bring_up_to_date(task)
    unasked = replace(task, keep_bitstreams=False, metrics=(*task.metrics, metrics.create("psnr_y")))
    assert bring_up_to_date(unasked).not_deterministic
    outcome = bring_up_to_date(replace(unasked, keep_bitstreams=True))
    assert outcome.computed == IMAGES
    check(outcome, out, task.codecs)


# ------------------------------------------------------------------------------------------------------ spool and file


def test_a_spool_holds_more_than_its_memory() -> None:
    """Bitstreams come back as they went in, from memory and from disk, and a cleared spool has none."""
    spool = BitstreamSpool(held_bytes=100)
    streams = [bytes([number]) * number for number in range(1, 60)]
    for turn in range(2):
        for stream in streams[turn:]:
            spool.put(content_hash(stream), stream)
            spool.put(content_hash(stream), stream)
        assert [spool.get(content_hash(stream)) for stream in streams[turn:]] == streams[turn:]
        assert (content_hash(streams[0]) in spool) == (turn == 0)
        spool.clear()
    spool.close()


def test_a_row_group_has_one_setting_and_bounded_bytes(tmp_path: Path) -> None:
    """A reader of one image fetches about a mebibyte; a bitstream that is longer stands alone."""
    lengths = [GROUP_BYTES // 2, GROUP_BYTES // 2, 10, 2 * GROUP_BYTES, 10]
    spool = BitstreamSpool()
    stored: list[dict[str, object]] = []
    for setting in ("a", "b"):
        for place, length in enumerate(lengths):
            stream = f"{setting}{place}".encode() * (length // 2)
            spool.put(content_hash(stream), stream)
            row = {"image": f"{place}.png", "setting": setting, "variant": setting.upper()}
            stored.append({**row, "bitstream_hash": content_hash(stream)})
    stored.append({"image": "5.png", "setting": "b", "variant": "B", "bitstream_hash": None})
    run = RunDirectory(str(tmp_path))
    file = run.write_bitstreams(0, 1, bitstream_tables(stored, spool), "0123abcd")
    parquet = pq.ParquetFile(tmp_path / file)
    groups = [parquet.read_row_group(number).to_pydict() for number in range(parquet.num_row_groups)]
    assert [(group["setting"][0], group["image"]) for group in groups] == [
        (setting, [f"{place}.png" for place in places]) for setting in "ab" for places in ((0, 1), (2,), (3,), (4,))
    ]
    assert {kept.bitstream_hash for kept in run.read_bitstreams(file)} == {row["bitstream_hash"] for row in stored} - {None}
    assert {key: len(stream) for key, stream in run.find_bitstreams(file, "3.png", ["b", "c"]).items()} == {
        "b": 2 * GROUP_BYTES
    }
    assert run.write_bitstreams(1, 1, iter(()), "0123abcd") == ""
    spool.close()


def test_the_documents_example_reads_them(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lines that docs/run_directory.md shows print every image of the setting with its rate in bytes."""
    document = Path(__file__).resolve().parents[1] / "docs" / "run_directory.md"
    [example] = re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    chosen = (codecs.create("jpeg", quality=4), JPEG)
    task = make_task(images, tmp_path / "runs" / "demo", codecs=chosen, keep_bitstreams=True)
    stored = rows(bring_up_to_date(task), task.out, chosen[:1])
    monkeypatch.chdir(tmp_path)
    exec(example, {})  # noqa: S102  # our own document
    assert sorted(capsys.readouterr().out.splitlines()) == [f"{row['image']} {row['bytes']}" for row in stored]
