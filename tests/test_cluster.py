"""Runs on a real Ray cluster."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import ray
import yaml
from faulty import Faulty
from ray.autoscaler._private.util import prepare_config, validate_config
from runs import bitstreams, bring_up_to_date, make_task, rows, write_images

from vcmbench.interfaces import StorageError, UsageError
from vcmbench.pipeline import cluster
from vcmbench.pipeline.cluster import ATTEMPTS, Layout, Node, RayExecutor, _Queue, layout
from vcmbench.pipeline.plan import ShardWork

IMAGES = 10


@pytest.fixture(scope="module")
def connected() -> Iterator[list[Node]]:
    """One local cluster for the module."""
    with cluster.connected("auto") as resources:
        yield resources


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", IMAGES)
    return tmp_path / "images"


def test_a_local_cluster_listens_on_the_loopback_interface_only(connected: list[Node]) -> None:
    """No process of the cluster can be reached from another machine."""
    del connected
    ours = {process.pid for process in [psutil.Process(), *psutil.Process().children(recursive=True)]}
    listeners = [c for c in psutil.net_connections("inet") if c.pid in ours and c.status == psutil.CONN_LISTEN]
    addresses = {str(next(iter(listener.laddr))).removeprefix("::ffff:") for listener in listeners}
    assert len(listeners) > 3
    assert addresses <= {"127.0.0.1", "::1"}


def test_a_local_cluster_asks_for_a_token(connected: list[Node]) -> None:
    """Another user of this machine cannot run code in the cluster."""
    del connected
    native = vars(ray._raylet)
    assert native["get_authentication_mode"]() == native["AuthenticationMode"].TOKEN


def test_rows_are_those_of_a_run_without_ray(connected: list[Node], images: Path, tmp_path: Path) -> None:
    """Two workers on the cluster store the same rows and bitstreams as one process does."""
    cores = connected[0].cores
    executor = RayExecutor(Layout(workers=min(2, cores), cores=1, gpus=0))
    on_ray = bring_up_to_date(make_task(images, tmp_path / "ray", keep_bitstreams=True), executor)
    alone = bring_up_to_date(make_task(images, tmp_path / "alone", keep_bitstreams=True))
    assert on_ray.computed == 2 * IMAGES
    assert rows(on_ray, tmp_path / "ray") == rows(alone, tmp_path / "alone")
    kept = bitstreams(on_ray, tmp_path / "ray")
    assert kept == bitstreams(alone, tmp_path / "alone")
    assert len(kept) == 2 * IMAGES


def test_a_shard_whose_worker_is_killed_is_given_out_again(connected: list[Node], images: Path, tmp_path: Path) -> None:
    """SIGKILL to a worker in the middle of a shard loses no row and doubles none, and its late file could not be taken."""
    del connected
    write_images(images, 24, marked=range(24))
    killed: list[int] = []
    shown: list[int] = []

    def kill_the_worker_once(done: int) -> None:
        shown.append(done)
        if done and not killed:
            [worker] = [each for each in psutil.Process().children(recursive=True) if each.name().startswith("ray::_Actor")]
            worker.kill()
            killed.append(done)

    task = make_task(images, tmp_path / "run", shard_size=12, codecs=(Faulty(fault="slow"), Faulty(fault="slow", level=2)))
    outcome = bring_up_to_date(task, RayExecutor(Layout(workers=1, cores=1, gpus=0)), progress=kill_the_worker_once)
    assert killed
    assert max(shown) == shown[-1] == 48
    assert sorted(record.generation for record in outcome.index.shards.values()) == [1, 2]
    alone = bring_up_to_date(replace(task, out=str(tmp_path / "alone")))
    assert len(rows(outcome, tmp_path / "run")) == 48
    assert rows(outcome, tmp_path / "run") == rows(alone, tmp_path / "alone")


def test_a_worker_that_finds_no_place_gets_no_shard(connected: list[Node], images: Path, tmp_path: Path) -> None:
    """With room for one worker of two, the one does every shard, and nothing waits for the other."""
    cores = connected[0].cores
    outcome = bring_up_to_date(make_task(images, tmp_path / "run"), RayExecutor(Layout(workers=2, cores=cores, gpus=0)))
    assert outcome.computed == 2 * IMAGES


def test_a_shard_that_is_lost_again_and_again_is_given_up_last() -> None:
    """It waits behind the others, is isolated after two losses, and after its attempts the run ends with the last reason."""
    lost, other = ShardWork(0, 8, 1, {}), ShardWork(1, 8, 1, {})
    queue = _Queue([lost, other])
    attempts = [queue.waiting.popleft()]
    for number in range(1, ATTEMPTS):
        queue.put_back(attempts[-1], OSError(f"loss {number}"))
        queue.raise_for_lost()
        attempts.append(queue.waiting.pop())
    assert [(work.generation, work.isolated) for work in attempts] == [(1, False), (2, False), (3, True), (4, True)]
    queue.put_back(attempts[-1], OSError("the last"))
    assert list(queue.waiting) == [other]
    with pytest.raises(
        RuntimeError, match="shard 0 was not finished in 4 attempts: OSError: the last; the other shards are"
    ):
        queue.raise_for_lost()


def test_a_workers_storage_trouble_stops_the_run(connected: list[Node], images: Path, tmp_path: Path) -> None:
    """What a worker cannot store, after waiting, stops the run at once with the file and the reason; it can be resumed."""
    del connected
    task = make_task(images, tmp_path / "run")

    def in_the_way(job, works, progress):  # type: ignore[no-untyped-def]  # an Executor
        (tmp_path / "run/results").write_text("a file where the folder would be")
        yield from RayExecutor(Layout(1, 1, 0))(job, works, progress)

    with pytest.raises(StorageError, match=r"results/shard-0.* cannot be written: File exists; put that right"):
        bring_up_to_date(task, in_the_way)
    (tmp_path / "run/results").unlink()
    assert bring_up_to_date(task).computed == 2 * IMAGES


def test_a_workers_complaint_reaches_the_user(connected: list[Node], images: Path, tmp_path: Path) -> None:
    """An error of a worker arrives as itself, not wrapped in Ray's."""
    del connected
    task = make_task(images, tmp_path / "run")

    def with_other_libraries(job, works, progress):  # type: ignore[no-untyped-def]  # an Executor
        other = tuple(setting.model_copy(update={"key": "other"}) for setting in job.index.settings)
        index = job.index.model_copy(update={"settings": other})
        yield from RayExecutor(Layout(1, 1, 0))(replace(job, index=index), works, progress)

    with pytest.raises(UsageError, match="install equal versions on all nodes"):
        bring_up_to_date(task, with_other_libraries)


