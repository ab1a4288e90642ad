"""What a `Batch` promises to metrics: each feature is computed once, and kept as long as asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pytest
import torch
from pictures import FACE_BOX, PORTRAIT, batch, tensor
from torch import Tensor

from vcmbench.interfaces import Batch


@dataclass(frozen=True)
class Brightness:
    """A feature that counts how often it is computed; equal for equal channels."""

    channel: int
    calls: list[int] = field(default_factory=list, compare=False)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the mean of one channel, per image."""
        self.calls.append(self.channel)
        return batch.images[:, self.channel].float().mean((1, 2))


def shapes(batch: Batch) -> list[tuple[int, ...]]:
    """A feature that is no tensor."""
    return [tuple(image.shape) for image in batch.images]


def test_a_feature_is_computed_once() -> None:
    """Asking twice for a feature computes it once and gives the same values, or the same object that is no tensor."""
    images, brightness = batch(PORTRAIT), Brightness(0)
    assert torch.equal(images.get(brightness), images.get(brightness))
    assert len(brightness.calls) == 1
    assert images.get(shapes) is images.get(shapes)


def test_equal_extractors_share_a_feature() -> None:
    """An extractor that equals an earlier one finds its feature, and another one does not."""
    images, same, other = batch(PORTRAIT), Brightness(0), Brightness(1)
    red = images.get(Brightness(0))
    assert images.get(same).item() == red.item()
    assert same.calls == []
    assert images.get(other).item() != red.item()
    assert len(other.calls) == 1


def test_release_keeps_what_is_named() -> None:
    """`release` frees every feature but the named ones."""
    images, kept, freed = batch(PORTRAIT), Brightness(0), Brightness(1)
    for extractor in (kept, freed):
        images.get(extractor)
    images.release(keep=[Brightness(0)])
    for extractor in (kept, freed):
        images.get(extractor)
    assert len(kept.calls) == 1
    assert len(freed.calls) == 2


def test_release_without_a_name_frees_all() -> None:
    """`release()` frees every feature."""
    images, brightness = batch(PORTRAIT), Brightness(0)
    images.get(brightness)
    images.release()
    images.get(brightness)
    assert len(brightness.calls) == 2


def test_a_feature_under_way_keeps_nobody_else_waiting() -> None:
    """While a thread computes a feature, another can take others and free them, and a third waits for this one."""
    images, brightness, calls = batch(PORTRAIT), Brightness(0), []
    in_extractor, may_go_on = threading.Event(), threading.Event()

    def slow(batch: Batch) -> Tensor:
        calls.append(len(batch))
        in_extractor.set()
        assert may_go_on.wait(10)
        return batch.get(brightness)

    with ThreadPoolExecutor(2) as threads:
        features = [threads.submit(images.get, slow) for _ in range(2)]
        assert in_extractor.wait(10)
        images.get(brightness)
        images.release()
        may_go_on.set()
        assert torch.equal(*(feature.result() for feature in features))
    assert (len(calls), len(brightness.calls)) == (1, 2)


# ---------------------------------------------------------------------------------------------- changes in place


class Statistics(NamedTuple):
    """A feature of several tensors."""

    mean: Tensor
    deviation: Tensor


def statistics(batch: Batch) -> Statistics:
    """Return mean and standard deviation of each image."""
    return Statistics(batch.images.float().mean((1, 2, 3)), batch.images.float().std((1, 2, 3)))


def from_numpy(batch: Batch) -> Tensor:
    """A feature in NumPy's memory."""
    return torch.from_numpy(np.array(batch.images.numpy(), np.float32))


def sparse(batch: Batch) -> Tensor:
    """A feature that torch does not store densely."""
    return batch.images[0, 0].float().to_sparse()


