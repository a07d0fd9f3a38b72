"""LiVeAction checkpoints (arXiv 2605.06628; the class ``AutoCodecND`` of the package livecodec) in our terms.

The tensors decide: axes, widths, depths and kernel sizes are read off their shapes, the number of levels off the
configuration or the number of channels. A configuration that says otherwise is refused.
"""

from math import log2

import torch

from liveaction.errors import FormatError
from liveaction.nn.sizes import choose_groups
from liveaction.published.checkpoint import Checkpoint
from liveaction.published.translation import WAVELET, Translation, Weights
from liveaction.spec import CodecSpec

_FILTERS = ("wt.", "wpt.", "iwt.", "iwpt.")


def translate(checkpoint: Checkpoint, where: str, channels: int | None = None) -> Translation:
    """The recipe and the weights of a LiVeAction checkpoint.

    Args:
        checkpoint: from :func:`liveaction.published.checkpoint.read_checkpoint`.
        where: the file's name, for complaints.
        channels: C, where the configuration does not say.

    Raises:
        FormatError: not such a checkpoint, or one that our blocks cannot represent; says why.
    """
    weights = Weights(checkpoint.tensors, where)
    hidden, _, *ones = weights.shape("conv_down.conv1.weight", 3)
    latent = weights.shape("conv_down.conv2.weight", 3)[0]
    axes = len(ones)
    if weights.has("encoder_blocks.blocks."):
        raise FormatError(
            f"{where}: expected an encoder of Monarch blocks, got one of attention (lightweight_encode false); "
            "no published configuration has it, and our encoders do not"
        )
    lightweight = not weights.has("decoder_blocks.blocks.")
    depths = [_depth(weights, "encoder_blocks."), _depth(weights, "decoder_blocks." + "blocks." * (not lightweight))]
    kernels = [_kernel_size(weights, "encoder_blocks."), _kernel_size(weights, "decoder_blocks.") if lightweight else 1]
    levels, channels = _levels(checkpoint, where, axes, hidden, channels)
    _check_config(
        checkpoint,
        where,
        {
            "dim": axes, "input_channels": channels, "J": levels, "latent_dim": latent, "encoder_depth": depths[0],
            "decoder_depth": depths[1], "lightweight_encode": True, "lightweight_decode": lightweight,
            **({"encoder_kernel_size": kernels[0]} if depths[0] else {}),
            **({"decoder_kernel_size": kernels[1]} if depths[1] and lightweight else {}),
        },
    )  # fmt: skip
    multiple = 8 if lightweight else 32
    if axes > 3 or hidden % multiple or not {*kernels} <= {1, 3}:
        raise FormatError(
            f"{where}: expected 1 to 3 axes, a hidden width that {multiple} divides and kernels of 1 or 3 taps, got "
            f"{axes}, {hidden} and {kernels}; other sizes are not represented"
        )
    weights.drop_filters(_FILTERS)
    state = {"quantizer.sigma": weights.take("quantize.compand.sigma", (latent,))}
    for i in range(depths[0]):
        state |= _paper_block(weights, f"encoder_blocks.{i}", f"encoder.blocks.{i}", hidden, kernels[0], axes)
    state |= _monarch(weights, "conv_down", "encoder.down", hidden, latent, axes)
    state |= _monarch(weights, "conv_up", "decoder.network.0", latent, hidden, axes)
    for i in range(depths[1]):
        # module 0 of our network is the projection
        if lightweight:
            state |= _paper_block(weights, f"decoder_blocks.{i}", f"decoder.network.{i + 1}", hidden, kernels[1], axes)
        else:
            state |= _vit_block(weights, f"decoder_blocks.blocks.{i}", f"decoder.network.{i + 1}", hidden, axes)
    weights.finish()
    return Translation(_spec(latent, levels, depths, kernels, lightweight), channels, axes, state)


def _spec(latent: int, levels: int, depths: list[int], kernels: list[int], lightweight: bool) -> CodecSpec:
    """The published settings; encoder's and decoder's depths and kernel sizes."""
    return CodecSpec.model_validate(
        {
            "latent_channels": latent,
            "wavelet": WAVELET,
            "levels": levels,
            "boundary": "folded",
            "packet_order": "paper",
            "compand": True,
            "encoder": {
                "kind": "paper", "depth": depths[0], "projection": "monarch", "kernel_size": kernels[0],
            },
            "decoder": {
                "kind": "paper" if lightweight else "vit", "depth": depths[1], "kernel_size": kernels[1],
                "head_dim": None, "linear_path": False, "final_activation": True, "norm_eps": 1e-7,
            },
            "quantizer": {"kind": "laplace", "step": 1},
        }
    )  # fmt: skip


def _depth(weights: Weights, prefix: str) -> int:
    """How many blocks ``prefix0.``, ``prefix1.``, ... there are."""
    depth = 0
    while weights.has(f"{prefix}{depth}."):
        depth += 1
    return depth


def _kernel_size(weights: Weights, prefix: str) -> int:
    """Taps per axis of the first Monarch block under ``prefix``; 1 where there is none."""
    return weights.shape(f"{prefix}0.conv1.conv1.weight", 3)[-1] if weights.has(f"{prefix}0.") else 1


