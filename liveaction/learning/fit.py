"""Training a small network on items: one fixed way for all inputs, so that what is compared differs in inputs alone."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from liveaction.errors import TrainingError
from liveaction.learning.inputs import InputSpec
from liveaction.learning.store import UNLABELLED

Epoch = Callable[[int, int, float], None]
"""Is told which epoch of how many has ended, and its mean loss."""
_ORDER = 0x0DE5


class Items(Protocol):
    """What is trained on: :class:`~liveaction.learning.dataset.LatentDataset`, or what behaves like one."""

    spec: InputSpec

    def __len__(self) -> int: ...

    def set_epoch(self, epoch: int) -> None:
        """What is drawn is that of this epoch."""

    def batch(self, places: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Several items, and their labels."""


class FitRules(BaseModel):
    """How long, and how: AdamW along one cycle, the last epoch's network is taken.

    Attributes:
        epochs, batch: of all items once each; what is left of an epoch is in none of its batches, and of fewer items
            than a batch all are one.
        learning_rate: the most, reached after a fifth of all steps.
        weight_decay: of AdamW.
        label_smoothing: of classes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=20, ge=1)
    batch: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=0.003, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)


@dataclass(frozen=True)
class Fitted:
    """How a training went: the mean loss of each epoch; seconds of an epoch, on the clock and of the processor."""

    losses: tuple[float, ...]
    seconds: float
    cpu_seconds: float


def fit_head(
    net: nn.Module,
    data: Items,
    rules: FitRules,
    seed: int = 0,
    device: str = "cpu",
    epoch_done: Epoch = lambda epoch, epochs, loss: None,
) -> Fitted:
    """Train a network in place; equal seeds give equal networks on one machine.

    Args:
        net: that ``make`` gave under the same seed, see :func:`seeded`.
        data: items with labels.
        rules: see :class:`FitRules`.

    Raises:
        TrainingError: no items, or a loss that is not finite.
    """
    count, size = len(data), min(rules.batch, len(data))
    steps = rules.epochs * (count // size) if size else 0
    if not steps:
        raise TrainingError("fit: expected items to learn from, got none")
    net.to(device).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=rules.learning_rate, weight_decay=rules.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rules.learning_rate, total_steps=steps, pct_start=0.2)
    losses, wall, cpu = [], time.perf_counter(), time.process_time()
    for epoch in range(rules.epochs):
        data.set_epoch(epoch)
        order = np.random.default_rng([_ORDER, seed, epoch]).permutation(count)
        total = 0.0
        for first in range(0, count - size + 1, size):
            x, y = (part.to(device) for part in data.batch(order[first : first + size].tolist()))
            loss = loss_of(net(x), y, data.spec, rules.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        losses.append(total / (count // size))
        if not np.isfinite(losses[-1]):
            raise TrainingError(f"fit: expected a finite loss, got {losses[-1]} in epoch {epoch}; lower learning_rate")
        epoch_done(epoch + 1, rules.epochs, losses[-1])
    spent = (time.perf_counter() - wall) / rules.epochs, (time.process_time() - cpu) / rules.epochs
    return Fitted(tuple(losses), *spent)


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A network whose weights and dropout follow from a seed; torch's global generator is started anew by it."""
    torch.manual_seed(seed)
    return make()


def loss_of(output: torch.Tensor, label: torch.Tensor, spec: InputSpec, smoothing: float = 0.0) -> torch.Tensor:
    """Cross entropy of classes, what is unlabelled left out; the mean square of numbers and of signals."""
    if spec.task in ("class", "map"):
        return nn.functional.cross_entropy(output, label, ignore_index=UNLABELLED, label_smoothing=smoothing)
    return nn.functional.mse_loss(output, label)


@torch.no_grad()
def predict(net: nn.Module, data: Items, batch: int = 256, device: str = "cpu") -> NDArray[np.float32]:
    """The outputs of a network for all items in order, in evaluation mode."""
    net.to(device).eval()
    parts = [
        net(data.batch(range(first, min(first + batch, len(data))))[0].to(device)).float().cpu().numpy()
        for first in range(0, len(data), batch)
    ]
    return np.concatenate(parts)


@torch.no_grad()
def labels_of(data: Items, batch: int = 256) -> NDArray[np.generic]:
    """The labels of all items in order."""
    parts = [data.batch(range(first, min(first + batch, len(data))))[1].numpy() for first in range(0, len(data), batch)]
    return np.concatenate(parts)
