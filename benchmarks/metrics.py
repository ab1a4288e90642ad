"""The metrics against the packages that their authors publish: same weights, images, settings and cores.

The baseline is a loop over images and settings that calls each package as its README shows, one image at a time; what can
be kept of an original is kept (landmarks, gender, embedding, memorability, Inception and VGG features), but LPIPS and DISTS
take two images by their interface. vcmbench scores the same decoded images in batches, as a worker does. Each side runs in a
process of its own, and they take turns. The values of both are compared, and those of bf16 with those of fp32.

    .venv/bin/python benchmarks/metrics.py [--portraits PATH] [--images 16] [--repeat 3] [--device cpu|cuda]

BlazeFace is the real one, from beside the portraits; ResMem comes with its package. The other networks are seeded random
ones in their packages' file formats, which take as long as pretrained ones; the deviations of bf16 are theirs, too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from measuring import PORTRAITS, keep_to_cores, machine, print_table, spread
from metric_packages import CALLED, Boxes, Package, load_packages
from portraits import as_tensor, load_portraits
from random_networks import homes, write_networks

from vcmbench import codecs
from vcmbench.interfaces import Batch, Image, Metric, Missing, Scores
from vcmbench.metrics import create
from vcmbench.pipeline.scoring import Scorer

CORES = 2
BATCH = {"cpu": 16, "cuda": 64}
"""Images that are scored together, as a worker does."""
SETTINGS = [("jpeg", quality) for quality in (4, 6, 10, 20, 40, 70)] + [
    ("webp", quality) for quality in (0, 10, 30, 50, 70, 90)
]
RATIOS_WANTED = {"fp32": 1.6, "bf16": 3.0}

OWN = (
    "perceptual_l",
    "perceptual_h",
    "lpips_alex",
    "lpips_vgg",
    "dists",
    "fid",
    "landmarks",
    "gender",
    "identity",
    "memorability",
)
IN_FACES = ("landmarks", "gender", "identity")

Values: TypeAlias = dict[str, list[float]]
"""Column → one value per setting × image."""


# --------------------------------------------------------------------------------------------------- what is scored


@dataclass(frozen=True)
class Material:
    """Prepared originals (N×H×W×3), the same under each setting, and the face box of each."""

    originals: Image
    decoded: Image
    boxes: Boxes


def write_material(portraits: Path, count: int, file: Path) -> None:
    """Prepare the first portraits, code them, and store all for both sides."""
    prepared = load_portraits(portraits, count)
    settings = [codecs.create(family, quality=quality) for family, quality in SETTINGS]
    decoded = np.stack([[codec.decode(codec.encode(image)) for image in prepared.images] for codec in settings])
    np.savez(file, originals=prepared.images, decoded=decoded, boxes=prepared.boxes)


# --------------------------------------------------------------------------------------------------------- a side


@dataclass
class Result:
    """What one side measured, in seconds; those by metric are added over threads."""

    seconds: float = 0.0
    by_metric: dict[str, float] = field(default_factory=dict)
    """All of it."""
    in_networks: dict[str, float] = field(default_factory=dict)
    """In forward passes."""
    values: Values = field(default_factory=dict)
    peak_gib: float = 0.0
    """The most memory that the process held."""


def run_packages(material: Material, device: str) -> Result:
    """Score image by image with the packages."""
    packages = load_packages(material.boxes, device)
    result = Result()
    _loop(packages, material, 1, Result())  # what is compiled or loaded at the first call
    started = time.perf_counter()
    _loop(packages, material, len(material.originals), result)
    result.seconds = time.perf_counter() - started
    return result


def _loop(packages: Mapping[str, Package], material: Material, count: int, result: Result) -> None:
    kept: dict[tuple[str, int], Any] = {}
    for setting in material.decoded:
        for place in range(count):
            for name, package in packages.items():
                started = time.perf_counter()
                if (name, place) not in kept:
                    kept[name, place] = package.keep(material.originals[place], place)
                values = package.score(kept[name, place], material.originals[place], setting[place], place)
                result.by_metric[name] = result.by_metric.get(name, 0) + time.perf_counter() - started
                for column, value in values.items():
                    result.values.setdefault(column, []).append(float(value))


# --------------------------------------------------------------------------------------------------------- our side


class Clock:
    """How long each thread is in forward passes and outside of them, by the metric it works for."""

    def __init__(self) -> None:
        self.total: dict[str, float] = {}
        self.inside: dict[str, float] = {}
        self._here = threading.local()
        self._lock = threading.Lock()
        torch.nn.modules.module.register_module_forward_pre_hook(self._enter)
        torch.nn.modules.module.register_module_forward_hook(self._leave)

    def begin(self, metric: str | None) -> None:
        """From now on this thread works for that metric, or for none."""
        now = time.perf_counter()
        before = getattr(self._here, "metric", None)
        if before is not None:
            self._add(self.total, before, now - self._here.since)
        self._here.metric, self._here.since, self._here.depth = metric, now, 0

    def _enter(self, _module: torch.nn.Module, _inputs: Any) -> None:
        if self._here.depth == 0:
            self._here.entered = time.perf_counter()
        self._here.depth += 1

    def _leave(self, module: torch.nn.Module, _inputs: Any, _outputs: Any) -> None:
        self._here.depth -= 1
        if self._here.depth == 0:
            if next(module.parameters()).is_cuda:
                torch.cuda.synchronize()
            self._add(self.inside, self._here.metric, time.perf_counter() - self._here.entered)

    def _add(self, sums: dict[str, float], metric: str, seconds: float) -> None:
        with self._lock:
            sums[metric] = sums.get(metric, 0) + seconds


class Timed:
    """A metric that tells the clock when it begins; what it stores is computed in its time, too."""

    def __init__(self, metric: Metric, clock: Clock) -> None:
        self._metric, self._clock = metric, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._metric, name)

    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Score, on the clock."""
        self._clock.begin(self._metric.name)
        return self._metric.score(reference, decoded)


