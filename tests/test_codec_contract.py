"""What every codec family must do, whoever wrote it.

The suite runs over the registry: a plug-in that is installed beside vcmbench (entry point `vcmbench.codecs`) is tested
by `pytest tests/test_codec_contract.py -k FAMILY` without a line of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from skimage.data import astronaut

from vcmbench import registry
from vcmbench.codecs import create
from vcmbench.interfaces import BitstreamError, Codec, Image, ImageError, Parameter, ParameterError, ParameterValue, digest

FAMILIES = tuple(registry.codecs.classes)
ASTRONAUT: Image = astronaut()  # type: ignore[no-untyped-call]  # scikit-image has no type hints
FACE: Image = np.ascontiguousarray(ASTRONAUT[20:220, 110:310])
SMALL: Image = np.ascontiguousarray(FACE[30:126, 40:168])
ORDINARY_SIZE = (200, 313)
SIZES = ((1, 1), (17, 31), ORDINARY_SIZE)
SECONDS_FOR_A_BAD_STREAM = 1.0

each_family = pytest.mark.parametrize("family", FAMILIES)


def settings(family: str) -> list[Codec]:
    """The family's lowest, default and highest rate, rising; the default alone where it has no rate parameter."""
    default = create(family)
    name = default.rate_parameter
    if name is None:
        return [default]
    parameter = default.parameters[name]
    assert parameter.minimum is not None
    assert parameter.maximum is not None
    number = type(parameter.default)
    values = sorted({number(parameter.minimum), number(parameter.default), number(parameter.maximum)})
    return [create(family, **{name: value}) for value in values]


def all_settings() -> list[object]:
    """Every family's settings, named by their variant."""
    return [pytest.param(codec, id=codec.variant) for family in FAMILIES for codec in settings(family)]


each_setting = pytest.mark.parametrize("codec", all_settings())


def psnr(reference: Image, decoded: Image) -> float:
    """Peak signal-to-noise ratio in dB over the three channels; identical images give 100."""
    error = float(np.mean((reference.astype(np.float64) - decoded) ** 2))
    return 100.0 if error == 0 else 10 * np.log10(255**2 / error)


def assert_refused_or_image(codec: Codec, bitstream: bytes) -> None:
    """A bad stream gives a `BitstreamError` or some image, soon."""
    start = time.process_time()
    with contextlib.suppress(BitstreamError):
        decoded = codec.decode(bitstream)
        assert decoded.dtype == np.uint8
        assert decoded.ndim == 3
        assert decoded.shape[2] == 3
    assert time.process_time() - start < SECONDS_FOR_A_BAD_STREAM


# ------------------------------------------------------------------------------------------------------ round trip


@each_setting
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_decoded_image_has_the_original_shape(codec: Codec, size: tuple[int, int]) -> None:
    """Images of odd sizes come back in their size as uint8 RGB; only tiny ones may be refused."""
    height, width = size
    image = ASTRONAUT[60 : 60 + height, 120 : 120 + width]
    try:
        bitstream = codec.encode(image)
    except ImageError as error:
        if size == ORDINARY_SIZE:
            raise
        pytest.skip(f"too small for this family: {error}")
    decoded = codec.decode(bitstream)
    assert isinstance(bitstream, bytes)
    assert decoded.shape == image.shape
    assert decoded.dtype == np.uint8


@each_family
def test_bytes_and_quality_rise_with_the_rate_parameter(family: str) -> None:
    """Along the rate parameter both the bytes and the PSNR rise."""
    codecs = settings(family)
    streams = [codec.encode(FACE) for codec in codecs]
    sizes = [len(stream) for stream in streams]
    quality = [psnr(FACE, codec.decode(stream)) for codec, stream in zip(codecs, streams, strict=True)]
    assert all(np.diff(sizes) > 0), sizes
    assert all(np.diff(quality) > 0), quality


@each_family
def test_channels_keep_their_order(family: str) -> None:
    """A uniformly red-brown image stays red-brown, so red, green and blue are not exchanged."""
    colour = np.array([200, 120, 40])
    image = np.broadcast_to(colour.astype(np.uint8), FACE.shape)
    codec = settings(family)[-1]
    decoded = codec.decode(codec.encode(image))
    assert np.abs(decoded.mean(axis=(0, 1)) - colour).max() < 30


