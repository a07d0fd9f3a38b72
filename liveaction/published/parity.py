"""Our codec beside the published one on the same signal; for this, and this alone, the published packages are run."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch

from liveaction.codec.codec import Codec
from liveaction.published.checkpoint import Checkpoint
from liveaction.published.translation import Translation

NEAR_TIE = 1e-3
"""Companded latents this close to a half may round either way."""


@dataclass(frozen=True)
class Parity:
    """Differences of ours from theirs.

    Attributes:
        latents, reconstruction: largest difference over the largest magnitude; the reconstruction is from their
            symbols, None where their decoder is not represented.
        symbols: how many differ although their latent is not near a tie.
    """

    latents: float
    symbols: int
    reconstruction: float | None

    def __str__(self) -> str:
        decoded = "" if self.reconstruction is None else f", reconstructions by {self.reconstruction:.1e}"
        return f"latents differ by {self.latents:.1e} of the largest, {self.symbols} symbols differ{decoded}"


def seeded_signal(codec: Codec) -> torch.Tensor:
    """A smooth random signal that the published wavelets invert: ``[1, C, *S]`` in [-1, 1], 5 tokens per axis."""
    extents = tuple(5 * factor for factor in codec.packets.factors)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((1, codec.channels, *extents), generator=generator)
    for axis in range(2, noise.ndim):
        noise = noise + noise.roll(1, axis) + noise.roll(2, axis)
    return 0.9 * noise / noise.abs().max()


def compare(package: str, checkpoint: Checkpoint, translation: Translation, codec: Codec, x: torch.Tensor) -> Parity:
    """Code ``x`` with both.

    Theirs runs in one thread: on three axes their wavelets add overlapping slices in place, and with several threads
    what comes out on short axes is a matter of chance.

    Args:
        package: ``livecodec`` or ``walloc``, which must be installed.
        checkpoint, translation: what ``codec`` was made from.
        x: ``[B, C, *S]`` in [-1, 1], extents multiples of 2**J.

    Raises:
        ImportError: the package is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the published packages make theirs of, others have deprecated since
        theirs: _Published = (_Livecodec if package == "livecodec" else _Walloc)(checkpoint, translation)
    with torch.inference_mode():
        with _one_thread():
            y, u = theirs.latents(x)
            symbols = u.round()
            decoded = theirs.decode(symbols)
        mine = codec.encode(x)
        away = ((u - u.floor()) - 0.5).abs() > NEAR_TIE
        differ = (codec.quantize(mine) != symbols) & away
        ours = None if decoded is None else codec.decode(symbols, tuple(x.shape[2:]))
    return Parity(
        latents=_relative(mine, y),
        symbols=int(differ.sum()),
        reconstruction=None if decoded is None or ours is None else _relative(ours, decoded),
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


class _Published(Protocol):
    """A published model with a checkpoint's weights, for signals in [-1, 1]."""

    def latents(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents before and after companding."""

    def decode(self, symbols: torch.Tensor) -> torch.Tensor | None:
        """Their reconstruction; None where their decoder is not represented."""


class _Livecodec:
    """LiVeAction."""

    def __init__(self, checkpoint: Checkpoint, translation: Translation) -> None:
        from livecodec.codec import AutoCodecND

        spec = translation.spec
        self.model = AutoCodecND(
            dim=translation.axes,
            input_channels=translation.channels,
            J=spec.levels_per_axis(translation.axes)[0],
            latent_dim=spec.latent_channels,
            encoder_depth=spec.encoder.depth,
            encoder_kernel_size=spec.encoder.kernel_size,
            decoder_depth=spec.decoder.depth,
            decoder_kernel_size=spec.decoder.kernel_size,
            lightweight_decode=spec.decoder.kind == "paper",
        )
        self.model.load_state_dict(checkpoint.tensors)
        self.model.eval()

    def latents(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y: torch.Tensor = self.model.encode(x)
        return y, self.model.quantize(y)

    def decode(self, symbols: torch.Tensor) -> torch.Tensor | None:
        decoded: torch.Tensor = self.model.decode(symbols)
        return decoded


class _Walloc:
    """WaLLoC, whose forward passes round at once: the modules are called one by one."""

    def __init__(self, checkpoint: Checkpoint, translation: Translation) -> None:
        from walloc.walloc import Codec1D, Codec2D, LinearCodec2D

        spec, self.axes = translation.spec, translation.axes
        self.levels = spec.levels_per_axis(self.axes)[0]
        self.linear = "decoder.1.weight" in checkpoint.tensors
        sizes = {"channels": translation.channels, "J": self.levels, "latent_dim": spec.latent_channels}
        sizes |= {"latent_bits": spec.quantizer.bits}
        # their networks behind the encoder are not compared, and as small as can be
        small = {"Ne": 32, "Nd": 32 * -(-(spec.latent_channels or 0) // 32), "lightweight_encode": True}
        if self.linear:
            self.model = LinearCodec2D(**sizes)
        elif self.axes == 2:
            self.model = Codec2D(**sizes, **small)
        else:
            self.model = Codec1D(**sizes, **(small | {"Nd": spec.latent_channels, "post_filter": False}))
        parts = ("encoder.", "decoder.") if self.linear else ("encoder.",)
        state = {name: tensor for name, tensor in checkpoint.tensors.items() if name.startswith(parts)}
        self.model.load_state_dict(self.model.state_dict() | state)
        self.model.eval()

    def latents(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y: torch.Tensor = self.model.encoder[0](self.model.wavelet_analysis(x / 2, J=self.levels))
        y = y[..., 1:-1] if self.axes == 1 else y
        return y, self.model.encoder[1](y)

    def decode(self, symbols: torch.Tensor) -> torch.Tensor | None:
        if not self.linear:
            return None
        decoded: torch.Tensor = self.model.wavelet_synthesis(self.model.decoder(symbols), J=self.levels)
        return 2 * decoded
