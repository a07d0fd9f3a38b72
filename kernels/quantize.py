"""Companding and quantising, element by element or with one scale per channel.

Range compression of wavelet packets, a signed power, and its inverse:

    c = 12.8 sign(v) ((|v| + 0.1)**0.4 - 0.1**0.4)        v = sign(c) ((|c| / 12.8 + 0.1**0.4)**2.5 - 0.1)

Compression of latents by the Laplace distribution function, 254 CDF(y / sigma) - 127 in closed form, with rounding
half to even (coding) or uniform noise (training) in the same pass:

    u = 127 sign(y) (1 - exp(-|y| / sigma_c))        s = round(u / step)        u' = u + step (r - 1/2), r in [0, 1)

Derivatives at 0 are the true ones, not 0. Source: LiVeAction (arXiv 2605.06628).
"""

from typing import Any

import torch

from liveaction.errors import ShapeError
from liveaction.kernels.dispatch import choose, dtype_refused
from liveaction.kernels.gradients import only_wanted, spread
from liveaction.kernels.layout import empty_tokens_last

# quantize_triton.py has the same numbers as literals.
GAIN = 12.8
OFFSET = 0.1
POWER = 0.4
ROOT: float = OFFSET**POWER
LARGEST = 127.0
LEAST_SCALE = 1e-6


def compand(v: torch.Tensor) -> torch.Tensor:
    """Compress the range of ``v``, any shape and strides; in its dtype, with its strides if they leave no gaps."""
    return _by_provider("compand", v)


def expand(c: torch.Tensor) -> torch.Tensor:
    """Inverse of :func:`compand`."""
    return _by_provider("expand", c)


