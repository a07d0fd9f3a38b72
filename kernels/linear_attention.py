"""ReLU linear attention over all tokens: out = relu(q) (relu(k)^T v) / (relu(q) (relu(k)^T 1) + eps).

Source: Katharopoulos et al., 2020, with the ReLU feature map of EfficientViT (Cai et al., 2023).

One head as wide as the hidden vector is matrix products throughout, and values and attended tokens need not exist: with
Q = relu(X Wq^T), K = relu(X Wk^T), S = K^T X / T, k1 = K^T 1 / T and M = S Wv^T Wo^T, the projected attention is
Q M / (Q k1 + eps/T). That is 8 T C^2 operations instead of 12; dividing by T keeps M within 16 bits.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F

from liveaction.errors import ShapeError
from liveaction.kernels.dispatch import choose, dtype_refused, working_dtype
from liveaction.kernels.gradients import only_wanted, spread
from liveaction.kernels.layout import empty_tokens_last

HEAD_DIMS = (16, 32, 64)  # what the Triton kernels hold on chip
ONEDNN = torch.backends.mkldnn.is_available()
WIDEST = 4096  # channels of one head in the Triton kernels of the absorbed form


def linear_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, eps: float = 1e-5, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """Attend without positions; the cost is linear in the number of tokens T.

    Args:
        q, k, v: ``[B, heads, head_dim, T]``, any strides; ReLU is applied here to q and k.
        eps: added to the normaliser.
        dtype: of the result; None for float32 or wider. Sums over tokens run in that anyhow: 16 bits are too short.

    Returns:
        ``[B, heads, head_dim, T]``. The Triton kernel returns it with channels innermost in memory.

    Raises:
        ShapeError: the three differ in shape.
    """
    if not q.shape == k.shape == v.shape or q.ndim != 4:
        raise ShapeError(
            f"linear attention: expected q, k, v [B, heads, head_dim, T], got {tuple(q.shape)}, {tuple(k.shape)}, "
            f"{tuple(v.shape)}"
        )
    dtype = dtype or torch.promote_types(q.dtype, torch.float32)
    provider = choose("linear attention", q, lambda: _refused_heads(q, k, v))
    if provider == "triton":
        out: torch.Tensor = torch.ops.liveaction.linear_attention(q, k, v, eps, dtype)[0]
        return out
    run = linear_attention_reference if provider == "reference" else linear_attention_composed
    return run(q, k, v, eps).to(dtype)


def linear_attention_reference(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, eps: float) -> torch.Tensor:
    """The sums as they are written above, in float32 or wider."""
    dtype = torch.promote_types(q.dtype, torch.float32)
    with _no_autocast(q):
        q, k, v = F.relu(q).to(dtype), F.relu(k).to(dtype), v.to(dtype)
        state = torch.einsum("bhdt,bhet->bhde", k, v)
        weight = k.sum(3)
        return torch.einsum("bhdt,bhde->bhet", q, state) / (torch.einsum("bhdt,bhd->bht", q, weight)[:, :, None] + eps)


def linear_attention_composed(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, eps: float) -> torch.Tensor:
    """Batched products on channels-first tokens, in float32 or wider."""
    dtype = torch.promote_types(q.dtype, torch.float32)
    with _no_autocast(q):
        q, k, v = F.relu(q).to(dtype), F.relu(k).to(dtype), v.to(dtype)
        weight = k.sum(3).unsqueeze(2)
        if q.shape[1] == 1:
            context = _product(v[:, 0], k[:, 0].transpose(1, 2))
            return _product(context, q[:, 0]).unsqueeze(1) / (weight @ q + eps)
        return (v @ k.transpose(2, 3) @ q) / (weight @ q + eps)


def absorbed_attention(x: torch.Tensor, w_qkv: torch.Tensor, w_out: torch.Tensor, eps: float = 1e-5) -> torch.Tensor:
    """Linear attention with one head of width C between its projections.

    On GPUs this is library products with small Triton kernels between (ReLU and column sums, normaliser): the products
    are all the work, and a product written by hand would have to beat the library's first.

    Args:
        x: ``[B, C, T]``, any strides.
        w_qkv: ``[3*C, C]``, rows of the query, the key and the value projection in this order.
        w_out: ``[C, C]``, projection of the attended tokens.
        eps: added to the normaliser.

    Returns:
        ``[B, C, T]`` in the dtype of ``x``, or autocast's; sums over tokens run in float32 or wider.

    Raises:
        ShapeError: the weights do not fit each other or ``x``.
    """
    channels = w_out.shape[0]
    if (
        x.ndim != 3
        or x.shape[1] != channels
        or w_qkv.shape != (3 * channels, channels)
        or w_out.shape[1:] != (channels,)
    ):
        raise ShapeError(
            f"absorbed attention: expected x [B, C, T], w_qkv [3*C, C], w_out [C, C], got {tuple(x.shape)}, "
            f"{tuple(w_qkv.shape)}, {tuple(w_out.shape)}"
        )
    dtype = working_dtype(x)
    x, w_qkv, w_out = x.to(dtype), w_qkv.to(dtype), w_out.to(dtype)
    provider = choose("absorbed attention", x, lambda: _refused_width(x))
    if provider == "triton":
        out: torch.Tensor = torch.ops.liveaction.absorbed_attention(x, w_qkv, w_out, eps)[0]
        return out
    run = absorbed_attention_reference if provider == "reference" else absorbed_attention_composed
    return run(x, w_qkv, w_out, eps).to(dtype)


def absorbed_attention_reference(x: torch.Tensor, w_qkv: torch.Tensor, w_out: torch.Tensor, eps: float) -> torch.Tensor:
    """Queries, keys, values, attention, projection, one after the other."""
    with _no_autocast(x):
        q, k, v = (w_qkv @ x).unsqueeze(1).chunk(3, 2)
        attended = linear_attention_reference(q, k, v, eps).squeeze(1)
        return w_out.to(attended.dtype) @ attended


def absorbed_attention_composed(x: torch.Tensor, w_qkv: torch.Tensor, w_out: torch.Tensor, eps: float) -> torch.Tensor:
    """The absorbed form on channels-first tokens; for T <= C, where that is more work, one after the other.

    Measured at C = 512 on 2 CPU threads against convolutions and batched products one after the other: 1.5 times
    faster at T = 2048 and 4096, with gradients too; 1.2 at T = 512.
    """
    channels, tokens = x.shape[1:]
    dtype = torch.promote_types(x.dtype, torch.float32)
    with _no_autocast(x):
        if not torch.compiler.is_exporting() and tokens <= channels:  # an exported graph takes any T
            q, k, v = _product(w_qkv[None], x).unsqueeze(1).chunk(3, 2)
            return _product(w_out[None].to(dtype), linear_attention_composed(q, k, v, eps).squeeze(1))
        q, k = F.relu(_product(w_qkv[None, : 2 * channels], x)).to(dtype).chunk(2, 1)
        state = _product(x.to(dtype), k.transpose(1, 2)) / tokens
        weight = k.mean(2).unsqueeze(1)
        values = w_out.to(dtype) @ w_qkv[2 * channels :].to(dtype)
        return _product(_product(values[None], state), q) / (weight @ q + eps / tokens)


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``[1 or B, M, K] @ [B, K, N]``; on CPUs a convolution of width 1, up to twice as fast as a product there."""
    small = a.dtype in (torch.float32, torch.bfloat16) and ONEDNN
    if a.device.type != "cpu" or not small or torch.compiler.is_exporting():
        return a @ b
    if a.shape[0] == 1:
        return F.conv1d(b, a[0].unsqueeze(2))
    joint = F.conv1d(b.flatten(0, 1)[None], a.flatten(0, 1).unsqueeze(2), groups=a.shape[0])
    return joint.view(b.shape[0], a.shape[1], b.shape[2])


