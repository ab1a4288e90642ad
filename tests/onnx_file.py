"""An ONNX file of one linear layer, spelled byte by byte (protocol buffers), since no package here writes one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

FLOAT = 1
"""ONNX's number for float32."""


def write_linear_network(
    path: Path, matrix: npt.NDArray[np.float32], size: tuple[int, int] = (16, 16), batch: int | None = None
) -> None:
    """Write the network that maps N×3×H×W to N×M: the samples of each image in a row times `matrix`, (3·H·W)×M.

    It is exported for batches of `batch` images, or for any if that is None.
    """
    graph = [
        _message(1, _node("Flatten", ["input"], ["row"])),
        _message(1, _node("MatMul", ["row", "matrix"], ["output"])),
        _message(2, b"linear"),
        _message(5, _constant("matrix", matrix)),
        _message(11, _value("input", [batch, 3, *size])),
        _message(12, _value("output", [batch, matrix.shape[1]])),
    ]
    operators = _message(8, _message(1, b"") + _number(2, 13))
    path.write_bytes(_number(1, 8) + _message(7, b"".join(graph)) + operators)


def _node(operator: str, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    names = [_message(field, name.encode()) for field, group in ((1, inputs), (2, outputs)) for name in group]
    return b"".join(names) + _message(4, operator.encode())


def _constant(name: str, values: npt.NDArray[np.float32]) -> bytes:
    shape = b"".join(_number(1, side) for side in values.shape)
    return shape + _number(2, FLOAT) + _message(8, name.encode()) + _message(9, values.astype("<f4").tobytes())


def _value(name: str, shape: Sequence[int | None]) -> bytes:
    sides = [_message(2, b"N") if side is None else _number(1, side) for side in shape]
    tensor_type = _number(1, FLOAT) + _message(2, b"".join(_message(1, side) for side in sides))
    return _message(1, name.encode()) + _message(2, _message(1, tensor_type))


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
