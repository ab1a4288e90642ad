"""One step of training: the decoder's losses, and the discriminator's."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor, nn

from vcmbench.training.losses import Perceptual, deceive_loss, gradient_difference, judge_loss, structural_difference
from vcmbench.training.perception import perceptual_loss
from vcmbench.training.recipe import Recipe
from vcmbench.training.state import State

_WARM_UP = 200
"""Steps over which the learning rate rises."""
_FINAL_SHARE = 0.02
"""Of the learning rate, at the end of half a cosine (Loshchilov and Hutter, 2017)."""
_LONGEST_GRADIENT = 1.0
_PATCH = 96
"""Pixels on a side of what the perceptual loss and the discriminator look at."""


class Step:
    """Makes steps on one device, and remembers the losses since they were last asked for."""

    def __init__(self, recipe: Recipe, state: State, device: str) -> None:
        self._recipe = recipe
        self._state = state
        self._device = device
        self._perceptual = _on(device, perceptual_loss()) if recipe.losses.perceptual else None
        self._sums: dict[str, float] = {}
        self._steps = 0

    def __call__(self, conditions: Tensor, originals: Tensor) -> None:
        """Learn from B×8×H×W conditions and B×3×H×W originals."""
        conditions = conditions.to(self._device, memory_format=torch.channels_last)
        originals = originals.to(self._device)
        state, weights = self._state, self._recipe.losses
        state.set_learning_rate(self._recipe.learning_rate * _share(state.step, self._recipe.steps))
        adversarial = weights.adversarial > 0 and state.step >= weights.adversarial_from
        patch = self._patch(originals)
        strokes = conditions[:, 3:4][patch]
        with self._passes():
            made = state.decoder(conditions)
            losses = {"l1": (made - originals).abs().mean(), "gradient": gradient_difference(made, originals)}
            if weights.structural:
                losses["structural"] = structural_difference(made, originals)
            if self._perceptual:
                losses["perceptual"] = self._perceptual(made[patch], originals[patch])
            if adversarial:
                state.judge.requires_grad_(requires_grad=False)
                losses["adversarial"] = deceive_loss(state.judge(made[patch], strokes))
        factors = {"l1": 1.0, **vars(weights)}
        _descend(sum(factors[name] * loss for name, loss in losses.items()), state.decoder, state.optimiser)
        if adversarial:
            state.judge.requires_grad_(requires_grad=True)
            with self._passes():
                scores = (state.judge(pictures[patch].detach(), strokes) for pictures in (originals, made))
                losses["judge"] = judge_loss(*scores)
            _descend(losses["judge"], state.judge, state.judge_optimiser)
        state.step += 1
        state.update_average(self._recipe.average)
        self._remember(losses)

    def means(self) -> Mapping[str, float]:
        """Return the mean of each loss since this was last asked."""
        means = {name: total / self._steps for name, total in self._sums.items()}
        self._sums, self._steps = {}, 0
        return means

    def _passes(self) -> AbstractContextManager[None]:
        return torch.autocast(self._device.partition(":")[0], torch.bfloat16, enabled=self._recipe.precision == "bf16")

    def _patch(self, pictures: Tensor) -> tuple[slice, ...]:
        """The same square of all pictures of a batch, at random; rather in the middle, where a face's features are."""
        random = np.random.default_rng([self._recipe.seed, self._state.step, 1])
        starts = [
            round(random.triangular(0, (side - _PATCH) / 2, side - _PATCH)) if side > _PATCH else 0
            for side in pictures.shape[2:]
        ]
        return (slice(None), slice(None), *(slice(start, start + _PATCH) for start in starts))

    def _remember(self, losses: Mapping[str, Tensor]) -> None:
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + loss.item()
        self._steps += 1


def _on(device: str, network: Perceptual) -> Perceptual:
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's hints lack this form


def _descend(loss: Tensor, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch gives no types here
    nn.utils.clip_grad_norm_(network.parameters(), _LONGEST_GRADIENT)
    optimiser.step()


def _share(step: int, steps: int) -> float:
    """Of the learning rate."""
    cosine = (1 + np.cos(np.pi * min(1.0, step / steps))) / 2
    return float(min(1.0, (step + 1) / _WARM_UP) * (_FINAL_SHARE + (1 - _FINAL_SHARE) * cosine))