def _no_autocast(x: torch.Tensor) -> AbstractContextManager[Any]:
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def _refused_heads(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> str:
    """Why the Triton kernels cannot take these; empty where they can."""
    if not q.dtype == k.dtype == v.dtype:
        return f"it takes q, k, v of one dtype, not {q.dtype}, {k.dtype}, {v.dtype}"
    if q.shape[2] not in HEAD_DIMS:
        return f"it takes heads of width {', '.join(map(str, HEAD_DIMS))}, not {q.shape[2]}"
    return dtype_refused(q)


def _refused_width(x: torch.Tensor) -> str:
    if x.shape[1] > WIDEST:
        return f"it takes up to {WIDEST} channels, not {x.shape[1]}"
    return dtype_refused(x)


def empty_heads(q: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """An uninitialised ``[B, heads, head_dim, T]``, shape that of ``q``, channels innermost in memory."""
    batch, heads, width, tokens = q.shape
    return torch.empty(batch, tokens, heads, width, dtype=dtype, device=q.device).permute(0, 2, 3, 1)


@torch.library.custom_op("liveaction::linear_attention", mutates_args=())
def _forward(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, eps: float, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """The result, and the state over T ``[B, heads, head_dim + 1, head_dim]``, its last row the sum of keys."""
    from liveaction.kernels import linear_attention_triton

    return linear_attention_triton.forward(q, k, v, eps, dtype)


@_forward.register_fake
def _(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, eps: float, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    batch, heads, width, _ = q.shape
    return empty_heads(q, dtype), q.new_empty(batch, heads, width + 1, width, dtype=torch.float32)


@torch.library.custom_op("liveaction::linear_attention_backward", mutates_args=())
def _backward(
    dout: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor,
    eps: float,
    wanted: list[bool],
) -> list[torch.Tensor]:
    """Those gradients of q, k and v that are wanted."""
    from liveaction.kernels import linear_attention_triton

    return linear_attention_triton.backward(dout, q, k, v, state, eps, wanted)


@_backward.register_fake
def _(
    dout: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor,
    eps: float,
    wanted: list[bool],
) -> list[torch.Tensor]:
    return [empty_heads(q, q.dtype) for flag in wanted if flag]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    q, k, v, ctx.eps, _ = inputs
    ctx.save_for_backward(q, k, v, output[1])


def _gradient(ctx: Any, dout: torch.Tensor, _: Any) -> tuple[torch.Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad[:3])
    found = torch.ops.liveaction.linear_attention_backward(dout, *ctx.saved_tensors, ctx.eps, wanted)
    return *spread(found, wanted), None, None


_forward.register_autograd(_gradient, setup_context=_save)


@torch.library.custom_op("liveaction::absorbed_attention", mutates_args=())
def _absorbed(
    x: torch.Tensor, w_qkv: torch.Tensor, w_out: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The result, S ``[B, C, C]`` and k1 ``[B, C]``, the last two in float32."""
    from liveaction.kernels import absorbed_attention_triton

    return absorbed_attention_triton.forward(x, w_qkv, w_out, eps)


@_absorbed.register_fake
def _(
    x: torch.Tensor, w_qkv: torch.Tensor, w_out: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    batch, channels = x.shape[:2]
    state = x.new_empty(batch, channels, channels, dtype=torch.float32)
    return empty_tokens_last(x, channels), state, x.new_empty(batch, channels, dtype=torch.float32)


@torch.library.custom_op("liveaction::absorbed_attention_backward", mutates_args=())
def _absorbed_backward(
    dout: torch.Tensor,
    x: torch.Tensor,
    w_qkv: torch.Tensor,
    w_out: torch.Tensor,
    out: torch.Tensor,
    state: torch.Tensor,
    weight: torch.Tensor,
    eps: float,
    wanted: list[bool],
) -> list[torch.Tensor]:
    """Those gradients of x, w_qkv and w_out that are wanted."""
    from liveaction.kernels import absorbed_attention_triton

    return absorbed_attention_triton.backward(dout, x, w_qkv, w_out, out, state, weight, eps, wanted)


@_absorbed_backward.register_fake
def _(
    dout: torch.Tensor,
    x: torch.Tensor,
    w_qkv: torch.Tensor,
    w_out: torch.Tensor,
    out: torch.Tensor,
    state: torch.Tensor,
    weight: torch.Tensor,
    eps: float,
    wanted: list[bool],
) -> list[torch.Tensor]:
    weights = w_qkv.new_empty(w_qkv.shape), w_out.new_empty(w_out.shape)
    return only_wanted([empty_tokens_last(x, x.shape[1]), *weights], wanted)


def _save_absorbed(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    *tensors, ctx.eps = inputs
    ctx.save_for_backward(*tensors, *output)


def _gradient_absorbed(ctx: Any, dout: torch.Tensor, _: Any, __: Any) -> tuple[torch.Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad[:3])
    found = torch.ops.liveaction.absorbed_attention_backward(dout, *ctx.saved_tensors, ctx.eps, wanted)
    return *spread(found, wanted), None


_absorbed.register_autograd(_gradient_absorbed, setup_context=_save_absorbed)
