"""The generative decoder: what it is given, what it returns, and that it always does so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage.data import astronaut

from vcmbench.codecs.edge import network
from vcmbench.codecs.edge.condition import Condition, condition
from vcmbench.codecs.edge.geometry import Points, Raster
from vcmbench.codecs.edge.network import CONDITIONS, MULTIPLE, Decoder, backend, reconstruct, sharpened, stack
from vcmbench.codecs.edge.rasterise import rasterise
from vcmbench.codecs.edge.selection import choose
from vcmbench.codecs.edge.tracing import strokes_of
from vcmbench.interfaces import Image

FACE: Image = np.ascontiguousarray(astronaut()[0:160, 144:304])  # type: ignore[no-untyped-call]  # scikit-image has no type hints
NO_POINTS = Points(np.zeros((0, 2), np.int32), np.zeros((0, 3), np.int32))


def analysed(image: Image, count: int) -> Condition:
    """What the decoder learns of an image with so many points."""
    height, width, _ = image.shape
    raster: Raster = rasterise(strokes_of(image), height, width)
    return condition(raster, choose(image, raster, count) if count else NO_POINTS)


@pytest.fixture
def random_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoder]:
    """A network whose every weight is random, in place of the package's."""
    torch.manual_seed(1)
    decoder = Decoder()
    torch.nn.init.normal_(decoder.head.weight, std=0.05)
    save_file(decoder.state_dict(), tmp_path / "random.safetensors")
    monkeypatch.setattr(network, "WEIGHTS", tmp_path / "random.safetensors")
    network.shipped.cache_clear()
    yield decoder
    network.shipped.cache_clear()


# -------------------------------------------------------------------------------------------------------- conditions


def test_points_fill_their_cells_with_their_colours() -> None:
    """Each point's cell has its colour, clipped to what a pixel can be, and the mask says where; elsewhere is nothing."""
    white, black = (48, 0, 0), (-6, 0, 0)
    points = Points(np.array([(0, 0), (3, 2)], np.int32), np.array([white, black], np.int32))
    planes = condition(np.zeros((64, 100), np.bool_), points)
    size = planes.mask.argmin(axis=1)[0]
    assert planes.mask.sum() == 2 * size**2
    assert np.array_equal(planes.colours[:size, :size], np.full((size, size, 3), 255))
    assert planes.mask[3 * size : 4 * size, 2 * size : 3 * size].all()
    assert planes.colours.sum() == 255 * 3 * size**2


def test_conditions_have_the_documented_ranges() -> None:
    """The stacked planes are the diffused picture and the strokes from 0, colours around 0, and the mask."""
    planes = analysed(FACE, 40)
    stacked = stack(planes)
    assert stacked.shape == (CONDITIONS, *FACE.shape[:2])
    assert torch.equal(stacked[3] > 0, torch.from_numpy(planes.raster))
    assert torch.equal(stacked[7] > 0, torch.from_numpy(planes.mask))
    assert np.allclose(stacked[:3].permute(1, 2, 0) * 255, planes.diffused, atol=1e-3)
    assert stacked[4:7].abs().max() <= 0.5
    assert not stacked[4:7, ~torch.from_numpy(planes.mask)].any()


# ------------------------------------------------------------------------------------------------------- the network


def test_an_untrained_network_returns_the_diffused_picture() -> None:
    """Training begins where the classical decoder is."""
    conditions = torch.rand(2, CONDITIONS, 64, 96)
    assert torch.equal(Decoder()(conditions), conditions[:, :3])


def test_the_network_sees_the_whole_face(random_weights: Decoder) -> None:
    """A point at one corner changes pixels at the opposite one."""
    conditions = torch.rand(1, CONDITIONS, 128, 128)
    changed = conditions.clone()
    changed[..., :4, :4] = 1
    assert not torch.equal(random_weights(conditions)[..., -4:, -4:], random_weights(changed)[..., -4:, -4:])


@pytest.mark.parametrize("size", [(32, 32), (57, 91), (33, 640)])
@pytest.mark.usefixtures("random_weights")
def test_any_size_is_decoded(size: tuple[int, int]) -> None:
    """A picture comes back in its size, whether or not that is a multiple of what the network needs."""
    assert size == (32, 32) or any(side % MULTIPLE for side in size)
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    [picture] = reconstruct([analysed(image, 15)])
    assert picture.shape == image.shape
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous


@pytest.mark.usefixtures("random_weights")
def test_sharpening_raises_contrast_and_leaves_flat_colours() -> None:
    """Along an edge both sides move apart by up to a tenth of half its height; far from it nothing changes."""
    picture = np.full((32, 48, 3), 80, np.float32)
    picture[:, 24:] = 120
    found = sharpened(picture)
    np.testing.assert_allclose(found[:, :12], 80, atol=1e-4)
    np.testing.assert_allclose(found[:, 36:], 120, atol=1e-4)
    assert (found[:, 23] < 79).all()
    assert (found[:, 24] > 121).all()
    assert 78 <= found.min() <= found.max() <= 122


def test_a_picture_does_not_depend_on_those_beside_it() -> None:
    """Alone, again, or among others of other sizes: the same pixels."""
    conditions = [analysed(FACE, 15), analysed(FACE[:96], 40), analysed(FACE, 0)]
    together = reconstruct(conditions)
    for one, picture in zip(conditions, together, strict=True):
        assert np.array_equal(reconstruct([one])[0], picture)


def test_rounding_to_bfloat16_changes_no_pixel_by_much(random_weights: Decoder) -> None:
    """Where the CPU computes in bfloat16, the pixels are within two levels of float32's."""
    planes = analysed(FACE, 122)
    with torch.no_grad():
        exact = random_weights(stack(planes)[None])[0].mul(255).permute(1, 2, 0).contiguous().numpy()
    [picture] = reconstruct([planes])
    assert np.abs(picture - sharpened(exact).clip(0, 255)).max() < 2.5


def test_the_backend_tells_weights_apart(random_weights: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other weights mean another identity, so that stored results of the old ones are not taken for theirs."""
    before = backend()
    torch.nn.init.normal_(random_weights.stem.weight)
    save_file(random_weights.state_dict(), tmp_path / "other.safetensors")
    monkeypatch.setattr(network, "WEIGHTS", tmp_path / "other.safetensors")
    assert torch.__version__ in before
    assert backend() != before


# ---------------------------------------------------------------------------------------------- the package's weights


def test_the_weights_are_small_enough_to_ship() -> None:
    """The file that every installation carries stays under 16 MB."""
    assert network.WEIGHTS.stat().st_size <= 16e6


def test_edges_alone_give_a_face_of_skin_and_hair() -> None:
    """Without a point the picture is neither grey nor of one colour."""
    [picture] = reconstruct([analysed(FACE, 0)])
    red, _, blue = picture.reshape(-1, 3).mean(axis=0)
    assert red - blue > 8
    assert picture.std(axis=(0, 1)).min() > 15


def test_points_bring_the_picture_nearer() -> None:
    """The more points, the smaller the error."""
    pictures = [reconstruct([analysed(FACE, count)])[0] for count in (0, 15, 122)]
    errors = [np.square(picture.astype(float) - FACE).mean() for picture in pictures]
    assert sorted(errors, reverse=True) == errors
