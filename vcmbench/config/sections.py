"""The keys of a job file and of a training job, with their ranges and defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vcmbench.interfaces import Precision


class _Section(BaseModel):
    """A mapping of the job file; the description of each key completes the sentence "… must be"."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Crop(_Section):
    """`crop:` — the square around the face box."""

    scale: float = Field(1.3, gt=0, le=10, description="a number above 0, at most 10")


class DatasetSection(_Section):
    """`dataset:` — which images, and how they are prepared; keys that are not listed here are the kind's own options."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(description="the name of a data set, such as demo")
    size: int = Field(256, ge=16, le=4096, description="a whole number of pixels from 16 to 4096")
    crop: Crop = Field(Crop(), description="a section such as {scale: 1.3}")
    min_face: float = Field(0.0, ge=0, description="a number of pixels from 0")
    limit: int | None = Field(None, ge=1, description="a whole number from 1 (leave it out to take every image)")
    identities: Annotated[int, Field(ge=1)] | Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="a whole number from 1 or a list of names (leave it out to take everybody)"
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="a whole number from 0 to 4294967295")


class MlflowSection(_Section):
    """`mlflow:` — where aggregated results are logged."""

    tracking_uri: str = Field("sqlite:///mlflow.db", min_length=1, description="a URI such as sqlite:///mlflow.db")
    experiment: str = Field("vcmbench", min_length=1, description="text such as vcmbench")


class ReportSection(_Section):
    """`report:` — what the report compares with, and whether it shows images, and which ones its figures are of."""

    anchor: str | None = Field(
        None, min_length=1, description="a curve such as jpeg (leave it out for the first with 4 points)"
    )
    images: bool = Field(False, description="true or false")  # noqa: FBT003  # pydantic's way to state a default
    image_names: list[str] = Field(
        [], max_length=50, description="a list of at most 50 images (leave it out for a choice of 6)"
    )
    settings: list[str] = Field(
        [], max_length=50, description='a list of at most 50 settings such as ["jpeg quality=4"] (leave it out for a choice)'
    )


class JobFile(_Section):
    """A whole job file. A path in it, such as `out` or a data set's `root`, is relative to the working directory."""

    name: str = Field(min_length=1, description="text such as demo")
    dataset: DatasetSection = Field(description="a section such as {kind: demo}")
    codecs: list[Any] = Field(min_length=1, description="a list such as [jpeg: {quality: [4, 10]}, png]")
    metrics: Literal["all", "available"] | Annotated[list[Any], Field(min_length=1)] = Field(
        "all", description="all, available or a list such as [psnr_y, landmarks: {detector: sfd}]"
    )
    precision: Precision = Field("fp32", description="fp32 or bf16")
    untrained: bool = Field(False, description="true or false")  # noqa: FBT003  # pydantic's way to state a default
    unverified_weights: bool = Field(False, description="true or false")  # noqa: FBT003  # likewise
    feature_images: int = Field(10_000, ge=0, description="a whole number of images from 0")
    keep_bitstreams: bool = Field(False, description="true or false")  # noqa: FBT003  # likewise
    out: str = Field(min_length=1, description="a folder or URL such as runs/demo")
    shard_size: int = Field(256, ge=1, le=100_000, description="a whole number of images from 1 to 100000")
    time_limit: float = Field(60.0, ge=0.01, le=86_400, description="a number of seconds from 0.01 to 86400")
    mlflow: MlflowSection | None = Field(None, description="a section such as {experiment: vcmbench}")
    report: ReportSection = Field(ReportSection(), description="a section such as {anchor: jpeg}")


class LossesSection(_Section):
    """`losses:` — how much each counts beside the mean absolute difference, and when the discriminator joins in."""

    gradient: float = Field(1.0, ge=0, description="a number from 0")
    structural: float = Field(0.0, ge=0, description="a number from 0")
    perceptual: float = Field(0.0, ge=0, description="a number from 0")
    adversarial: float = Field(0.0, ge=0, description="a number from 0")
    adversarial_from: int = Field(0, ge=0, description="a whole number of steps from 0")


class TrainingFile(_Section):
    """A whole training job. Paths in it are relative to the working directory."""

    name: str = Field(min_length=1, description="text such as decoder")
    dataset: DatasetSection = Field(description="a section such as {kind: demo}")
    validation: DatasetSection | None = Field(None, description="a section such as {kind: demo}")
    forms: int = Field(4, ge=1, le=1000, description="a whole number from 1 to 1000")
    steps: int = Field(100_000, ge=1, description="a whole number from 1")
    batch: int = Field(8, ge=1, le=4096, description="a whole number of pictures from 1 to 4096")
    learning_rate: float = Field(5e-4, gt=0, le=1, description="a number above 0, at most 1")
    losses: LossesSection = Field(LossesSection(), description="a section such as {perceptual: 0.05}")
    average: float = Field(0.999, ge=0, lt=1, description="a number from 0, below 1")
    precision: Precision = Field("bf16", description="fp32 or bf16")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="a whole number from 0 to 4294967295")
    initial: str | None = Field(None, min_length=1, description="a file such as runs/decoder/decoder.safetensors")
    checkpoint_every: int = Field(500, ge=1, description="a whole number of steps from 1")
    validate_every: int = Field(1000, ge=1, description="a whole number of steps from 1")
    workers: int | None = Field(None, ge=1, description="a whole number of processes from 1")
    out: str = Field(min_length=1, description="a folder such as runs/decoder")
    mlflow: MlflowSection | None = Field(None, description="a section such as {experiment: vcmbench}")
