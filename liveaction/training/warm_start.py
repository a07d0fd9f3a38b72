"""Warm start: the linear path begins as the Karhunen-Loeve transform of the training data.

One pass over crops accumulates mean and covariance of the wavelet packets in float64. The projection E -> L starts as
the leading eigenvectors, the linear path back as their transpose, and every residual part at zero: step 0 of training
already is optimal linear transform coding. Of a sparse encoder only channels are rotated, within each band.

Mirrored, the moments are those of the data and of all their mirror images along some axes. Packets of an even-length
wavelet change signs by a flip, so no image is made: even and odd packets have nothing in common, and no mean is odd.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from liveaction.codec.codec import Codec
from liveaction.codec.flips import packet_signs
from liveaction.errors import SpecError
from liveaction.nn.band_rotation import BandRotation
from liveaction.nn.monarch import Dense


@dataclass(frozen=True)
class Moments:
    """Mean ``[E]`` and covariance ``[E, E]`` of packet vectors, float64, over ``tokens`` of them."""

    tokens: int
    mean: torch.Tensor
    covariance: torch.Tensor


def packet_moments(codec: Codec, batches: Iterable[torch.Tensor]) -> Moments:
    """One streaming pass.

    Args:
        codec: gives the packets; its learned parts do not matter.
        batches: signals in [-1, 1], ``[B, C, *S]``.

    Raises:
        SpecError: there was no batch.
    """
    tokens, total, product = 0, torch.zeros(()), torch.zeros(())
    with torch.no_grad():
        for batch in batches:
            v = codec.analyse(batch).transpose(0, 1).flatten(1).double()
            tokens, total, product = tokens + v.shape[1], total + v.sum(1), product + v @ v.T
    if tokens == 0:
        raise SpecError("[training] warm_crops: expected at least one crop to measure, got none")
    mean = total / tokens
    return Moments(tokens, mean, product / tokens - torch.outer(mean, mean))


def parities(codec: Codec, axes: Sequence[int]) -> torch.Tensor:
    """Whether packets are odd ``[A, E]`` along each of some axes.

    Raises:
        SpecError: a flip along one of them is more than signs of packets.
    """
    found = [packet_signs(codec, axis) for axis in axes]
    for axis, signs in zip(axes, found, strict=True):
        if signs is None:
            raise SpecError(
                "[training] mirror: expected a wavelet of even length, whose packets change signs alone where the "
                f"signal is mirrored, got {codec.spec.wavelet!r} along axis {axis}; take haar, bior1.3 or bior3.5"
            )
    odd = [signs < 0 for signs in found if signs is not None]
    return torch.stack(odd) if odd else torch.zeros(0, codec.channels * codec.packets.bands, dtype=torch.bool)


def mirrored(moments: Moments, odd: torch.Tensor) -> Moments:
    """The moments of signals together with all their mirror images.

    Args:
        moments: of the signals; ``odd`` as :func:`parities` gives it.
    """
    odd = odd.to(moments.mean.device)
    mean = torch.where(odd.any(0), 0.0, moments.mean)
    product = moments.covariance + torch.outer(moments.mean, moments.mean)
    apart = (odd[:, :, None] != odd[:, None, :]).any(0)
    return Moments(moments.tokens * 2 ** len(odd), mean, torch.where(apart, 0.0, product - torch.outer(mean, mean)))


def _eigen(covariance: torch.Tensor, odd: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues ``[E]``, largest first, and eigenvectors as rows, each of packets of one parity alone."""
    if not len(odd):
        values, vectors = torch.linalg.eigh(covariance)
        return values.flip(0), vectors.flip(1).T
    kinds = (odd.long() * 2 ** torch.arange(len(odd))[:, None]).sum(0).to(covariance.device)
    values, rows = covariance.new_zeros(len(covariance)), torch.zeros_like(covariance)
    for kind in kinds.unique():  # block by block: equal eigenvalues of two parities would be mixed
        (own,) = torch.where(kinds == kind)
        values[own], vectors = torch.linalg.eigh(covariance[own[:, None], own])
        rows[own[:, None], own] = vectors.T
    falling = values.argsort(descending=True, stable=True)
    return values[falling], rows[falling]


def detailed(moments: Moments, detail: float) -> torch.Tensor:
    """How much an error of each packet counts ``[E]``: its variance to the power of ``-detail``.

    The KLT, where all count alike, keeps what has most variance, which is coarse.
    """
    variance = moments.covariance.diagonal()
    return variance.clamp(min=float(variance.max()) * 1e-9).pow(-detail)