def test_a_plug_in_that_a_node_lacks_is_named(
    connected: list[Node], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A codec that only the driver can import stops the run with its module and the remedy."""
    del connected
    (tmp_path / "only_here.py").write_text("from faulty import Faulty\nclass OnlyHere(Faulty):\n    family = 'only here'\n")
    monkeypatch.syspath_prepend(tmp_path)
    codec = importlib.import_module("only_here").OnlyHere()
    with pytest.raises(
        UsageError, match=r"a worker cannot start: .*only_here.*; install vcmbench and plug-ins on all nodes"
    ):
        bring_up_to_date(make_task(images, tmp_path / "run", codecs=(codec,)), RayExecutor(Layout(1, 1, 0)))


@pytest.mark.parametrize(
    ("nodes", "workers", "device", "expected"),
    [
        ([Node(2, 0)], None, None, Layout(1, 2, 0)),
        ([Node(64, 0)], None, None, Layout(8, 8, 0)),
        ([Node(64, 4)], None, None, Layout(4, 16, 1)),
        ([Node(64, 4)], 2, None, Layout(2, 32, 1)),
        ([Node(64, 4)], None, "cpu", Layout(8, 8, 0)),
        ([Node(2, 0)], 2, "cpu", Layout(2, 1, 0)),
        ([Node(4, 0), Node(4, 0)], None, None, Layout(2, 4, 0)),
        ([Node(12, 0), Node(12, 0)], None, None, Layout(2, 12, 0)),
        ([Node(2, 0), Node(64, 0)], None, None, Layout(8, 8, 0)),
        ([Node(8, 0), Node(16, 4)], None, None, Layout(4, 4, 1)),
        ([Node(2, 4)], None, None, Layout(2, 1, 1)),
    ],
)
def test_a_cluster_is_shared_among_workers(
    nodes: list[Node], workers: int | None, device: str | None, expected: Layout
) -> None:
    """One worker a GPU where there are any and they are wanted, else one for eight cores; each fits on one node."""
    assert layout(nodes, workers, device) == expected


@pytest.mark.parametrize(
    ("workers", "device", "message"),
    [
        (None, "cuda", "--device cuda: this cluster has no GPU; use --device cpu"),
        (3, "cpu", "--workers 3: each needs a core, and this cluster has 2"),
    ],
)
def test_what_a_cluster_cannot_give_is_refused(workers: int | None, device: str | None, message: str) -> None:
    """Asking for more than there is names the option and what there is."""
    with pytest.raises(UsageError, match=message):
        layout([Node(1, 0), Node(1, 0)], workers, device)


def test_the_cluster_file_is_one_that_ray_accepts() -> None:
    """Ray's own check of cluster files passes `ray_cluster.yaml`."""
    file = Path(__file__).resolve().parents[1] / "ray_cluster.yaml"
    validate_config(prepare_config(yaml.safe_load(file.read_text())))
