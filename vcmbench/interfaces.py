"""Every contract of vcmbench, and nothing else.

Data flows one way: a `Dataset` names images, a `Codec` turns each into a bitstream and back, a `Metric` compares the
two, and the result is stored and reported. torch and pyarrow are imported for type checking only, so that codec
processes and reports start without them.
"""

from __future__ import annotations

import hashlib
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

Image: TypeAlias = npt.NDArray[np.uint8]
"""H×W×3, RGB, sRGB, 8 bits."""

ParameterValue: TypeAlias = bool | int | float | str
Feature = TypeVar("Feature")
Feature_co = TypeVar("Feature_co", covariant=True)


class UsageError(ValueError):
    """What the user asked for cannot be done; the message names the thing and the remedy."""


class ParameterError(UsageError):
    """A codec parameter is unknown, of the wrong type or out of its range."""


class BitstreamError(ValueError):
    """A bitstream is malformed, truncated or not of this codec."""


class ImageError(ValueError):
    """An image file cannot be read or used; the message says why."""


class StorageError(Exception):
    """Storage failed for longer than was waited; what is stored is whole, and the run can be resumed."""


class Superseded(Exception):  # noqa: N818  # an outcome that the taken-over process is told, not a fault of its own
    """Another process has replaced a file that only one may write."""


def digest(identity: object) -> str:
    """Return 16 hexadecimal digits that are equal exactly for equal JSON-like values, on every machine."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return content_hash(text.encode())


def content_hash(data: bytes | memoryview) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a bitstream, or of an image's samples."""
    return hashlib.sha256(data).hexdigest()[:16]


# ---------------------------------------------------------------------------------------------------------- codecs


@dataclass(frozen=True)
class Parameter:
    """One parameter of a codec family: its default (which fixes its type), what it does, and its allowed values.

    Numbers have an inclusive range, words have choices, flags need neither.
    """

    default: ParameterValue
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """The allowed values in words, as shown by `vcmbench codecs` and in errors."""
        if isinstance(self.default, bool):
            return "true or false"
        if isinstance(self.default, str):
            return "one of " + ", ".join(self.choices) if self.choices else "a word"
        noun = "a whole number" if isinstance(self.default, int) else "a number"
        return f"{noun} from {self.minimum:g} to {self.maximum:g}"

    def check(self, owner: str, name: str, value: object) -> ParameterValue:
        """Return `value` in the parameter's type, or raise `ParameterError` naming owner, parameter and range."""
        if isinstance(self.default, bool) or isinstance(value, bool):
            fits = isinstance(self.default, bool) and isinstance(value, bool)
        elif isinstance(self.default, str):
            fits = isinstance(value, str) and (not self.choices or value in self.choices)
        else:
            if isinstance(self.default, float) and isinstance(value, int):
                value = float(value)
            low, high = cast(float, self.minimum), cast(float, self.maximum)
            fits = isinstance(value, type(self.default)) and low <= cast(float, value) <= high
        if not fits:
            raise ParameterError(f"{owner}: {name} must be {self.allowed}, not {value!r}")
        return cast(ParameterValue, value)


def resolve(owner: str, parameters: Mapping[str, Parameter], given: Mapping[str, object]) -> dict[str, ParameterValue]:
    """Return the value of every parameter; raise `ParameterError` for an unknown one, a wrong type or value."""
    unknown = [name for name in given if name not in parameters]
    if unknown:
        known = ", ".join(parameters) or "none"
        raise ParameterError(f"{owner}: unknown parameter {unknown[0]!r}; its parameters are: {known}")
    return {name: parameter.check(owner, name, given.get(name, parameter.default)) for name, parameter in parameters.items()}


