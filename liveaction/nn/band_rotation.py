"""The projection of sparse latents: every coefficient is one, channels rotated within each band, bands in order."""

import numpy as np
import torch
from torch import nn

from liveaction.errors import FormatError


class BandRotation(nn.Module):
    """An orthogonal map of a token's coefficients, ``[B, C*P, *G] -> [B, C*P, *G]``, and its inverse.

    Channels are rotated by a C x C matrix of each band's own, then put in order: the lowest bands of all channels
    first, the others by falling variance once they are known.

    Args:
        channels: C.
        bands: P.
        rotated: learn the rotations; without, channels stay as they are.
        inverse: from latents to coefficients.
    """

    order: torch.Tensor

    def __init__(self, channels: int, bands: int, rotated: bool, inverse: bool = False) -> None:
        super().__init__()
        self.channels, self.bands, self.inverse = channels, bands, inverse
        self.weight: nn.Parameter | None = None
        if rotated and channels > 1:
            start = torch.zeros(bands, channels, channels)  # torch.eye of no memory imports torch's compiler: a second
            start.diagonal(dim1=1, dim2=2).fill_(1)
            self.weight = nn.Parameter(start)
        lowest = range(0, channels * bands, bands)
        others = (row for row in range(channels * bands) if row % bands)
        self.register_buffer("order", torch.tensor([*lowest, *others]))

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        rotated = ", rotated" if self.weight is not None else ""
        return f"channels={self.channels}, bands={self.bands}{rotated}{', inverse' if self.inverse else ''}"

    @torch.no_grad()
    def start_at(self, rotations: torch.Tensor, variances: torch.Tensor) -> None:
        """Take rotations ``[P, C, C]``, rows the new channels, and the order of variances ``[C, P]``; in place."""
        if self.weight is not None:
            self.weight.copy_(rotations)
        lowest = self.order[: self.channels]
        others = np.setdiff1d(np.arange(self.channels * self.bands), lowest.cpu().numpy())
        falling = np.argsort(-variances.flatten().cpu().numpy()[others], kind="stable")
        self.order.copy_(torch.cat([lowest.cpu(), torch.from_numpy(others[falling])]))

    def check(self, where: str) -> None:
        """Refuse an order that is none.

        Raises:
            FormatError: with ``where`` in front.
        """
        count = self.channels * self.bands
        if not torch.equal(self.order.sort().values.cpu(), torch.arange(count)):
            raise FormatError(f"{where}: expected an order of {count} latent channels, each once, got another")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Coefficients to latents, or back where it is the inverse."""
        if self.inverse:
            return self._rotated(x[:, torch.argsort(self.order)], "pcd,bcp...->bdp...")
        return self._rotated(x, "pcd,bdp...->bcp...")[:, self.order]

    def rows(self, bands: torch.Tensor) -> torch.Tensor:
        """The latent channels of some bands, ascending."""
        return torch.isin(self.order % self.bands, bands.to(self.order.device)).nonzero()[:, 0]

    def to_rows(self, v: torch.Tensor, bands: torch.Tensor) -> torch.Tensor:
        """Some bands, in the lowest band's channels, as :meth:`rows`: ``[B, C, P, *] -> [B, L, *]``."""
        if self.weight is not None:
            v = torch.einsum("pcd,bdp...->bcp...", self._from_lowest(bands), v)
        return v.flatten(1, 2).index_select(1, self._places(bands))

    def from_rows(self, y: torch.Tensor, bands: torch.Tensor) -> torch.Tensor:
        """The inverse of :meth:`to_rows`."""
        v = y.index_select(1, self._places(bands).argsort()).unflatten(1, (self.channels, len(bands)))
        return v if self.weight is None else torch.einsum("pcd,bcp...->bdp...", self._from_lowest(bands), v)

    def _places(self, bands: torch.Tensor) -> torch.Tensor:
        """Where each of :meth:`rows` stands among ``[C, P]`` of these bands."""
        own = self.order[self.rows(bands)]
        return own // self.bands * len(bands) + torch.searchsorted(bands.to(own.device), own % self.bands)

    def _from_lowest(self, bands: torch.Tensor) -> torch.Tensor:
        """From the lowest band's channels to those of some bands, ``[P, C, C]``."""
        assert self.weight is not None
        return self.weight[bands.to(self.weight.device)] @ self.weight[0].T

    def _rotated(self, x: torch.Tensor, product: str) -> torch.Tensor:
        if self.weight is None:
            return x
        apart = x.unflatten(1, (self.channels, self.bands))
        return torch.einsum(product, self.weight.to(x.dtype), apart).flatten(1, 2)
