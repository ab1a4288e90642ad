"""Coding at a lower resolution: geometry, header, and how the wrapped family shows through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from skimage.data import astronaut

from vcmbench import registry
from vcmbench.codecs import create
from vcmbench.codecs.downscale import Downscale
from vcmbench.codecs.png import Png
from vcmbench.interfaces import BitstreamError, Image, ImageError, ParameterError, UsageError, digest

FACE: Image = np.ascontiguousarray(astronaut()[20:220, 60:373])  # type: ignore[no-untyped-call]  # scikit-image has no type hints

each_factor = pytest.mark.parametrize("factor", [2, 4])


# -------------------------------------------------------------------------------------------------------- geometry


@each_factor
def test_every_size_comes_back(factor: int) -> None:
    """Every remainder of height and width by the factor is restored."""
    codec = create("downscale", factor=factor, codec="png")
    for height in range(1, 10):
        for width in range(1, 10):
            image = FACE[:height, :width]
            assert codec.decode(codec.encode(image)).shape == image.shape


@each_factor
def test_the_wrapped_codec_sees_the_small_image(factor: int) -> None:
    """After one byte of header comes the wrapped codec's own stream, of the size divided by the factor, rounded up."""
    stream = create("downscale", factor=factor, codec="webp", quality=5).encode(FACE)
    small = create("webp", quality=5).decode(stream[1:])
    height, width, _ = FACE.shape
    assert small.shape == (-(-height // factor), -(-width // factor), 3)


@each_factor
def test_nothing_is_shifted(factor: int) -> None:
    """Away from the borders a ramp stays in place to a fraction of its slope, whatever the padding."""
    ramp = np.add.outer(2 * np.arange(51), 2 * np.arange(50))
    image = np.repeat(ramp[..., None], 3, axis=2).astype(np.uint8)
    codec = create("downscale", factor=factor, codec="png")
    difference = codec.decode(codec.encode(image)).astype(int) - image
    assert np.abs(difference[12:-12, 12:-12]).max() <= 1


def test_a_uniform_image_is_unchanged() -> None:
    """Resampling and padding bring in no other colour."""
    image = np.full((7, 5, 3), (10, 200, 90), np.uint8)
    codec = create("downscale", factor=4, codec="png")
    assert np.array_equal(codec.decode(codec.encode(image)), image)


def test_a_lower_resolution_is_a_lower_rate() -> None:
    """At the same quality of the wrapped codec a larger factor costs fewer bytes."""
    full, half, quarter = (create("jpeg"), create("downscale", codec="jpeg"), create("downscale", codec="jpeg", factor=4))
    assert len(full.encode(FACE)) > len(half.encode(FACE)) > len(quarter.encode(FACE))


# ---------------------------------------------------------------------------------------------------------- header


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(4 << 4, id="another factor"),
        pytest.param(0, id="no factor"),
        pytest.param(2 << 4 | 2 << 2, id="more rows than the factor"),
        pytest.param(2 << 4 | 3, id="more columns than the factor"),
    ],
)
def test_an_impossible_header_is_refused(header: int) -> None:
    """A header of another factor, or whose padding the factor cannot leave, is not of this codec."""
    codec = create("downscale", factor=2, codec="png")
    stream = codec.encode(FACE)
    with pytest.raises(BitstreamError, match="factor 2"):
        codec.decode(bytes([header]) + stream[1:])


@pytest.mark.parametrize("body", [b"", b"\x00", b"no image at all"])
def test_a_header_without_a_picture_is_refused(body: bytes) -> None:
    """What follows the header must be the wrapped codec's stream."""
    codec = create("downscale", factor=2, codec="webp")
    with pytest.raises(BitstreamError, match="webp"):
        codec.decode(codec.encode(FACE)[:1] + body)


def test_another_wrapped_familys_stream_is_refused() -> None:
    """The stream of one wrapped family is not decoded as another's."""
    stream = create("downscale", codec="jpeg").encode(FACE)
    with pytest.raises(BitstreamError, match="webp"):
        create("downscale", codec="webp").decode(stream)


def test_a_giant_after_enlarging_is_refused() -> None:
    """A small image that would exceed a hundred megapixels once enlarged is an error."""
    small = np.zeros((2_501, 2_500, 3), np.uint8)
    with pytest.raises(BitstreamError, match="10000×10004"):
        create("downscale", factor=4, codec="png").decode(b"\x40" + create("png").encode(small))


