"""A run on a Ray cluster of two nodes, joined by its address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray._private.services
import ray.util
from faulty import Faulty
from ray.cluster_utils import Cluster
from runs import bring_up_to_date, make_task, rows, write_images

from vcmbench.interfaces import UsageError
from vcmbench.pipeline import cluster
from vcmbench.pipeline.cluster import Layout, Node, RayExecutor

IMAGES = 24
NODE: dict[str, Any] = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 100 * 2**20}


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head and another node, both on the loopback interface, whose workers find the tests' plug-ins."""
    for module in (ray._private.services, ray.util):
        monkeypatch.setattr(module, "get_node_ip_address", lambda *_, **__: "127.0.0.1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    nodes = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    nodes.add_node(**NODE)
    yield nodes
    nodes.shutdown()  # type: ignore[no-untyped-call]  # Ray's own


def test_a_node_that_is_lost_costs_no_row(nodes: Cluster, tmp_path: Path) -> None:
    """When a node vanishes in the middle of a shard, the other one does that shard too."""
    write_images(tmp_path / "images", IMAGES, marked=range(IMAGES))
    task = make_task(tmp_path / "images", tmp_path / "run", shard_size=6, codecs=(Faulty(fault="slow"),))
    lost: list[Any] = []

    def lose_a_node(done: int) -> None:
        if done and not lost:
            [other] = nodes.worker_nodes
            nodes.remove_node(other, allow_graceful=False)
            lost.append(other)

    with cluster.connected(nodes.address) as found:
        assert found == [Node(1, 0)] * 2
        outcome = bring_up_to_date(task, RayExecutor(Layout(workers=2, cores=1, gpus=0)), progress=lose_a_node)
    assert lost
    alone = bring_up_to_date(replace(task, out=str(tmp_path / "alone")))
    assert rows(outcome, tmp_path / "run") == rows(alone, tmp_path / "alone")


def test_a_cluster_that_is_not_there_is_named() -> None:
    """An address without a cluster is an error with the address and the way to run without Ray."""
    with (
        pytest.raises(UsageError, match=r"the Ray cluster at 127\.0\.0\.1:1 cannot be reached: .*--address local runs"),
        cluster.connected("127.0.0.1:1"),
    ):
        pass