class Codec(ABC):
    """One *setting* of one codec family, e.g. jpeg at quality 4.

    A subclass states its family, parameters and rate parameter, and implements `encode`, `decode` and `backend`.
    Instances are stateless: the same image gives the same bytes, whatever was coded before.
    """

    family: ClassVar[str]
    summary: ClassVar[str]
    version: ClassVar[str]
    """Raised whenever the same parameters would give other bytes or pixels."""
    parameters: Mapping[str, Parameter]
    """By name, in the order they are spelled; a wrapper's depend on what it wraps."""
    rate_parameter: str | None
    """The parameter that rises with the rate and spans a curve; None for a single point."""
    scalable: bool = False
    """Whether a bitstream of a curve is the beginning of that of the next higher rate."""
    runs_in: Literal["process", "worker", "both"] = "process"
    """"process": CPU code, run in a killable process. "worker": a network, batched on the worker's device. "both": encoded
    in a process, and decoded by a network in the worker."""
    device: str = "cpu"
    """Where a network computes, e.g. "cuda"; the worker says so."""

    def __init__(self, **params: object) -> None:
        """Resolve the defaults; raise `ParameterError` for what is unknown or out of range."""
        self.params = resolve(self.family, self.parameters, params)

    @property
    def defaults(self) -> Mapping[str, ParameterValue]:
        """The family's default parameters."""
        return {name: parameter.default for name, parameter in self.parameters.items()}

    @property
    def variant(self) -> str:
        """The setting in words: the family, the rate parameter and every parameter that differs from its default."""
        return _spell(self.family, self.params, self.defaults, always=self.rate_parameter)

    @property
    def curve(self) -> str:
        """The curve this setting is a point of: the variant without its rate parameter."""
        params = {name: value for name, value in self.params.items() if name != self.rate_parameter}
        return _spell(self.family, params, self.defaults)

    @property
    def identity(self) -> dict[str, object]:
        """Everything of this codec that can change a byte or a pixel."""
        return {"family": self.family, "version": self.version, "params": self.params, "backend": self.backend()}

    @abstractmethod
    def backend(self) -> str:
        """Name the libraries that do the coding and their versions, e.g. "Pillow 13.0.0, libjpeg-turbo 3.1.3"."""

    @abstractmethod
    def encode(self, image: Image) -> bytes:
        """Code one image; all side information is in the returned bytes."""

    @abstractmethod
    def decode(self, bitstream: bytes) -> Image:
        """Rebuild the image from the bytes alone, in its original size; raise `BitstreamError` for a malformed stream."""

    def encode_batch(self, images: Sequence[Image]) -> list[bytes]:
        """Code several images; networks override this."""
        return [self.encode(image) for image in images]

    @classmethod
    def encode_many(cls, image: Image, settings: Sequence[Codec]) -> list[bytes]:
        """Code one image for several settings of this family; one whose settings share an analysis overrides this."""
        return [setting.encode(image) for setting in settings]

    def decode_batch(self, bitstreams: Sequence[bytes]) -> list[Image]:
        """Decode several bitstreams; networks override this."""
        return [self.decode(bitstream) for bitstream in bitstreams]


def _spell(
    family: str,
    params: Mapping[str, ParameterValue],
    defaults: Mapping[str, ParameterValue],
    always: str | None = None,
) -> str:
    words = [f"{name}={_word(value)}" for name, value in params.items() if name == always or value != defaults.get(name)]
    return " ".join([family, *words])


def _word(value: ParameterValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)


# --------------------------------------------------------------------------------------------------------- metrics


class Extractor(Protocol[Feature_co]):
    """A feature of a batch, e.g. its luma or a network's activations.

    Two extractors that compute the same thing must be equal and hash alike (a function or a frozen dataclass does),
    so that metrics which name the same one share one pass.
    """

    def __call__(self, batch: Batch) -> Feature_co:
        """Compute the feature of every image of the batch."""

    def __hash__(self) -> int: ...


