"""What a run would do, in lines for people. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from vcmbench.pipeline.plan import Retry, ShardWork, plan
from vcmbench.run_index import Index


def forecast(index: Index, shard_sizes: Mapping[int, int], retry: Retry | None) -> Iterator[str]:
    """Name the settings, and of each what is missing and what would be done about it."""
    works = plan(shard_sizes, index, retry)
    shards, images = len(shard_sizes), sum(shard_sizes.values())
    yield f"{_count(images, 'image')} in {_count(shards, 'shard')} × {_count(len(index.settings), 'setting')}"
    width = max(len(setting.variant) for setting in index.settings)
    for setting in index.settings:
        todo = "; ".join(_missing(works, setting.key, index)) or "complete"
        yield f"  {setting.variant:<{width}}  {todo}"
    wanted = {setting.key for setting in index.settings}
    stored = {key for name in {record.cells for record in index.shards.values()} for key in index.cell_sets[name]}
    if idle := len(stored - wanted):
        yield f"{_count(idle, 'setting')} that the job does not ask for stay stored and are not reported"
    if again := sum(work.again for work in works):
        yield f"{_count(again, 'row')} that failed would be tried again"
    size = sum(work.size for work in works)
    yield (
        f"would compute {size} images × settings in {len(works)} of {_count(shards, 'shard')}"
        if works
        else "nothing to compute"
    )


def _missing(works: Sequence[ShardWork], setting: str, index: Index) -> Iterator[str]:
    """What a setting lacks: which metrics, over how many images and shards."""
    names = {metric.key: metric.name for metric in index.metrics}
    shards, images = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for work in works:
        if setting in work.missing:
            shards[work.missing[setting]] += 1
            images[work.missing[setting]] += work.images
    for metrics, count in shards.items():
        every = len(metrics) == len(names)
        scored = "every metric" if every else ", ".join(names[metric] for metric in metrics) or "no metric"
        purpose = "keep the bitstreams" if index.keep_bitstreams and not metrics else f"score {scored}"
        yield f"to code {_count(images[metrics], 'image')} in {_count(count, 'shard')} and {purpose}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