def _weighted(
    covariance: torch.Tensor, odd: torch.Tensor, latents: int, counts: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """As :func:`_eigen`, of the subspace that is best where squared errors of packets count by ``counts``.

    The rows are orthonormal and decorrelate, as the KLT's do; their transpose is not the best way back, see
    :func:`warm_start`.
    """
    weights = counts.sqrt()
    _, vectors = _eigen(weights[:, None] * covariance * weights, odd)
    rows = torch.linalg.qr((vectors[:latents] * weights).T)[0].T
    if not len(odd):
        values, turn = _eigen(rows @ covariance @ rows.T, odd)
        return values, turn @ rows
    odd = odd.to(rows.device)
    own = odd[:, rows.abs().argmax(1)]
    rows = torch.where((own[:, :, None] == odd[:, None, :]).all(0), rows, 0.0)  # but for rounding they are
    values, turn = _eigen(rows @ covariance @ rows.T, own)
    return values, turn @ rows


def warm_start(
    codec: Codec, moments: Moments, mirror: Sequence[int] = (), counts: torch.Tensor | None = None
) -> torch.Tensor:
    """Start the linear paths as the KLT and the residual parts at zero; in place.

    Args:
        codec: to start.
        moments: of signals.
        mirror: axes along which their mirror images are to count as they do.
        counts: how much a squared error of each packet counts, positive, ``[E]``; None for the KLT: all alike.

    Returns:
        The eigenvalues, largest first: the variance that each latent carries; ``[E]``, or with ``counts`` ``[L]``.

    Raises:
        SpecError: the codec has no dense linear path on both sides, or compands; as :func:`parities`.
    """
    down, up = codec.encoder.down, codec.decoder.linear
    if not isinstance(down, Dense) or not isinstance(up, Dense) or codec.spec.compand:
        raise SpecError(
            "[training] start: warm needs a dense encoder projection, a decoder with a linear path and no companding, "
            "got a codec without; set start to random"
        )
    odd = parities(codec, mirror)
    moments = mirrored(moments, odd) if len(odd) else moments
    latents = down.weight.shape[0]
    if counts is None:
        values, vectors = _eigen(moments.covariance, odd)
    else:
        values, vectors = _weighted(moments.covariance, odd, latents, counts)
    basis = _signed(vectors[:latents])
    with torch.no_grad():
        down.weight.copy_(basis)
        down.bias.copy_(-(basis @ moments.mean))
        up.weight.copy_(basis.T if counts is None else moments.covariance @ basis.T / _whole(values[:latents]))
        up.bias.copy_(moments.mean)
    codec.encoder.start_at_projection()
    codec.decoder.start_at_linear_path()
    return values.clamp(min=0)


def _whole(values: torch.Tensor) -> torch.Tensor:
    """Variances to divide by; of latents that never change the least of all, whose way back is nothing anyhow."""
    return values.clamp(min=float(values.max()) * 1e-12)


def _signed(vectors: torch.Tensor) -> torch.Tensor:
    """Eigenvectors along the last axis, which have no sign of their own: the largest entry is made positive, always."""
    largest = vectors.gather(-1, vectors.abs().argmax(-1, keepdim=True))
    return vectors * torch.where(largest < 0, -1.0, 1.0)


def measured(codec: Codec) -> str:
    """What :func:`start_warm` measures, in words."""
    if not codec.sparse:
        return "the covariance of the wavelet packets"
    if codec.spec.encoder.basis == "trained":
        return "the covariance of the channels in every band"
    return "the variance of every band"


def start_warm(
    codec: Codec,
    batches: Iterable[torch.Tensor],
    mirror: Sequence[int] = (),
    detail: float = 0.0,
    told: torch.Tensor | None = None,
) -> None:
    """The warm start of any codec, in place, in one pass over the batches.

    Args:
        codec: of any kind of encoder that has a warm start.
        batches: signals in [-1, 1], or components of their own bases, ``[B, C, *S]``.
        mirror: as for :func:`warm_start`; of a sparse encoder it changes nothing, nor does what follows.
        detail: 0, or up to 1 where an error counts by the share of its packet's own variance.
        told: how much more an error of each packet counts, positive, ``[E]``, as :mod:`.class_start` gives it.

    Raises:
        SpecError: there was no batch, or the codec has no warm start.
    """
    if not codec.sparse:
        moments = packet_moments(codec, batches)
        warm_start(codec, moments, mirror, _counts(codec, moments, mirror, detail, told))
        return
    totals = [torch.zeros((), dtype=torch.float64) for _ in codec.trees]
    empty = True
    for batch in batches:
        empty = False
        totals = [total + _band_moments(tree, batch) for total, tree in zip(totals, codec.trees, strict=True)]
    if empty:
        raise SpecError("[training] warm_crops: expected at least one crop to measure, got none")
    for tree, total in zip(codec.trees, totals, strict=True):
        _start_sparse(tree, total)
    if codec.behind is not None:
        codec.behind.start_at_nothing()


def _counts(
    codec: Codec, moments: Moments, mirror: Sequence[int], detail: float, told: torch.Tensor | None
) -> torch.Tensor | None:
    if not detail and told is None:
        return None
    odd = parities(codec, mirror)
    counts = detailed(mirrored(moments, odd) if len(odd) else moments, detail)
    return counts if told is None else counts * told


def _band_moments(codec: Codec, batch: torch.Tensor) -> torch.Tensor:
    """Second moments of the channels of each band, summed over tokens, float64 ``[P, C, C]``.

    They are not centred: only the lowest bands have a mean, and there it is what should be one channel.
    """
    with torch.no_grad():
        v = codec.analyse(batch).flatten(2).unflatten(1, (codec.channels, codec.packets.bands)).double()
        return torch.einsum("bcpn,bdpn->pcd", v, v)


def _start_sparse(codec: Codec, moments: torch.Tensor) -> None:
    """In each band the eigenvectors of its channels' moments ``[P, C, C]``, and bands by falling variance."""
    down, up = codec.encoder.down, codec.decoder.linear
    assert isinstance(down, BandRotation) and isinstance(up, BandRotation)
    if down.weight is None:
        variances = moments.diagonal(dim1=1, dim2=2).T
        rotations = torch.eye(down.channels).expand(down.bands, -1, -1)
    else:
        values, vectors = torch.linalg.eigh(moments)
        rotations, variances = _signed(vectors.flip(2).transpose(1, 2)), values.flip(1).T
    for part in (down, up):
        part.start_at(rotations, variances)
