"""Differences of sound."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from liveaction.errors import ShapeError


def si_sdr(x: torch.Tensor, y: torch.Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio of one channel in dB.

    With a = <y, x> / <x, x>, 10 log10(|a x|**2 / |a x - y|**2), no mean taken off (Le Roux, Wisdom, Erdogan and
    Hershey, "SDR - half-baked or well done?", ICASSP 2019). Infinite where ``y`` is ``x`` times a number that is not 0,
    and where both are silent; minus infinity where only one of them is silent, or nothing of ``x`` is in ``y``.

    Args:
        x: the original, ``[T]``, any dtype.
        y: the reconstruction, ``[T]``.

    Raises:
        ShapeError: the shapes differ, are not ``[T]``, or there is nothing to compare.
    """
    if x.shape != y.shape or x.ndim != 1 or x.numel() == 0:
        raise ShapeError(f"si_sdr: expected two tensors [T] with entries, got {tuple(x.shape)}, {tuple(y.shape)}")
    if torch.equal(x, y):
        return math.inf
    x, y = x.double(), y.double()
    energy = float(x.square().sum())
    if energy == 0:
        return -math.inf
    target = x * (float((x * y).sum()) / energy)
    kept, error = float(target.square().sum()), float((target - y).square().sum())
    if kept == 0:
        return -math.inf
    return math.inf if error == 0 else 10 * math.log10(kept / error)


def spatial_errors(x: torch.Tensor, y: torch.Tensor, window: int = 512, reference: int = 0) -> tuple[float, float]:
    """Errors of the cues between channels, which tell where sound comes from: of level in dB, of phase in degrees.

    Of each time-frequency bin (Hann windows of ``window`` samples, half overlapping) and each channel c but the
    reference r, the level difference 20 log10(|X_c| / |X_r|) and the phase difference arg(X_c conj(X_r)) are compared
    with those of Y; the absolute differences, phases wrapped to at most 180 degrees, are averaged with the weight
    |X_c X_r| of the original: bins where either channel is silent have no cue. These are the interaural cues of
    Blauert, "Spatial Hearing" (1997), as binaural cue coding states them per bin (Faller and Baumgarte, IEEE Trans.
    Speech and Audio Processing 11(6), 2003). Magnitudes below 1e-4 of the original's largest count as that, so that
    levels stay finite; where Y has nothing at all a phase is 90 degrees off, as of chance. Both are 0 where the
    original has no cues.

    Args:
        x: the original, ``[C, T]`` with at least two channels.
        y: the reconstruction, ``[C, T]``.
        window: samples, at least 2; some 32 ms.
        reference: channel that the others are held against.

    Raises:
        ShapeError: the shapes differ, or have fewer than two channels or no samples.
    """
    if x.shape != y.shape or x.ndim != 2 or len(x) < 2 or x.numel() == 0:
        raise ShapeError(f"spatial_errors: expected two tensors [C >= 2, T], got {tuple(x.shape)}, {tuple(y.shape)}")
    others = [c for c in range(len(x)) if c != reference]
    floor = 1e-4 * max((float(spectrum.abs().max()) for spectrum in _spectra(x, window)), default=0.0)
    weight = level = phase = 0.0
    for one, two in zip(_spectra(x, window), _spectra(y, window), strict=True):
        cross, back = (s[others] * s[[reference]].conj() for s in (one, two))
        share = cross.abs()
        size, other = (s.abs().clamp(min=floor or 1.0).log10() * 20 for s in (one, two))
        apart = (other[others] - other[[reference]]) - (size[others] - size[[reference]])
        turn = torch.rad2deg((back * cross.conj()).angle().abs())
        turn = torch.where(back.abs() == 0, 90.0, turn)
        weight += float(share.sum())
        level += float((share * apart.abs()).sum())
        phase += float((share * turn).sum())
    return (level / weight, phase / weight) if weight > 0 else (0.0, 0.0)


def _spectra(x: torch.Tensor, window: int, frames: int = 256) -> Iterator[torch.Tensor]:
    """Windowed spectra ``[C, frames, bins]`` in complex128, some frames at a time; zeros beyond the end."""
    hop = window // 2
    shape = torch.hann_window(window, dtype=torch.float64, device=x.device)
    count = max(1, math.ceil((x.shape[1] - window) / hop) + 1)
    for start in range(0, count, frames):
        number = min(frames, count - start)
        length = (number - 1) * hop + window
        part = x[:, start * hop : start * hop + length].double()
        part = F.pad(part, (0, length - part.shape[1]))
        yield torch.fft.rfft(part.unfold(1, window, hop) * shape)


def covariance_error(x: torch.Tensor, y: torch.Tensor) -> float:
    """How far the channels' covariance is off: |cov(y) - cov(x)| / |cov(x)| in Frobenius norms, 0 where it is kept.

    The covariance ``[C, C]`` of samples, each channel's mean taken off, is what beamformers and classical direction
    finding see of an array (van Trees, "Optimum Array Processing", 2002, chapter 7), here over all frequencies at once.

    Args:
        x: the original, ``[C, T]``, any dtype.
        y: the reconstruction, ``[C, T]``.

    Returns:
        0 or more; 0 where both are constant, infinite where only the original is.

    Raises:
        ShapeError: the shapes differ, are not ``[C, T]``, or there is nothing to compare.
    """
    if x.shape != y.shape or x.ndim != 2 or x.numel() == 0:
        raise ShapeError(f"covariance_error: expected two tensors [C, T], got {tuple(x.shape)}, {tuple(y.shape)}")
    one, two = (t.double() - t.double().mean(1, keepdim=True) for t in (x, y))
    one, two = one @ one.T, two @ two.T
    error, size = float((two - one).norm()), float(one.norm())
    return error / size if size else math.inf if error else 0.0
