"""Class-aware start: which wavelet packets tell classes of labelled signals apart, by the energy of each.

Of every crop the logarithm of each packet's mean square is taken. The share of its variance over crops that classes
explain is epsilon squared (Kelley 1935): the share of an analysis of variance, less what as many classes explain by
chance. It is no matter of sign or place, so that it holds for mirror images, and of tokens wherever they are.
"""

from collections.abc import Iterable, Sequence

import torch

from liveaction.codec.codec import Codec
from liveaction.errors import SpecError

LEAST = 0.01
"""What every packet counts for at least: 256 crops hardly tell it from nothing, and no packet is worth nothing."""


def log_energies(codec: Codec, batches: Iterable[torch.Tensor]) -> torch.Tensor:
    """Logarithm of the mean square of each packet in each crop, float64 ``[N, E]``.

    Args:
        codec: gives the packets; its learned parts do not matter.
        batches: signals in [-1, 1], ``[B, C, *S]``, N in all.
    """
    with torch.no_grad():
        means = [codec.analyse(batch).flatten(2).double().square().mean(2) for batch in batches]
    energies = torch.cat(means)
    return energies.clamp(min=float(energies.max()) * 1e-12).log()


def explained(values: torch.Tensor, labels: Sequence[str]) -> torch.Tensor:
    """Share of the variance of each column that classes explain, 0 to 1, float64 ``[E]``.

    Args:
        values: ``[N, E]``.
        labels: the class of each row.

    Raises:
        SpecError: there is one class alone, or no class with two rows.
    """
    names = sorted(set(labels))
    if len(names) < 2 or len(names) == len(labels):
        raise SpecError(
            f"[training] classes: expected two classes or more, and several signals of some, got {len(names)} classes "
            f"in {len(labels)} crops; give more labelled signals"
        )
    places = torch.tensor([names.index(label) for label in labels], device=values.device)
    member = torch.nn.functional.one_hot(places, len(names)).to(values)
    centred = values - values.mean(0)
    means = member.T @ centred / member.sum(0)[:, None]
    whole = centred.square().sum(0)
    within = (centred - member @ means).square().sum(0)
    noise = within / (len(labels) - len(names))
    between = whole - within - (len(names) - 1) * noise
    return (between / whole.clamp(min=1e-300)).clamp(0, 1)


def told_by(codec: Codec, batches: Iterable[torch.Tensor], labels: Sequence[str], classes: float) -> torch.Tensor:
    """How much more an error of each packet counts in a warm start for learning, float64 ``[E]``.

    Args:
        batches: as for :func:`log_energies`.
        labels: the class of each crop.
        classes: power of what classes explain: ``training.classes``.

    Raises:
        SpecError: as :func:`explained`.
    """
    return explained(log_energies(codec, batches), labels).clamp(min=LEAST).pow(classes)