@each_setting
def test_a_batch_equals_its_images(codec: Codec) -> None:
    """Coding several images at once gives the bytes of one at a time, and pixels within a network's rounding."""
    images = [SMALL, np.ascontiguousarray(SMALL[::-1])]
    streams = codec.encode_batch(images)
    assert streams == [codec.encode(image) for image in images]
    tolerance = 0 if codec.runs_in == "process" else 1
    for decoded, stream in zip(codec.decode_batch(streams), streams, strict=True):
        assert np.abs(decoded.astype(int) - codec.decode(stream)).max() <= tolerance


# ----------------------------------------------------------------------------------------------------- determinism


@each_setting
def test_coding_twice_gives_the_same(codec: Codec) -> None:
    """The same image gives the same bytes and the same pixels, whatever was coded in between."""
    first = codec.encode(SMALL)
    pixels = codec.decode(first)
    codec.decode(codec.encode(FACE))
    assert codec.encode(SMALL) == first
    assert np.array_equal(codec.decode(first), pixels)


FRESH_INTERPRETER = """
import hashlib, json, sys, numpy
from vcmbench.codecs import create
image = numpy.load(sys.argv[1])
for family, params in json.load(sys.stdin):
    codec = create(family, **params)
    stream = codec.encode(image)
    print(hashlib.sha256(stream).hexdigest(), hashlib.sha256(codec.decode(stream).tobytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def fresh_hashes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Hash of stream and pixels of each family's default setting, as another interpreter makes them."""
    path = tmp_path_factory.mktemp("fresh") / "image.npy"
    np.save(path, SMALL)
    defaults = [(family, create(family).params) for family in FAMILIES]
    child = subprocess.run(
        [sys.executable, "-c", FRESH_INTERPRETER, str(path)],
        input=json.dumps(defaults),
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return dict(zip(FAMILIES, child.stdout.splitlines(), strict=True))


@each_family
def test_a_fresh_interpreter_gives_the_same(family: str, fresh_hashes: dict[str, str]) -> None:
    """Another process makes the same bytes and the same pixels."""
    codec = create(family)
    stream = codec.encode(SMALL)
    here = [hashlib.sha256(stream).hexdigest(), hashlib.sha256(codec.decode(stream).tobytes()).hexdigest()]
    assert fresh_hashes[family].split() == here


# ----------------------------------------------------------------------------------------------------- bad streams


@each_family
def test_an_empty_stream_is_refused(family: str) -> None:
    """No bytes are no image."""
    with pytest.raises(BitstreamError, match=family):
        create(family).decode(b"")


def bad_streams(stream: bytes) -> Iterator[bytes]:
    """Truncations, random bytes and bit flips, the same on every run."""
    yield stream[:1]
    for eighth in range(1, 8):
        yield stream[: len(stream) * eighth // 8]
    yield stream[:-1]
    random = np.random.default_rng(0)
    for length in (1, 2, 100, 10_000):
        yield random.bytes(length)
    yield stream + random.bytes(100)
    for _ in range(100):
        flipped = bytearray(stream)
        flipped[random.integers(len(stream))] ^= 1 << int(random.integers(8))
        yield bytes(flipped)


@each_family
def test_a_damaged_stream_is_refused_or_decoded(family: str) -> None:
    """A truncated, random or bit-flipped stream raises nothing but `BitstreamError`, within a second."""
    codec = create(family)
    stream = codec.encode(SMALL)
    codec.decode(stream)
    for damaged in bad_streams(stream):
        assert_refused_or_image(codec, damaged)


@each_family
def test_a_foreign_stream_is_refused_or_decoded(family: str) -> None:
    """Another family's stream raises nothing but `BitstreamError`, within a second."""
    codec = create(family)
    codec.decode(codec.encode(SMALL))
    for other in FAMILIES:
        assert_refused_or_image(codec, create(other).encode(SMALL))


# ------------------------------------------------------------------------------------------------------ bad arrays


@each_family
@pytest.mark.parametrize(
    "array",
    [
        pytest.param(SMALL.astype(np.float32), id="float"),
        pytest.param(SMALL.astype(np.int16), id="int16"),
        pytest.param(SMALL[..., 0], id="grey"),
        pytest.param(np.dstack([SMALL, SMALL[..., 0]]), id="alpha"),
        pytest.param(np.moveaxis(SMALL, 2, 0), id="channels-first"),
        pytest.param(SMALL[:0], id="no-rows"),
    ],
)
def test_an_array_that_is_no_image_is_refused(family: str, array: Image) -> None:
    """Anything but H×W×3 uint8 raises a `ValueError` that says what is wanted and what was given."""
    with pytest.raises(ValueError, match=r"H×W×3 uint8.*\(\d+"):
        create(family).encode(array)


@each_family
def test_any_memory_layout_is_coded_alike(family: str) -> None:
    """Views and read-only arrays give the bytes of a plain copy, and no input is changed."""
    codec = create(family)
    mirrored = SMALL[:, ::-1]
    plain = mirrored.copy()
    plain.flags.writeable = False
    assert codec.encode(mirrored) == codec.encode(plain)

    before = SMALL.copy()
    codec.encode(SMALL)
    assert np.array_equal(SMALL, before)


# ----------------------------------------------------------------------------------------- parameters and identity


@each_family
def test_an_unknown_parameter_is_refused(family: str) -> None:
    """A parameter that the family does not have is named, with those it has."""
    with pytest.raises(ParameterError, match=r"no_such_parameter.*its parameters are"):
        create(family, no_such_parameter=1)


def wrong_values(parameter: Parameter) -> list[object]:
    """Values of another type, beside the range, or outside the choices."""
    if isinstance(parameter.default, bool):
        return [1, "true", None]
    if isinstance(parameter.default, str):
        return [1, True, None, *(["no such word"] if parameter.choices else [])]
    assert parameter.minimum is not None
    assert parameter.maximum is not None
    return [parameter.minimum - 1, parameter.maximum + 1, float("nan"), "1", True, None]


@each_family
def test_a_wrong_parameter_value_is_refused(family: str) -> None:
    """A value of the wrong type or out of range is named, with the parameter and what it allows."""
    for name, parameter in create(family).parameters.items():
        for value in wrong_values(parameter):
            with pytest.raises(ParameterError) as refusal:
                create(family, **{name: value})
            for part in (name, parameter.allowed, repr(value)):
                assert part in str(refusal.value)


@each_family
def test_a_family_describes_itself(family: str) -> None:
    """The listing has a line for the family and for each of its parameters, and the rate parameter is one of them."""
    codec = create(family)
    assert codec.family == family
    assert set(codec.parameters) == set(codec.params)
    assert codec.rate_parameter is None or codec.rate_parameter in codec.params
    for line in (codec.summary, *(parameter.help for parameter in codec.parameters.values())):
        assert line
        assert "\n" not in line


@each_setting
def test_a_variant_spells_its_setting(codec: Codec) -> None:
    """Reading the variant's words back gives the same setting, and the curve is the variant without the rate."""
    family, *words = codec.variant.split()
    given = dict(word.split("=") for word in words)
    params = {name: parse(codec.parameters[name], text) for name, text in given.items()}
    assert create(family, **params).params == codec.params

    kept = [word for word in words if word.partition("=")[0] != codec.rate_parameter]
    assert codec.curve == " ".join([family, *kept])


def parse(parameter: Parameter, text: str) -> ParameterValue:
    """Read a value in the parameter's type."""
    if isinstance(parameter.default, bool):
        return text == "true"
    return type(parameter.default)(text)


@each_family
def test_an_identity_tells_settings_apart(family: str) -> None:
    """Equal settings have equal identities and other rates have others, through JSON and with the library's version."""
    codecs = settings(family)
    keys = [digest(codec.identity) for codec in codecs]
    assert keys == [digest(codec.identity) for codec in settings(family)]
    assert len(set(keys)) == len(keys)
    for codec in codecs:
        assert json.loads(json.dumps(codec.identity)) == codec.identity
        assert codec.backend() in str(codec.identity)


@each_setting
def test_a_codec_can_be_sent_to_another_process(codec: Codec) -> None:
    """A pickled codec, and one made from its class and parameters, are the same codec."""
    for copy in (pickle.loads(pickle.dumps(codec)), registry.load(registry.spell(type(codec)))(**codec.params)):
        assert copy.identity == codec.identity
        assert copy.variant == codec.variant
        assert copy.encode(SMALL) == codec.encode(SMALL)


def test_the_suite_covers_the_built_in_families() -> None:
    """The registry has the families that vcmbench ships."""
    assert {"avif", "downscale", "jpeg", "jpeg2000", "png", "webp"} <= set(FAMILIES)


def test_the_portraits_survive_every_family(portraits: Path) -> None:
    """A real portrait comes back in its own size from each family's default setting."""
    path = min(portraits.rglob("*.jpg"))
    image = np.asarray(PIL.Image.open(path).convert("RGB"))
    for family in FAMILIES:
        codec = create(family)
        assert codec.decode(codec.encode(image)).shape == image.shape
