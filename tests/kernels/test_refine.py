"""Small networks of convolutions: Numba against the reference, borders, gradients, what is refused."""

import pytest
import torch
import torch.nn.functional as F

from liveaction.errors import ShapeError
from liveaction.kernels.dispatch import use
from liveaction.kernels.refine import refine
from liveaction.testing import assert_kernel_close


def network(axes, kernels, sizes, dtype=torch.float32):
    torch.manual_seed(0)
    layers = list(zip(sizes[:-1], sizes[1:], kernels, strict=True))
    weights = [torch.randn(b, a, *[k] * axes, dtype=dtype) for a, b, k in layers]
    return weights, [torch.randn(n, dtype=dtype) for n in sizes[1:-1]]


CASES = [
    ((3, 5, 7), (3, 3, 3), (1, 8, 8, 8)),
    ((1, 1, 1), (3, 3), (2, 4, 4)),
    ((4, 3, 33), (5, 1, 3), (2, 5, 6, 7)),
    ((9, 18, 17), (1, 5), (3, 3, 1)),
    ((2, 20, 31), (7, 3), (1, 9, 2)),
]


@pytest.mark.parametrize(("extents", "kernels", "sizes"), CASES, ids=str)
def test_numba_is_the_reference(extents, kernels, sizes):
    weights, biases = network(3, kernels, sizes)
    x = torch.randn(2, sizes[0], *extents)
    double = [[t.double() for t in each] for each in ([x], weights, biases)]
    reference = refine(double[0][0], double[1], double[2], 0.1)
    with use("reference"):
        plain = refine(x, weights, biases, 0.1)
    with use("numba"):
        ours = refine(x, weights, biases, 0.1)
    assert_kernel_close(ours, reference, plain)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_borders_are_repeated_and_all_has_gradients(axes):
    weights, biases = network(axes, (3, 1, 3), (1, 2, 2, 1), torch.float64)
    x = torch.randn(1, 1, *[3] * axes, dtype=torch.float64, requires_grad=True)
    for part in (*weights, *biases):
        part.requires_grad_()
    wide = F.pad(x, [1] * (2 * axes), mode="replicate")
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[axes]
    hidden = F.leaky_relu(convolve(wide, weights[0], biases[0]), 0.2)
    hidden = F.leaky_relu(convolve(hidden, weights[1], biases[1]), 0.2)
    wanted = convolve(F.pad(hidden, [1] * (2 * axes), mode="replicate"), weights[2])
    assert torch.allclose(refine(x, weights, biases, 0.2), wanted, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x, *w: refine(x, w, biases, 0.2), (x, *weights))


def test_other_shapes_are_refused():
    weights, biases = network(2, (3, 3), (2, 4, 1))
    with pytest.raises(ShapeError, match=r"^refine: expected \[B, A, \*n\] of 1 to 3 axes and weights of as many, got"):
        refine(torch.zeros(1, 2, 4), weights, biases, 0.1)
    with pytest.raises(ShapeError, match=r"^refine: expected 2 channels and a bias between any two layers, got \(1, 3"):
        refine(torch.zeros(1, 3, 4, 4), weights, biases, 0.1)
