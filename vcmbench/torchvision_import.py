"""Make torchvision importable beside a CPU build of torch.

PyPI carries torchvision's CUDA build, whose compiled operators do not load beside a CPU torch; its import then fails
where it describes the operator `nms` to the tracer. Declaring the operators is enough: no network here calls one.
"""

from __future__ import annotations

import functools
import importlib
from types import ModuleType

import torch

OPERATORS = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]  # torch gives no types here
"""Holds the declarations, which live only as long as it does; stays empty where torchvision brings its own."""


@functools.cache
def import_torchvision() -> ModuleType:
    """Import torchvision, declaring the missing operators where its build does not match torch's."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
    for operator in ("nms", "qnms"):
        OPERATORS.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]  # likewise
    return importlib.import_module("torchvision")