WAYS: dict[str, Callable[[Tensor], object]] = {
    "in place": lambda taken: taken.mul_(0),
    "through a view": lambda taken: taken[:1].mul_(0),
    "as an output": lambda taken: torch.mul(taken, 0, out=taken),
    "as data": lambda taken: taken.data.mul_(0),
    "in inference mode": torch.inference_mode()(lambda taken: taken.mul_(0)),
    "through NumPy": lambda taken: taken.numpy().fill(0),
    "through DLPack": lambda taken: torch.utils.dlpack.from_dlpack(taken).mul_(0),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_metric_changes_nobody_else_sees(way: str) -> None:
    """Images, boxes and features are the caller's own, however it changes them, and shared memory until then."""
    images = Batch(tensor(PORTRAIT, PORTRAIT), torch.tensor([FACE_BOX, FACE_BOX]))
    takes: list[Callable[[], Tensor | None]] = [
        lambda: images.images,
        lambda: images.boxes,
        lambda: images.get(Brightness(0)),
        lambda: images.get(statistics).mean,
        lambda: images.get(from_numpy),
        lambda: images.part(0, 1).images,
    ]
    for take in takes:
        taken, other = take(), take()
        assert taken is not None
        before = taken.clone()
        WAYS[way](taken)
        for untouched in (take(), other):
            assert untouched is not None
            assert torch.equal(untouched, before)
        assert not taken[:1].any()


def test_a_feature_costs_no_memory_for_those_who_read_it() -> None:
    """Everybody reads the same memory; a tensor that torch cannot share so is given as it is."""
    images = batch(PORTRAIT)
    read = images.get(statistics)
    assert torch._C._data_address(read.mean) == torch._C._data_address(images.get(statistics).mean)  # type: ignore[attr-defined]  # reads without a copy
    assert images.get(sparse).layout == torch.sparse_coo


def test_what_is_done_to_the_tensor_a_batch_was_made_of_does_not_matter() -> None:
    """The images are those of the moment the batch was made, of torch's memory and of NumPy's."""
    for given in (tensor(PORTRAIT), torch.from_numpy(np.zeros((1, 3, 8, 8), np.uint8))):
        made, before = Batch(given), given.clone()
        given.add_(1)
        assert torch.equal(made.images, before)


# --------------------------------------------------------------------------------------------------------- parts


def test_a_part_has_its_own_images_boxes_and_features() -> None:
    """A part is the images from start to stop, computes its features itself, and is the same batch at every call."""
    brightness = Brightness(0)
    whole = Batch(tensor(PORTRAIT, PORTRAIT // 2, PORTRAIT // 3), torch.tensor([FACE_BOX] * 3) + torch.arange(3)[:, None])
    part = whole.part(1, 3)
    assert torch.equal(part.images, whole.images[1:])
    assert part.boxes is not None
    assert whole.boxes is not None
    assert torch.equal(part.boxes, whole.boxes[1:])
    assert torch.equal(part.get(brightness), whole.get(brightness)[1:])
    assert len(brightness.calls) == 2
    assert whole.part(1, 3) is part
    assert whole.part(0, 3) is whole
    assert batch(PORTRAIT, PORTRAIT).part(0, 1).boxes is None


def test_the_features_of_parts_are_released_with_the_others() -> None:
    """`release` keeps and frees the features of parts by the same names."""
    whole, kept, freed = batch(PORTRAIT, PORTRAIT), Brightness(0), Brightness(1)
    for extractor in (kept, freed):
        whole.part(0, 1).get(extractor)
    whole.release(keep=[kept])
    for extractor in (kept, freed):
        whole.part(0, 1).get(extractor)
    assert len(kept.calls) == 1
    assert len(freed.calls) == 2


def test_a_decoded_batch_knows_its_originals_part_by_part() -> None:
    """What a batch was decoded from can be asked of it and of its parts; an original is its own."""
    original = batch(PORTRAIT, PORTRAIT[:, ::-1])
    decoded = Batch(255 - original.images, original=original)
    assert original.original is original
    assert decoded.original is original
    assert decoded.part(1, 2).original is original.part(1, 2)
    assert original.part(0, 1).original is original.part(0, 1)


# --------------------------------------------------------------------------------------------------------- images


def test_the_length_is_the_number_of_images() -> None:
    """A batch is as long as it has images, none included."""
    assert len(batch(PORTRAIT, PORTRAIT)) == 2
    assert len(Batch(torch.empty(0, 3, 8, 8, dtype=torch.uint8))) == 0


@pytest.mark.parametrize(
    "images",
    [
        pytest.param(torch.zeros(2, 3, 8, 8), id="float32"),
        pytest.param(torch.zeros(2, 3, 8, 8, dtype=torch.int32), id="int32"),
        pytest.param(torch.zeros(3, 8, 8, dtype=torch.uint8), id="one image"),
        pytest.param(torch.zeros(2, 8, 8, 3, dtype=torch.uint8), id="channels last"),
        pytest.param(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), id="grey"),
    ],
)
def test_other_tensors_are_refused(images: Tensor) -> None:
    """A tensor that is not B×3×H×W uint8 is refused with its type and shape."""
    with pytest.raises(ValueError, match=r"B×3×H×W, not torch\.\w+ \("):
        Batch(images)