def run_ours(material: Material, device: str, precision: str) -> Result:
    """Score as a worker does: batches of images, setting by setting, on as many threads as there are cores."""
    options: dict[str, Any] = {"device": device, "precision": precision, "unverified": True}
    clock = Clock()
    in_boxes = {**options, "boxes": "dataset"}
    metrics: list[Any] = [Timed(create(name, **(in_boxes if name in IN_FACES else options)), clock) for name in OWN]
    threads = CORES if device == "cpu" else 1
    torch.set_num_threads(1 if device == "cpu" else CORES)
    scorer, result = Scorer(), Result()

    def score(reference: Batch, decoded: Batch) -> Mapping[str, Sequence[Any]]:
        scores = scorer.score(metrics, reference, decoded, with_features=True)
        clock.begin(None)
        return scores

    with ThreadPoolExecutor(threads) as pool:
        _collected(list(pool.map(score, *zip(*_batches(material, device, 1), strict=True))))  # loads the networks
        clock.total.clear()
        clock.inside.clear()
        started = time.perf_counter()
        scored = list(pool.map(score, *zip(*_batches(material, device, len(material.originals)), strict=True)))
        result.seconds = time.perf_counter() - started
    result.by_metric, result.in_networks = clock.total, clock.inside
    result.values = _collected(scored)
    return result


def _batches(material: Material, device: str, count: int) -> Iterator[tuple[Batch, Batch]]:
    for start in range(0, count, BATCH[device]):
        here = slice(start, min(start + BATCH[device], count))
        boxes = torch.from_numpy(material.boxes[here]).float().to(device)
        reference = Batch(as_tensor(material.originals[here]).to(device), boxes)
        for setting in material.decoded:
            yield reference, Batch(as_tensor(setting[here]).to(device), boxes, reference)


def _collected(scored: Sequence[Mapping[str, Sequence[Any]]]) -> Values:
    """Column → values by setting, then image, as the packages' loop has them; the scores come by batch, then setting.

    Ends the program where a metric gives no value: its time would be none.
    """
    columns = ("perceptual_l", "perceptual_h", "lpips_alex", "lpips_vgg", "dists", "nme_box", "nme_interocular")
    batches = range(0, len(scored), len(SETTINGS))
    in_order = [scored[first + setting] for setting in range(len(SETTINGS)) for first in batches]
    values = {
        column: [_present(column, value) for scores in in_order for value in scores[column]]
        for column in (*columns, "gender_p_woman", "identity_similarity", "memorability")
    }
    values["inception (mean)"] = [
        float(_present("inception", row).mean()) for scores in in_order for row in scores["feature inception"]
    ]
    return values


def _present(name: str, value: Any) -> Any:
    if isinstance(value, Missing):
        sys.exit(f"{name} has no value: {value.reason}")
    return value


# ---------------------------------------------------------------------------------------------------------- report