class Batch:
    """Same-size images on one device, with every derived feature computed once.

    What `images`, `boxes` and `get` return is the caller's own: a tensor, or a tuple of them, shares memory until somebody
    changes it in place, and nobody else sees the change. Features of other types, a list say, are shared as they are.
    """

    def __init__(self, images: Tensor, boxes: Tensor | None = None, original: Batch | None = None) -> None:
        if images.ndim != 4 or images.shape[1] != 3 or str(images.dtype) != "torch.uint8":
            raise ValueError(f"a batch takes uint8 tensors of shape B×3×H×W, not {images.dtype} {tuple(images.shape)}")
        self._images = _copy_on_write(images)
        self._boxes = None if boxes is None else _copy_on_write(boxes)
        self._original = original
        self._features: dict[Hashable, Any] = {}
        self._parts: dict[tuple[int, int], Batch] = {}
        self._computing: dict[Hashable, threading.RLock] = {}
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return int(self._images.shape[0])

    @property
    def images(self) -> Tensor:
        """B×3×H×W uint8 RGB."""
        return _copy_on_write(self._images)

    @property
    def boxes(self) -> Tensor | None:
        """B×4 (x, y, width, height in these pixels): the face boxes found on the originals and shared by every setting.

        NaN for an image without one; None where no image has one.
        """
        return None if self._boxes is None else _copy_on_write(self._boxes)

    @property
    def original(self) -> Batch:
        """What these images were decoded from, if that was told; else this batch itself."""
        return self._original or self

    def get(self, extractor: Extractor[Feature]) -> Feature:
        """Return the extractor's feature of these images, computed on the first call whichever thread makes it.

        Other threads that ask for the same feature wait for it, those that ask for another one do not.
        """
        with self._lock:
            computing = self._computing.setdefault(extractor, threading.RLock())
        with computing:
            with self._lock:
                is_there, feature = extractor in self._features, self._features.get(extractor)
            if not is_there:
                feature = self._own(extractor(self))
                with self._lock:
                    self._features[extractor] = feature
            return cast(Feature, self._own(feature))

    def part(self, start: int, stop: int) -> Batch:
        """Return some of the images as a batch with features of its own, the same batch at every call."""
        if (start, stop) == (0, len(self)):
            return self
        with self._lock:
            if (start, stop) not in self._parts:
                boxes = None if self._boxes is None else self._boxes[start:stop]
                original = None if self._original is None else self._original.part(start, stop)
                self._parts[start, stop] = Batch(self._images[start:stop], boxes, original)
            return self._parts[start, stop]

    def release(self, keep: Collection[Extractor[Any]] = ()) -> None:
        """Free every feature but those named in `keep`, and likewise of its parts; one under way is not waited for."""
        with self._lock:
            self._features = {extractor: value for extractor, value in self._features.items() if extractor in keep}
            for part in self._parts.values():
                part.release(keep)

    def _own(self, feature: Any) -> Any:
        if isinstance(feature, tuple):
            return getattr(type(feature), "_make", tuple)(map(self._own, feature))
        is_dense_tensor = isinstance(feature, type(self._images)) and feature.layout == self._images.layout
        return _copy_on_write(feature) if is_dense_tensor else feature


def _copy_on_write(tensor: Tensor) -> Tensor:
    """The same tensor, in the same memory until either is changed; the name is private, so torch is pinned."""
    try:
        return tensor._lazy_clone()
    except RuntimeError:  # the memory is not torch's own, but NumPy's, say
        return tensor.clone()._lazy_clone()


@dataclass(frozen=True)
class Missing:
    """Stands for a value that a metric cannot give, with the reason."""

    reason: str
    transient: bool = False
    """Whether trying again may help, as after a lack of memory."""


Value: TypeAlias = float | bool | str | Missing
Scores: TypeAlias = Mapping[str, Sequence[Value]]
"""Column → one value per image of the batch, in order."""

Precision: TypeAlias = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Setup:
    """How the networks of metrics and codecs are run."""

    device: str = "cpu"
    precision: Precision = "fp32"
    untrained: bool = False
    """Seeded random networks instead of pretrained ones: for smoke tests and speed, since the values mean nothing."""
    unverified: bool = False
    """Whether to use weight files whose hash is not the published one."""


@dataclass(frozen=True)
class Column:
    """One result column of a metric: how it is titled, which way is better, and what values it takes."""

    title: str
    better: Literal["higher", "lower"] | None
    dtype: Literal["float", "bool", "string"] = "float"
    unit: str = ""
    limits: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True)
class StoredFeature:
    """A feature that is kept for the first images of a run: what a set metric, or a figure of the report, is made from."""

    name: str
    """Metrics that store the same feature name it alike."""
    length: int
    extractor: Extractor[Tensor]
    """Gives B×`length` float32; an image without the feature has NaN in its row."""


