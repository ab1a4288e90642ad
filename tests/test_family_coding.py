"""Settings of one family that are coded together: equal to each alone, and none is hurt by another's fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from faulty import Faulty, Together, TogetherInBoth, block_of_images

from vcmbench.interfaces import Codec
from vcmbench.pipeline.blocks import Block
from vcmbench.pipeline.codec_pool import CodecPool
from vcmbench.pipeline.coding import Coded, Encoded, Failure
from vcmbench.pipeline.worker_coding import decode_encoded

IMAGES, SIZE, MARKED = 5, 16, 2
TIME_LIMIT = 2.0


@pytest.fixture(scope="module")
def originals() -> Iterator[Block]:
    block = block_of_images(IMAGES, SIZE, MARKED)
    yield block
    block.close()


@pytest.fixture
def pool() -> Iterator[CodecPool]:
    pool = CodecPool(processes=2, time_limit=TIME_LIMIT)
    yield pool
    pool.close()


def code(pool: CodecPool, codecs: Sequence[Codec], originals: Block) -> list[list[Coded | Failure]]:
    """The outcomes of each setting, decoded in the worker where that is due; every image must be its original."""
    targets = [Block(IMAGES, SIZE) for _ in codecs]
    waiting = pool.code_family(codecs, IMAGES, originals.name, [target.name for target in targets])
    found = [
        decode_encoded(codec, outcomes(), target.images)
        for codec, outcomes, target in zip(codecs, waiting, targets, strict=True)
    ]
    for outcomes, target in zip(found, targets, strict=True):
        for place, outcome in enumerate(outcomes):
            assert isinstance(outcome, Failure) or np.array_equal(target.images[place], originals.images[place])
        target.close()
    return found


def hashes(outcomes: Sequence[Coded | Failure]) -> list[tuple[str, str]]:
    """What was coded, of sound outcomes."""
    sound = [outcome for outcome in outcomes if isinstance(outcome, Coded)]
    assert len(sound) == len(outcomes)
    return [(outcome.bitstream_hash, outcome.decoded_hash) for outcome in sound]


def test_settings_together_give_what_each_gives_alone(pool: CodecPool, originals: Block) -> None:
    """Bytes and pixels are those of another family coded one by one; an image's settings share its time of encoding."""
    target = Block(IMAGES, SIZE)
    expected = pool.code(Faulty(), IMAGES, originals.name, target.name).result()
    target.close()
    together = code(pool, [Together(level=level) for level in (1, 2, 3)], originals)
    for outcomes in together:
        assert hashes(outcomes) == hashes(expected)
    for same_image in zip(*together, strict=True):
        assert len({outcome.encode_ms for outcome in same_image if isinstance(outcome, Coded)}) == 1


def test_what_the_worker_decodes_is_only_encoded_in_a_process(pool: CodecPool, originals: Block) -> None:
    """A codec that runs in both comes back as its bitstream and gives the same once the worker has decoded it."""
    codecs = [TogetherInBoth(level=1), TogetherInBoth(level=2)]
    targets = [Block(IMAGES, SIZE) for _ in codecs]
    (outcomes, _) = pool.code_family(codecs, IMAGES, originals.name, [target.name for target in targets])
    encoded = outcomes()
    assert all(isinstance(outcome, Encoded) for outcome in encoded)
    assert not targets[0].images.any()
    decoded = decode_encoded(codecs[0], encoded, targets[0].images)
    assert np.array_equal(targets[0].images, originals.images)
    assert hashes(decoded) == hashes(code(pool, [Together(level=1)], originals)[0])
    for target in targets:
        target.close()


@pytest.mark.parametrize("fault", ["raise", "exit", "segfault", "hang", "encode to nothing"])
def test_a_fault_of_one_setting_costs_its_own_image_alone(pool: CodecPool, originals: Block, fault: str) -> None:
    """Where one setting raises, dies or hangs on an image, the other settings and images are as without it."""
    healthy, faulty = Together(level=1), Together(level=2, fault=fault)
    for _ in range(2):  # the second time it is known that they are to be coded apart
        undisturbed, disturbed = code(pool, [healthy, faulty], originals)
        assert len(hashes(undisturbed)) == IMAGES
        assert [isinstance(outcome, Failure) for outcome in disturbed] == [place == MARKED for place in range(IMAGES)]
        failure = disturbed[MARKED]
        assert isinstance(failure, Failure)
        assert failure.reason.startswith(f"{faulty.variant}: ")


def test_a_family_that_loses_a_setting_fails_as_a_whole(pool: CodecPool, originals: Block) -> None:
    """Bitstreams that are fewer than settings cannot be matched to them, so none of them counts."""
    codecs = [Together(level=level, fault="lose a setting") for level in (1, 2)]
    reason = "together: encode_many returned 1 bitstreams for 2 settings"
    for outcomes in code(pool, codecs, originals):
        assert outcomes[MARKED] == Failure(reason)
        assert sum(isinstance(outcome, Failure) for outcome in outcomes) == 1