def run_side(side: str, folder: Path, device: str) -> Result:
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder), "--device", device]
    environment = {**os.environ, **homes(folder)}
    environment.pop("NUMBA_DISABLE_JIT", None)  # which the tests' writers of networks set, to save their compile time
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return Result(**json.loads((folder / f"{side}.json").read_text()))


def play_side(side: str, folder: Path, device: str) -> None:
    """Be that process."""
    warnings.simplefilter("ignore")  # the packages call torchvision in deprecated ways
    with np.load(folder / "material.npz") as stored:
        material = Material(stored["originals"], stored["decoded"], stored["boxes"])
    with torch.no_grad():
        result = run_packages(material, device) if side == "packages" else run_ours(material, device, side)
    result.peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    (folder / f"{side}.json").write_text(json.dumps(asdict(result)))


def deviation(values: Sequence[float], expected: Sequence[float]) -> float:
    """The largest difference, relative to the largest expected value."""
    one, other = np.array(values, float), np.array(expected, float)
    return float(np.abs(one - other).max() / max(np.abs(other).max(), 1e-12))


def print_report(rounds: Sequence[Mapping[str, Result]], pairs: int) -> None:
    """Print who called what and how long it took, the ratios, the deviations and where the rest of the time went."""
    last = rounds[-1]
    print("\nmilliseconds per image × setting, on the cores together:")
    rows = [[name, words, f"{1e3 * last['packages'].by_metric[name] / pairs:.1f}"] for name, words in CALLED.items()]
    print_table(["metric", "the packages' loop calls", "ms"], rows)
    print("\nvcmbench, milliseconds of a thread per image × setting (what metrics share counts for the first):")
    rows = []
    for name in last["fp32"].by_metric:
        cells = [name]
        for side in RATIOS_WANTED:
            total, inside = last[side].by_metric[name], last[side].in_networks.get(name, 0.0)
            cells += [f"{1e3 * total / pairs:.2f}", f"{1e3 * (total - inside) / pairs:.2f}"]
        rows.append(cells)
    print_table(["metric", "fp32", "outside networks", "bf16", "outside networks"], rows)
    print()
    rows = []
    for side, wanted in RATIOS_WANTED.items():
        share = statistics.median(
            sum(each[side].in_networks.values()) / sum(each[side].by_metric.values()) for each in rounds
        )
        seconds = spread([each[side].seconds for each in rounds], ".1f")
        ratio = spread([each["packages"].seconds / each[side].seconds for each in rounds])
        rows.append([side, seconds, ratio, str(wanted), f"{100 * share:.1f} %", f"{last[side].peak_gib:.1f}"])
    packages = [each["packages"].seconds for each in rounds]
    rows.append(["packages", spread(packages, ".1f"), "1", "", "", f"{last['packages'].peak_gib:.1f}"])
    print_table(
        ["side", "seconds", "faster than the packages", "wanted", "in forward passes (95 % wanted)", "peak memory, GiB"],
        rows,
    )
    print("\nlargest deviation of a value, relative to the column's largest value:")
    fp32, bf16 = (last[side].values for side in RATIOS_WANTED)
    rows = [
        [column, f"{deviation(fp32[column], expected):.1e}", f"{deviation(bf16[column], fp32[column]):.1e}"]
        for column, expected in last["packages"].values.items()
    ]
    print_table(["column", "fp32 from the packages", "bf16 from fp32"], rows)


def main() -> None:
    """Parse the command line, run the sides in turns and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--portraits", type=Path, default=PORTRAITS)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--side", choices=("packages", "fp32", "bf16"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    keep_to_cores(CORES)
    if arguments.side:
        play_side(arguments.side, arguments.folder, arguments.device)
        return
    print(machine("torch", "torchvision", "lpips", "face-alignment", "deepface", "pytorch-fid", "resmem"))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_material(arguments.portraits, arguments.images, folder / "material.npz")
        write_networks(folder, arguments.portraits.parent / "weights")
        rounds = []
        for number in range(arguments.repeat):
            rounds.append({side: run_side(side, folder, arguments.device) for side in ("packages", *RATIOS_WANTED)})
            now = ", ".join(f"{side} {result.seconds:.1f} s" for side, result in rounds[-1].items())
            print(f"round {number + 1}: {now}", flush=True)
    pairs = arguments.images * len(SETTINGS)
    print(f"{arguments.images} images × {len(SETTINGS)} settings, 256×256, {CORES} cores, {arguments.device}")
    print_report(rounds, pairs)


if __name__ == "__main__":
    main()