def _levels(checkpoint: Checkpoint, where: str, axes: int, hidden: int, channels: int | None) -> tuple[int, int]:
    """J and C, from what is known of E = C * 2**(D J)."""
    given = checkpoint.config.get("J")
    counted = checkpoint.config.get("input_channels", channels)
    if type(given) is int and 0 <= given <= 12 and hidden % 2 ** (axes * given) == 0:
        return given, hidden // 2 ** (axes * given)
    if type(counted) is int and counted > 0 and (levels := log2(hidden / counted) / axes).is_integer():
        return int(levels), counted
    raise FormatError(
        f"{where}: expected J or input_channels in the configuration, such that input_channels * 2**({axes} J) is the "
        f"hidden width {hidden}, got J {given!r} and input_channels {counted!r}; --modality tells the channels too"
    )


def _check_config(checkpoint: Checkpoint, where: str, found: dict[str, object]) -> None:
    """Refuse a configuration that contradicts the tensors."""
    for name, value in found.items():
        said = checkpoint.config.get(name)
        if said is not None and said != value:
            raise FormatError(f"{where}: expected {name} {value} in the configuration, as in the tensors, got {said!r}")


def _monarch(
    weights: Weights, theirs: str, ours: str, c_in: int, c_out: int, axes: int, size: int = 1
) -> dict[str, torch.Tensor]:
    """Weights of two grouped convolutions ``[C_in, g2, *taps]``, ``[C_out, g1, *taps]`` as Monarch factors.

    They become ``[g1, g2, g2, *taps]`` and ``[g2, q, g1, *taps]``; taps of 1 go away.
    """
    (g1, g2), taps = choose_groups(c_in, c_out), (size,) * axes
    kept = taps if size > 1 else ()
    first = weights.take(f"{theirs}.conv1.weight", (c_in, g2, *taps)).reshape(g1, g2, g2, *kept)
    second = weights.take(f"{theirs}.conv2.weight", (c_out, g1, *taps)).reshape(g2, c_out // g2, g1, *kept)
    return {f"{ours}.w1": first, f"{ours}.w2": second}


def _biased_monarch(
    weights: Weights, theirs: str, ours: str, c_in: int, c_out: int, axes: int
) -> dict[str, torch.Tensor]:
    """Both factors have a bias there; the first one's passes through the second factor into one."""
    state = _monarch(weights, theirs, ours, c_in, c_out, axes)
    second = state[f"{ours}.w2"].double()  # [g2, q, g1]
    inner = weights.take(f"{theirs}.conv1.bias", (c_in,)).double().reshape(second.shape[2], second.shape[0])
    outer = weights.take(f"{theirs}.conv2.bias", (c_out,)).double()
    passed = torch.einsum("ioa,ai->io", second, inner).flatten()
    return state | {f"{ours}.bias": (passed + outer).float()}


def _norm(weights: Weights, theirs: str, ours: str, width: int) -> dict[str, torch.Tensor]:
    return {f"{ours}.{part}": weights.take(f"{theirs}.groupnorm.{part}", (width,)) for part in ("weight", "bias")}


def _paper_block(weights: Weights, theirs: str, ours: str, width: int, size: int, axes: int) -> dict[str, torch.Tensor]:
    return (
        _monarch(weights, f"{theirs}.conv1", f"{ours}.first", width, width, axes, size)
        | _norm(weights, f"{theirs}.gn1", f"{ours}.norm1", width)
        | _monarch(weights, f"{theirs}.conv2", f"{ours}.second", width, width, axes, size)
        | _norm(weights, f"{theirs}.gn2", f"{ours}.norm2", width)
        | _biased_monarch(weights, f"{theirs}.se.conv_reduce", f"{ours}.gate.reduce", width, width // 4, axes)
        | _biased_monarch(weights, f"{theirs}.se.conv_expand", f"{ours}.gate.expand", width // 4, width, axes)
    )


def _vit_block(weights: Weights, theirs: str, ours: str, width: int, axes: int) -> dict[str, torch.Tensor]:
    ones = (1,) * axes
    context, local = f"{theirs}.context_module.main", f"{theirs}.local_module.main"
    wide = 6 * width
    # their channel 3c + k is query, key or value k of channel c; ours are all queries, all keys, all values
    mixed = weights.take(f"{context}.qkv.weight", (3 * width, width, *ones))
    state = {
        f"{ours}.attention.qkv.weight": mixed.reshape(width, 3, width, 1).transpose(0, 1).reshape(-1, width, 1),
        f"{ours}.attention.project.weight": weights.take(f"{context}.proj.conv.weight", (width, width, *ones)).reshape(
            width, width, 1
        ),
        f"{ours}.local.expand.weight": weights.take(f"{local}.inverted_conv.conv.weight", (wide, width, *ones)).reshape(
            wide, width, 1
        ),
        f"{ours}.local.expand.bias": weights.take(f"{local}.inverted_conv.conv.bias", (wide,)),
        f"{ours}.local.depthwise.convs.0.weight": weights.take(
            f"{local}.depth_conv.conv.weight", (wide, 1, *(3 for _ in ones))
        ),
        f"{ours}.local.depthwise.convs.0.bias": weights.take(f"{local}.depth_conv.conv.bias", (wide,)),
        f"{ours}.local.reduce.weight": weights.take(f"{local}.point_conv.conv.weight", (width, wide, *ones)).reshape(
            width, wide, 1
        ),
    }
    return (
        state
        | _norm(weights, f"{context}.proj.norm", f"{ours}.attention.norm", width)
        | _norm(weights, f"{local}.inverted_conv.norm", f"{ours}.local.norm1", wide)
        | _norm(weights, f"{local}.depth_conv.norm", f"{ours}.local.norm2", wide)
        | _norm(weights, f"{local}.point_conv.norm", f"{ours}.local.norm3", width)
    )
