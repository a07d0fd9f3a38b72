"""How many numbers the parts of a codec learn, by arithmetic on its spec alone: this file imports no torch.

E hidden width, L latent channels, D axes; ``tests/core/test_parameters.py`` compares with built codecs.
"""

from math import prod

from liveaction.spec import DecoderSpec, EncoderSpec


def choose_groups(c_in: int, c_out: int) -> tuple[int, int]:
    """Divisor pair (g1, g2) of ``c_in`` with g2 dividing ``c_out`` and the least multiplications per token."""
    pairs = [(c_in // g2, g2) for g2 in range(1, c_in + 1) if c_in % g2 == 0 and c_out % g2 == 0]
    return min(pairs, key=lambda pair: (c_in * c_in // pair[0] + c_in * c_out // pair[1], pair[0]))


def encoder_parameters(spec: EncoderSpec, axes: int, width: int, latent: int, channels: int = 1) -> int:
    """Of :class:`liveaction.nn.encoder.Encoder`; the arguments are its own."""
    if spec.sparse:
        return rotation_parameters(spec, width, channels)
    down = _dense(width, latent) if spec.projection == "dense" else _monarch(width, latent)
    if spec.kind == "linear":
        return down
    if spec.kind == "paper":
        return spec.depth * _paper_block(width, axes, spec.kernel_size) + down
    return spec.depth * (_pointwise_block(width) - (width if spec.layer_scale is None else 0)) + down


def rotation_parameters(spec: EncoderSpec, width: int, channels: int) -> int:
    """Of :class:`liveaction.nn.band_rotation.BandRotation` on either side of a sparse codec."""
    return width * channels if spec.basis == "trained" and channels > 1 else 0


def refiner_parameters(spec: EncoderSpec, channels: int, split: tuple[int, ...]) -> int:
    """Of :class:`liveaction.nn.predict.Refiner`."""
    sizes = [channels, *[spec.width] * (len(spec.kernels) - 1), channels * 2 ** sum(split)]
    layers = zip(sizes, sizes[1:], spec.kernels, strict=False)
    return sum(a * b * n ** min(sum(split), 3) for a, b, n in layers) + spec.width * (len(spec.kernels) - 1)


def decoder_parameters(spec: DecoderSpec, axes: int, width: int, latent: int, path: int | None = None) -> int:
    """Of :class:`liveaction.nn.decoder.Decoder`, whose linear path has ``path`` where it is no dense one."""
    if path is not None:
        return path
    linear = _dense(latent, width) if spec.linear_path else 0
    if spec.kind == "linear":
        return linear
    out = _monarch(width, width) if spec.linear_path else 0
    return linear + _monarch(latent, width) + spec.depth * _block(spec, axes, width) + out


def correction_parameters(spec: DecoderSpec, channels: int, fold: tuple[int, ...]) -> int:
    """Of :class:`liveaction.nn.correction.Correction`, which has at most three axes; none of a linear decoder."""
    if spec.kind == "linear":
        return 0
    axes, width = min(len(fold), 3), spec.width
    tokens = channels * prod(fold[-axes:])
    block = _conv(width, width, axes) if spec.kind == "light" else _vit_block(width, axes, spec.expansion)
    return _dense(2 * tokens, width) + spec.depth * block + _dense(width, tokens)


def _block(spec: DecoderSpec, axes: int, width: int) -> int:
    if spec.kind == "light":
        return _depthwise(width, axes, separable=True) + 2 * width + _pointwise_block(width)
    if spec.kind == "paper":
        return _paper_block(width, axes, spec.kernel_size)
    return _vit_block(width, axes, spec.expansion)


def _conv(c_in: int, c_out: int, axes: int) -> int:
    return c_in * c_out * 3**axes + c_out


def _dense(c_in: int, c_out: int) -> int:
    return c_in * c_out + c_out


def _monarch(c_in: int, c_out: int, taps: int = 1) -> int:
    g1, g2 = choose_groups(c_in, c_out)
    return (c_in * g2 + c_out * g1) * taps


def _pointwise_block(width: int) -> int:
    """Two projections, two gains, the layer scale."""
    return 2 * _monarch(width, width) + 3 * width


def _paper_block(width: int, axes: int, kernel_size: int) -> int:
    """Two projections, two norms, the squeeze-excite with its biases."""
    narrow = max(width // 4, 1)
    gate = _monarch(width, narrow) + narrow + _monarch(narrow, width) + width
    return 2 * _monarch(width, width, kernel_size**axes) + 4 * width + gate


def _vit_block(width: int, axes: int, expansion: int) -> int:
    """Attention: keys, queries, values, projection, norm. MBConv: three layers, two of them with biases, and norms."""
    wide = width * expansion
    attention = 4 * width * width + 2 * width
    return attention + _dense(width, wide) + _depthwise(wide, axes) + wide * width + 4 * wide + 2 * width


def _depthwise(channels: int, axes: int, separable: bool = False) -> int:
    """One kernel of 3 per axis, or one of 3**D, and a bias."""
    return channels * ((3 * axes if separable or axes > 3 else 3**axes) + 1)
