"""A job file that was checked, as the pipeline takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from vcmbench import weights
from vcmbench.config.codecs import check_settings_shown, codecs_of
from vcmbench.config.content import as_mapping, checked, read_content
from vcmbench.config.images import dataset_of, preparation_of, selection_of
from vcmbench.config.messages import at
from vcmbench.config.metrics import metrics_of
from vcmbench.config.sections import JobFile
from vcmbench.datasets.prepare import Preparation
from vcmbench.datasets.selection import Selection
from vcmbench.interfaces import Setup, UsageError
from vcmbench.pipeline.task import Task
from vcmbench.reports.pictures import Showing
from vcmbench.results import CONFIG, RunDirectory


class Job:
    """A job file that was checked: every name is known, every parameter in its range, every metric can run."""

    def __init__(self, file: JobFile, *, fetch: bool = False) -> None:
        """Raise `UsageError` that names the key and the remedy; `fetch` downloads the weights that are not here."""
        self.file = file
        self.dataset = dataset_of(file.dataset)
        self.codecs = codecs_of(file.codecs)
        check_settings_shown(file.report.settings, self.codecs)
        self.setup = Setup(precision=file.precision, untrained=file.untrained, unverified=file.unverified_weights)
        self.metrics, self.unavailable, self.not_downloaded = metrics_of(file.metrics, self.setup, fetch=fetch)

    @property
    def selection(self) -> Selection:
        """Which images of the data set."""
        return selection_of(self.file.dataset)

    @property
    def preparation(self) -> Preparation:
        """How each image is cropped and resized."""
        return preparation_of(self.file.dataset)

    @property
    def task(self) -> Task:
        """The job in the pipeline's terms."""
        return Task(
            name=self.file.name,
            out=self.file.out,
            dataset=self.dataset,
            selection=self.selection,
            preparation=self.preparation,
            codecs=self.codecs,
            metrics=self.metrics,
            without=self.unavailable,
            setup=self.setup,
            notices=tuple(self._notices()),
            feature_images=self.file.feature_images,
            keep_bitstreams=self.file.keep_bitstreams,
            shard_size=self.file.shard_size,
            time_limit=self.file.time_limit,
            resolved=self.resolved,
        )

    def _notices(self) -> Iterator[str]:
        """What every output must say of the networks."""
        names = dict.fromkeys(name for metric in self.metrics for name in metric.weights)
        if self.setup.untrained and names:
            yield "UNTRAINED: the networks are random, so that the values of their metrics mean nothing"
            return
        for name in names:
            if weights.published(name) is False:
                file = weights.verified(name, unverified=True)
                yield f"unverified weights: {file.name}, SHA-256 {weights.sha256(file)}"

    @property
    def resolved(self) -> dict[str, Any]:
        """The whole job with the default of every key written out, as it is stored beside the results."""
        job = self.file.model_dump(mode="json")
        options = TypeAdapter(type(self.dataset)).dump_python(self.dataset, mode="json")
        # What the job file says of the data set comes last: a relative root stays one, and names nobody's home.
        return {**job, "dataset": {"kind": self.dataset.kind, **options, **job["dataset"]}}


def load_job(path: Path, overrides: Sequence[str] = (), *, fetch: bool = False) -> Job:
    """Read and check a job file; `overrides` are `key=value` pairs, the key dotted and the value YAML.

    `fetch` downloads the weights that the job's metrics need and that are not on this machine.
    """
    content = read_content(path, overrides)
    with at(str(path)):
        return Job(checked(content, JobFile), fetch=fetch)


def stored_job(run: RunDirectory) -> JobFile:
    """The resolved job file that a run directory was last brought to."""
    try:
        return checked(as_mapping(yaml.safe_load(run.read(CONFIG))), JobFile)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{run.path(CONFIG)} is damaged: {reason}; restore it, or choose another `out`") from error


def images_shown(job: JobFile, warn: Callable[[str], None]) -> Showing | None:
    """Which images the report shows and where they come from; None where the job wants none shown.

    Raises `UsageError` for a data set that is not known here.
    """
    if not job.report.images:
        return None
    return Showing(
        dataset=dataset_of(job.dataset),
        preparation=preparation_of(job.dataset),
        feature_images=job.feature_images,
        image_names=tuple(job.report.image_names),
        settings=tuple(job.report.settings),
        warn=warn,
    )
