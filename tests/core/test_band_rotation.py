"""The projection of sparse latents and its inverse."""

import pytest
import torch

from liveaction.errors import FormatError
from liveaction.nn.band_rotation import BandRotation


def _pair(channels: int, bands: int, rotated: bool) -> tuple[BandRotation, BandRotation]:
    there, back = (BandRotation(channels, bands, rotated, inverse) for inverse in (False, True))
    generator = torch.Generator().manual_seed(0)
    rotations = torch.linalg.qr(torch.randn(bands, channels, channels, generator=generator))[0]
    variances = torch.rand(channels, bands, generator=generator)
    for part in (there, back):
        part.start_at(rotations, variances)
    return there, back


@pytest.mark.parametrize(("channels", "bands", "rotated"), [(1, 1, False), (1, 7, False), (3, 8, True), (5, 3, False)])
def test_the_inverse_inverts(channels: int, bands: int, rotated: bool) -> None:
    there, back = _pair(channels, bands, rotated)
    x = torch.randn(2, channels * bands, 3, 5, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(back(there(x)).detach(), x, atol=1e-5)
    assert there(x).detach().square().sum() == pytest.approx(float(x.square().sum()), rel=1e-5)


def test_each_band_has_a_rotation_of_its_own_and_the_lowest_come_first() -> None:
    there, _ = _pair(3, 4, True)
    assert there.weight is not None
    x = torch.randn(1, 12, 1, generator=torch.Generator().manual_seed(2))
    apart = x.view(3, 4)
    rotated = torch.stack([there.weight[band] @ apart[:, band] for band in range(4)], 1)  # [C, P]
    y = there(x)[0, :, 0]
    assert torch.allclose(y[:3], rotated[:, 0], atol=1e-6)
    assert torch.allclose(y, rotated.flatten()[there.order], atol=1e-6)


def test_bands_follow_by_falling_variance() -> None:
    part = BandRotation(2, 3, False)
    part.start_at(torch.eye(2).repeat(3, 1, 1), torch.tensor([[0.1, 0.5, 0.2], [9.0, 0.9, 0.3]]))
    assert part.order.tolist() == [0, 3, 4, 1, 5, 2]


def test_an_order_that_names_a_channel_twice_is_refused() -> None:
    part = BandRotation(1, 4, False)
    part.order[1] = 3
    with pytest.raises(FormatError, match="here: expected an order of 4 latent channels, each once, got another"):
        part.check("here")