def laplace_compand(y: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Compress latents to [-127, 127].

    Args:
        y: ``[B, C, *S]``, any strides.
        sigma: ``[C]``, in units of ``y``; counts as 1e-6 where it is less.

    Returns:
        ``[B, C, *S]`` in the dtype of ``y``. The Triton kernel returns it with channels innermost in memory.

    Raises:
        ShapeError: not one scale per channel.
    """
    return _laplace(y, sigma, None, 1.0, False)


def laplace_quantize(
    y: torch.Tensor, sigma: torch.Tensor, step: float, noise_seed: torch.Tensor | None = None
) -> torch.Tensor:
    """:func:`laplace_compand` and what quantising does to it. The gradient passes rounding and noise unchanged.

    Args:
        y: ``[B, C, *S]``, any strides.
        sigma: ``[C]``, as in :func:`laplace_compand`.
        step: distance of two levels.
        noise_seed: int64 of one element on the device of ``y``, as :func:`draw_seed` gives it: adds noise.

    Returns:
        Without a seed the symbols round(u / step). With one u plus noise in [-step/2, step/2), a function of the seed
        and of the element's place in ``[B, *S, C]`` alone, the same for every implementation.

    Raises:
        ShapeError: not one scale per channel.
    """
    return _laplace(y, sigma, noise_seed, step, noise_seed is None)


def quantize(y: torch.Tensor, step: float) -> torch.Tensor:
    """Symbols round(y / step), half to even, of any shape, in the dtype of ``y``; the gradient is that of y / step."""
    provider = choose("quantize", y, lambda: dtype_refused(y))
    if provider == "triton":
        symbols: torch.Tensor = torch.ops.liveaction.quantize(y, step)
        return symbols
    return quantize_composed(y, step)


def draw_seed(device: torch.device, generator: torch.Generator | None) -> torch.Tensor:
    """A seed for :func:`laplace_quantize`, int64 ``[1]`` on ``device``, from ``generator`` or the global one."""
    return torch.randint(2**62, (1,), dtype=torch.int64, device=device, generator=generator)


def _by_provider(name: str, x: torch.Tensor) -> torch.Tensor:
    provider = choose(name, x, lambda: dtype_refused(x), lambda: _numba_refused(x))
    if provider == "numba":
        from liveaction.kernels import quantize_numba

        return quantize_numba.compand(x) if name == "compand" else quantize_numba.expand(x)
    if provider == "triton":
        y: torch.Tensor = getattr(torch.ops.liveaction, name)(x)
        return y
    if provider == "reference":
        return compand_reference(x) if name == "compand" else expand_reference(x)
    return compand_composed(x) if name == "compand" else expand_composed(x)


def _laplace(
    y: torch.Tensor, sigma: torch.Tensor, seed: torch.Tensor | None, step: float, rounded: bool
) -> torch.Tensor:
    if y.ndim < 2 or sigma.shape != y.shape[1:2]:
        raise ShapeError(
            f"laplace_quantize: expected y [B, C, *S] and sigma [C], got {tuple(y.shape)} and {tuple(sigma.shape)}"
        )
    provider = choose("laplace_quantize", y, lambda: dtype_refused(y))
    if provider == "triton":
        u: torch.Tensor = torch.ops.liveaction.laplace_quantize(y, sigma, seed, step, rounded)
        return u
    companded = (laplace_compand_reference if provider == "reference" else laplace_compand_composed)(y, sigma)
    if seed is not None:
        return companded + step * (uniform(y, seed) - 0.5)
    return quantize_composed(companded, step) if rounded else companded


def compand_reference(v: torch.Tensor) -> torch.Tensor:
    """The formula, with +1 or -1 for the sign of 0, which gives the true derivative there."""
    sign = torch.ones_like(v).copysign(v).detach()
    return GAIN * sign * (torch.pow(sign * v + OFFSET, POWER) - ROOT)


def expand_reference(c: torch.Tensor) -> torch.Tensor:
    """The formula, with the sign as in :func:`compand_reference`."""
    sign = torch.ones_like(c).copysign(c).detach()
    return sign * (torch.pow(sign * c / GAIN + ROOT, 1.0 / POWER) - OFFSET)


def compand_composed(v: torch.Tensor) -> torch.Tensor:
    """The formula in float32 or wider; a straight line where the sum in it rounds to 0.1."""
    x = v.to(torch.promote_types(v.dtype, torch.float32))
    slope, least = GAIN * POWER * OFFSET ** (POWER - 1.0), torch.finfo(x.dtype).eps / 4
    return _odd(x, GAIN * ((x.abs() + OFFSET) ** POWER - ROOT), slope, least).to(v.dtype)


def expand_composed(c: torch.Tensor) -> torch.Tensor:
    """The formula in float32 or wider; a straight line where the sum in it rounds to 0.1^0.4."""
    x = c.to(torch.promote_types(c.dtype, torch.float32))
    slope, least = OFFSET ** (1.0 - POWER) / (GAIN * POWER), 4 * torch.finfo(x.dtype).eps
    return _odd(x, (x.abs() / GAIN + ROOT) ** (1.0 / POWER) - OFFSET, slope, least).to(c.dtype)


def _odd(x: torch.Tensor, magnitude: torch.Tensor, slope: float | torch.Tensor, least: float = 0.0) -> torch.Tensor:
    """``magnitude`` with the sign of ``x``; up to ``least`` a straight line, whose derivative autograd then sees."""
    return torch.where(x.abs() <= least, slope * x, torch.copysign(magnitude, x))


def laplace_compand_reference(y: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """254 CDF - 127 as it is written above."""
    sign = torch.ones_like(y).copysign(y).detach()
    return LARGEST * sign * (1 - torch.exp(-sign * y / _scales(sigma, y)))


def laplace_compand_composed(y: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Without the cancellation near 0."""
    scales = _scales(sigma, y)
    return _odd(y, -LARGEST * torch.expm1(-y.abs() / scales), LARGEST / scales)


def _scales(sigma: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return sigma.clamp(min=LEAST_SCALE).view(-1, *(1,) * (y.ndim - 2)).to(y.dtype)


def quantize_composed(y: torch.Tensor, step: float) -> torch.Tensor:
    """Torch's rounding; for a gradient also the ratio less itself, which is 0."""
    ratio = y / step
    if torch.is_grad_enabled() and y.requires_grad:
        return torch.round(ratio).detach() + (ratio - ratio.detach())
    return torch.round(ratio)


def uniform(like: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
    """Multiples of 2**-24 in [0, 1) for every element of ``like`` ``[B, C, *S]``, in its dtype.

    Element i of ``[B, *S, C]`` takes the first word of Philox4x32-10 at counter i (Salmon et al., "Parallel Random
    Numbers: As Easy as 1, 2, 3", 2011) with the seed as its key, so any device draws the same.
    """
    batch, channels, *extents = like.shape
    place = torch.arange(like.numel(), device=like.device)
    low = 2**32 - 1
    words = [place & low, place >> 32, torch.zeros_like(place), torch.zeros_like(place)]
    key = [seed & low, (seed >> 32) & low]
    for _ in range(10):
        high0, low0 = _product(words[0], 0xD2511F53)
        high2, low2 = _product(words[2], 0xCD9E8D57)
        words = [high2 ^ words[1] ^ key[0], low2, high0 ^ words[3] ^ key[1], low0]
        key = [(key[0] + 0x9E3779B9) & low, (key[1] + 0xBB67AE85) & low]
    drawn = (words[0] >> 8).to(torch.float64 if like.dtype == torch.float64 else torch.float32) * 2.0**-24
    return drawn.view(batch, *extents, channels).movedim(-1, 1).to(like.dtype)


def _product(word: torch.Tensor, factor: int) -> tuple[torch.Tensor, torch.Tensor]:
    """High and low half of a product of 32-bit words in int64, without overflow."""
    upper, lower = (word >> 16) * factor, (word & 0xFFFF) * factor
    return (upper + (lower >> 16)) >> 16, (((upper & 0xFFFF) << 16) + lower) & 0xFFFFFFFF


def _numba_refused(x: torch.Tensor) -> str:
    return "" if x.dtype == torch.float32 else f"it takes float32, not {x.dtype}"


@torch.library.custom_op("liveaction::compand", mutates_args=())
def _compand_op(v: torch.Tensor) -> torch.Tensor:
    from liveaction.kernels import quantize_triton

    return quantize_triton.signed_power(v, inverse=False)


@torch.library.custom_op("liveaction::expand", mutates_args=())
def _expand_op(c: torch.Tensor) -> torch.Tensor:
    from liveaction.kernels import quantize_triton

    return quantize_triton.signed_power(c, inverse=True)


@torch.library.custom_op("liveaction::signed_power_backward", mutates_args=())
def _signed_power_backward(gradient: torch.Tensor, companded: torch.Tensor, inverse: bool) -> torch.Tensor:
    from liveaction.kernels import quantize_triton

    return quantize_triton.signed_power_backward(gradient, companded, inverse)


@torch.library.custom_op("liveaction::quantize", mutates_args=())
def _quantize_op(y: torch.Tensor, step: float) -> torch.Tensor:
    from liveaction.kernels import quantize_triton

    return quantize_triton.quantize(y, step)


@torch.library.custom_op("liveaction::laplace_quantize", mutates_args=())
def _laplace_op(
    y: torch.Tensor, sigma: torch.Tensor, seed: torch.Tensor | None, step: float, rounded: bool
) -> torch.Tensor:
    from liveaction.kernels import quantize_triton

    return quantize_triton.laplace(y, sigma, seed, step, rounded)


@torch.library.custom_op("liveaction::laplace_quantize_backward", mutates_args=())
def _laplace_backward(
    du: torch.Tensor, y: torch.Tensor, sigma: torch.Tensor, factor: float, wanted: list[bool]
) -> list[torch.Tensor]:
    """Those gradients of y and sigma that are wanted."""
    from liveaction.kernels import quantize_triton

    return quantize_triton.laplace_backward(du, y, sigma, factor, wanted)


_compand_op.register_fake(torch.empty_like)
_expand_op.register_fake(torch.empty_like)
_quantize_op.register_fake(lambda y, step: torch.empty_like(y))
_signed_power_backward.register_fake(lambda gradient, companded, inverse: torch.empty_like(companded))
_laplace_op.register_fake(lambda y, sigma, seed, step, rounded: empty_tokens_last(y, y.shape[1]))
_laplace_backward.register_fake(
    lambda du, y, sigma, factor, wanted: only_wanted(
        [empty_tokens_last(y, y.shape[1]), torch.empty_like(sigma)], wanted
    )
)


def _save_output(ctx: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
    ctx.save_for_backward(output)


def _save_input(ctx: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _save_step(ctx: Any, inputs: tuple[torch.Tensor, float], output: torch.Tensor) -> None:
    ctx.step = inputs[1]


def _save_laplace(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    y, sigma, _, step, rounded = inputs
    ctx.save_for_backward(y, sigma)
    ctx.factor = 1.0 / step if rounded else 1.0


def _laplace_gradient(ctx: Any, du: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad[:2])
    found = torch.ops.liveaction.laplace_quantize_backward(du, *ctx.saved_tensors, ctx.factor, wanted)
    return *spread(found, wanted), None, None, None


_power_backward = torch.ops.liveaction.signed_power_backward
_compand_op.register_autograd(
    lambda ctx, dc: _power_backward(dc, *ctx.saved_tensors, False), setup_context=_save_output
)
_expand_op.register_autograd(lambda ctx, dv: _power_backward(dv, *ctx.saved_tensors, True), setup_context=_save_input)
_quantize_op.register_autograd(lambda ctx, ds: (ds / ctx.step, None), setup_context=_save_step)
_laplace_op.register_autograd(_laplace_gradient, setup_context=_save_laplace)