class Metric(ABC):
    """One value, or a few, per pair of original and decoded image.

    Making one loads nothing: networks are loaded by the first `score`. One instance serves several threads at once: `score`
    keeps no state. Tensors it takes from a batch are its own to change, features of other types are not.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    version: ClassVar[str]
    """Raised whenever the same images would give other values."""
    kind: ClassVar[Literal["human", "machine"]]
    columns: ClassVar[Mapping[str, Column]]
    parameters: ClassVar[Mapping[str, Parameter]] = {}
    requires: ClassVar[Mapping[str, str]] = {}
    """Modules that must be there → how to get them, e.g. "pip install 'vcmbench[metrics]'"."""
    weights: tuple[str, ...] = ()
    """The names in `vcmbench.weights` of the files that its networks are made from."""
    extractors: tuple[Extractor[Any], ...] = ()
    """What `score` asks of a batch; features that no metric of the job still names are freed."""
    stores: tuple[StoredFeature, ...] = ()

    def __init__(self, setup: Setup | None = None, **params: object) -> None:
        """Resolve the defaults; raise `ParameterError` for a parameter that is unknown or out of range."""
        self.setup = setup or Setup()
        self.params = resolve(self.name, self.parameters, params)

    def unavailable(self) -> str | None:
        """Say what is missing on this machine and how to get it, or None; weights are looked up elsewhere."""
        missing = [module for module in self.requires if find_spec(module) is None]
        return f"needs {missing[0]}; {self.requires[missing[0]]}" if missing else None

    @property
    def identity(self) -> dict[str, object]:
        """Everything that can change a value: class version, parameters, weights, backend, precision."""
        params = {"params": self.params} if self.params else {}
        return {"name": self.name, "version": self.version, **params}

    @abstractmethod
    def score(self, reference: Batch, decoded: Batch) -> Scores:
        """Compare each decoded image with its original; every column has one value, or a `Missing`, per image."""


class SetMetric(Metric):
    """One value, or a few, per set of images, e.g. FID; what is computed per image is a feature, which is stored."""

    columns: ClassVar[Mapping[str, Column]] = {}
    set_columns: ClassVar[Mapping[str, Column]]
    value: ClassVar[str]
    """`module:function`, called when reporting with the feature of the originals (N×D float32), an iterable of that of the
    decoded images under one setting after another (N×D each), and the identities (N, None where unknown). It yields, for
    each setting in turn, set column → `SetValue`. The module must not need torch."""

    @property
    @abstractmethod
    def feature(self) -> StoredFeature:
        """What the value is made from."""

    @property
    def stores(self) -> tuple[StoredFeature, ...]:  # type: ignore[override]  # made when asked for: it depends on the setup
        """The feature."""
        return (self.feature,)

    @property
    def extractors(self) -> tuple[Extractor[Any], ...]:  # type: ignore[override]  # likewise
        """The feature's extractor."""
        return (self.feature.extractor,)

    def score(self, reference: Batch, decoded: Batch) -> Scores:  # noqa: ARG002  # there is no value of one image
        """Nothing: a single image has no value."""
        return {}


@dataclass(frozen=True)
class SetValue:
    """The value of a set metric: its error where one is known, over how many images, and what a reader must know."""

    value: float | None
    error: float | None = None
    n: int = 0
    note: str = ""


# -------------------------------------------------------------------------------------------------------- datasets


class Dataset(ABC):
    """A named collection of face images; a subclass is a frozen dataclass whose fields are its options in the job file."""

    kind: ClassVar[str]
    summary: ClassVar[str]
    notice: ClassVar[str] = ""
    """A caveat that every output must carry, e.g. "two people, not a benchmark"."""

    @abstractmethod
    def images(self) -> Iterator[pa.RecordBatch]:
        """List every image, without opening it.

        Columns: `image` (unique name), `path` (what `read` takes), `identity` (string or null), `box_x`, `box_y`,
        `box_width`, `box_height` (float32 face box in the file's pixels, or null), then any label columns.
        Raises `UsageError` when the root or a list is missing or unreadable.
        """

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Return the image file's bytes; raise `OSError` when it cannot be read."""
