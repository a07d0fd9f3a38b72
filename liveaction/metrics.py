"""Quality measures; sums run in float64. Every figure states its range."""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F

from liveaction.errors import ShapeError


def mean_squared_error(x: torch.Tensor, y: torch.Tensor) -> float:
    """MSE of two tensors of equal shape, any dtype; a slab at a time, so no float64 copy of the whole is made.

    Raises:
        ShapeError: the shapes differ, or there is nothing to compare.
    """
    if x.shape != y.shape or x.numel() == 0:
        raise ShapeError(
            f"metrics: expected two tensors of equal shape with entries, got {tuple(x.shape)}, {tuple(y.shape)}"
        )
    total = 0.0
    for a, b in zip(x.reshape(-1).split(1 << 22), y.reshape(-1).split(1 << 22), strict=True):
        total += float((a.double() - b.double()).square().sum())
    return total / x.numel()


def psnr(x: torch.Tensor, y: torch.Tensor, peak: float) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(peak**2 / MSE); infinite for equal tensors.

    Args:
        x, y: equal shapes.
        peak: the range that the figure is stated on: 2 for signals in [-1, 1], 4095 for CT in HU from -1024 to 3071.
    """
    mse = mean_squared_error(x, y)
    return math.inf if mse == 0 else 10 * math.log10(peak * peak / mse)


def ssim(x: torch.Tensor, y: torch.Tensor, peak: float, window: int = 7) -> float:
    """Structural similarity in as many axes as the signal has: mean over channels and all whole windows.

    Uniform windows of ``window`` samples per axis (fewer on shorter axes), sample covariances, K1 = 0.01 and
    K2 = 0.03, as in Wang et al. 2004 and scikit-image's default.

    Args:
        x, y: ``[C, *S]``, equal shapes.
        peak: the range L of the constants (K1 L)**2 and (K2 L)**2.
    """
    if x.shape != y.shape or x.numel() == 0 or x.ndim < 2:
        raise ShapeError(f"ssim: expected two tensors [C, *S], got {tuple(x.shape)}, {tuple(y.shape)}")
    return ssim_by_slab(lambda channel, part: (x[channel, part], y[channel, part]), x.shape, peak, window)


def ssim_by_slab(
    take: Callable[[int, slice], tuple[torch.Tensor, torch.Tensor]],
    shape: Sequence[int],
    peak: float,
    window: int = 7,
) -> float:
    """:func:`ssim` of signals that need not be in memory at once.

    Args:
        take: of a channel and a slice along the first axis: both signals there, ``[n, *S[1:]]`` each.
        shape: ``[C, *S]``.
        peak, window: as for :func:`ssim`.
    """
    widths = [min(window, n) for n in shape[1:]]
    count = math.prod(widths)
    bessel = count / (count - 1) if count > 1 else 1.0
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    total, windows = 0.0, 0
    # slabs along the first axis, overlapping by one window, keep float64 copies small
    step = max(1, (1 << 22) // max(math.prod(shape[2:]), 1))
    for channel in range(shape[0]):
        for start in range(0, shape[1] - widths[0] + 1, step):
            a, b = (part.double() for part in take(channel, slice(start, start + step + widths[0] - 1)))
            mean_a, mean_b = _box(a, widths), _box(b, widths)
            var_a = (_box(a * a, widths) - mean_a**2) * bessel
            var_b = (_box(b * b, widths) - mean_b**2) * bessel
            cov = (_box(a * b, widths) - mean_a * mean_b) * bessel
            top = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
            values = top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
            total += float(values.sum())
            windows += values.numel()
    return total / windows


def _box(x: torch.Tensor, widths: list[int]) -> torch.Tensor:
    """Mean over all whole windows of the given widths."""
    for axis, width in enumerate(widths):
        moved = x.movedim(axis, -1)
        flat = F.avg_pool1d(moved.reshape(-1, 1, moved.shape[-1]), width, stride=1)
        x = flat.reshape(*moved.shape[:-1], -1).movedim(-1, axis)
    return x


def spectral_angle(x: torch.Tensor, y: torch.Tensor, known: torch.Tensor | None = None) -> float:
    """Mean angle in degrees between the spectra of two images, 0 to 180; a gain does not change it, an offset does.

    The angle is taken as 2 atan2(|u - v|, |u + v|) of the unit vectors u, v, which unlike the arc cosine (Kruse et al.
    1993) is right for small angles too.

    Args:
        x, y: ``[N, *S]`` with N bands in the unit that they were measured in.
        known: bool of the same shape; entries that are false count in neither spectrum.

    Returns:
        The mean over pixels whose spectra both have a length; NaN where there is no such pixel.

    Raises:
        ShapeError: the shapes differ, or there is nothing to compare.
    """
    shapes = {tuple(t.shape) for t in (x, y, known) if t is not None}
    if len(shapes) != 1 or x.numel() == 0 or x.ndim < 1:
        raise ShapeError(f"spectral_angle: expected tensors [N, *S] of equal shape, got {sorted(shapes)}")
    total, count = 0.0, 0
    step = max(1, (1 << 22) // x.shape[0])
    x, y = x.reshape(x.shape[0], -1), y.reshape(x.shape[0], -1)
    known = None if known is None else known.reshape(x.shape)
    for start in range(0, x.shape[1], step):
        part = slice(start, start + step)
        a, b = x[:, part].double(), y[:, part].double()
        if known is not None:
            a, b = (torch.where(known[:, part], t, 0.0) for t in (a, b))
        sizes = a.norm(dim=0), b.norm(dim=0)
        there = (sizes[0] > 0) & (sizes[1] > 0)
        u, v = (t[:, there] / size[there] for t, size in zip((a, b), sizes, strict=True))
        angles = 2 * torch.atan2((u - v).norm(dim=0), (u + v).norm(dim=0))
        total, count = total + float(angles.sum()), count + int(there.sum())
    return math.degrees(total / count) if count else math.nan


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