def test_a_giant_is_not_encoded() -> None:
    """The limit holds for the image itself, not for its small version."""
    giant = np.broadcast_to(np.uint8(0), (10_001, 10_000, 3))
    with pytest.raises(ImageError, match="10000×10001"):
        create("downscale", factor=4, codec="png").encode(giant)


# ------------------------------------------------------------------------------------------------ the wrapped family


def test_factor_and_codec_are_always_spelled() -> None:
    """The variant and the curve say what is wrapped and how, defaults included."""
    codec = create("downscale", quality=5)
    assert codec.variant == "downscale factor=2 codec=webp quality=5"
    assert codec.curve == "downscale factor=2 codec=webp"
    assert codec.rate_parameter == "quality"
    codec = create("downscale", factor=4, codec="jpeg", quality=4, optimize=True)
    assert codec.variant == "downscale factor=4 codec=jpeg quality=4 optimize=true"
    assert codec.curve == "downscale factor=4 codec=jpeg optimize=true"


def test_a_single_point_stays_one() -> None:
    """Wrapping a family without a rate parameter gives a single point."""
    codec = create("downscale", codec="png")
    assert codec.rate_parameter is None
    assert codec.variant == codec.curve == "downscale factor=2 codec=png"


def test_the_identity_holds_the_wrapped_codecs() -> None:
    """Whatever changes the wrapped codec's identity changes the wrapper's."""
    codec = create("downscale", codec="webp", quality=5)
    wrapped = create("webp", quality=5)
    assert codec.identity["wrapped"] == wrapped.identity
    assert wrapped.backend() in codec.backend()
    assert digest(codec.identity) != digest(create("downscale", codec="webp", quality=5, factor=4).identity)


def test_a_wrapped_network_keeps_its_batches_and_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family that codes batches on the worker's device does so when wrapped, one batch a call."""
    batches: list[int] = []

    class Batched(Png):
        """PNG in the manner of a network."""

        family = "batched"
        runs_in = "worker"

        def encode_batch(self, images: Sequence[Image]) -> list[bytes]:
            batches.append(len(images))
            return super().encode_batch(images)

        def decode_batch(self, bitstreams: Sequence[bytes]) -> list[Image]:
            batches.append(len(bitstreams))
            return super().decode_batch(bitstreams)

    monkeypatch.setitem(registry.codecs.classes, "batched", Batched)
    codec = create("downscale", factor=4, codec="batched")
    images = [FACE, FACE[:50], FACE[:, :70]]
    decoded = codec.decode_batch(codec.encode_batch(images))
    assert codec.runs_in == "worker"
    assert batches == [3, 3]
    assert [image.shape for image in decoded] == [image.shape for image in images]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"factor": 3}, "factor must be 2 or 4, not 3"),
        ({"factor": 8}, "factor must be a whole number from 2 to 4, not 8"),
        ({"codec": "downscale"}, "codec cannot be 'downscale'"),
        ({"codec": "wepb"}, "unknown codec 'wepb'.*'webp'.*known: .*jpeg"),
        ({"codec": "jpeg", "method": 4}, "jpeg: unknown parameter 'method'; its parameters are: quality"),
        ({"codec": "jpeg", "quality": 0}, "jpeg: quality must be a whole number from 1 to 100, not 0"),
    ],
)
def test_what_cannot_be_wrapped_is_named(params: dict[str, object], message: str) -> None:
    """A wrong factor, a wrapper in a wrapper, and the wrapped family's own errors are told in one sentence."""
    with pytest.raises(UsageError, match=message):
        create("downscale", **params)


def test_a_family_with_a_parameter_of_the_same_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapped parameter called `factor` would be ambiguous, so it is an error and never a guess."""

    class Zoom(Png):
        """A family with a factor of its own."""

        family = "zoom"
        parameters = {"factor": Downscale.parameters["factor"]}  # noqa: RUF012 - never changed

    monkeypatch.setitem(registry.codecs.classes, "zoom", Zoom)
    with pytest.raises(ParameterError, match="both have a parameter 'factor'"):
        create("downscale", codec="zoom")
