"""What the shipped recipes launch, compiled for cards that need not be here: shared memory, spills, matrix products."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import triton

from liveaction.kernels.target import SHARED_LIMIT
from liveaction.profiling import shipped
from liveaction.testing_ahead import Ahead, Compiled, compile_ahead, describe, launched

RECORD = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "ahead_of_time.json"

# Bytes of stack per thread, at most over the cards, of kernels whose registers do not do on every one, by kernel and
# dtype of the factors. What does not spill there costs more: fewer tokens per read of all weights, or another pass.
SPILLS = {
    ("forward_kernel", "float32"): 8,  # 192 channels
    ("gradient_kernel", "bfloat16"): 24,  # 448 and 512 channels, both factors and dx in one pass
    ("gradient_kernel", "float32"): 32,  # 1536 channels
    ("second_half_kernel", "float32"): 176,  # 512 channels: the factors alone fill half of the registers
    ("first_half_kernel", "float32"): 136,
}
# Plain PyTorch on 99 KiB: the weights of the smallest chunk are more.
REFUSED = {"monarch 1536 float32", "pointwise_block 1536 float32"}


def check(capability, one):
    """The kernel keeps to what the card has and to what is said above."""
    dtype = "bfloat16" if "bfloat16" in one["types"].values() else "float32"
    assert one["shared"] <= SHARED_LIMIT[capability], one
    assert one["registers"] <= 255 and one["spills"] <= SPILLS.get((one["kernel"], dtype), 0), one


@pytest.mark.slow
@pytest.mark.skipif(
    tuple(map(int, triton.__version__.split(".")[:2])) < (3, 8),
    reason="the bounds are of Triton 3.8; 3.6 leaves float32 gradients over 8 tokens to plain PyTorch",
)
def test_the_tightest_fit_and_spill_no_more_than_is_said():
    for found in compile_ahead(f"{shipped.MODULE}:tight", shipped.CAPABILITIES):
        assert found.stepped == () and found.refused == {}, found.capability
        assert len(found.kernels) >= 5
        for one in found.kernels:
            check(found.capability, asdict(one))
            assert one.matrix_instructions > 0, one


def plain(value):
    """As JSON gives it back."""
    names = ("kernel", "types", "constants", "num_warps", "num_stages")
    return json.dumps({name: value[name] for name in names}, sort_keys=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="describes launches in the interpreter, which a GPU leaves out")
@pytest.mark.parametrize("capability", shipped.CAPABILITIES)
def test_the_record_has_what_is_launched_today_and_all_of_it_fits(capability):
    """Fails where a kernel is launched otherwise than it was recorded: run benchmarks/ahead_of_time.py then."""
    record, kept = {}, json.loads(RECORD.read_text())
    assert set(kept["refused"].get(f"sm_{capability}", ())) == (REFUSED if capability in (86, 120) else set())
    for row in kept["kernels"]:
        if row["capability"] == capability:
            record[plain(row)] = row
            check(capability, row)
            assert row["matrix_instructions"] > 0 or not row["call"].startswith(PRODUCTS), row
    for calls in (shipped.products, shipped.elementwise)[: 2 if capability == shipped.CAPABILITIES[0] else 1]:
        found = launched(calls(capability), capability)
        assert found.stepped == [] and len(found.launches) > 30
        assert not [call for call, one in found.launches if plain(describe(one)) not in record]


PRODUCTS = ("monarch", "pointwise_block", "linear_attention", "wavelet_packet")


def test_a_kernel_that_does_not_compile_is_named():
    with pytest.raises(RuntimeError, match=r"(?s)sm_90, exit status 1: .*no_such_module"):
        compile_ahead("no_such_module:calls", (90,))


def test_the_table_has_a_row_per_kernel():
    one = Compiled("monarch 8", "project_kernel", {"x_ptr": "float32"}, {"U": 8, "SKIP": True}, 8, 1, 128, 16, 2048, {})
    (row,) = list(shipped.table([Ahead(90, (one,), {}, ())]))[2:]
    assert row == "| 90 | monarch 8 | project_kernel SKIP | 8 | 1 | 128 | 16 | 2 |"
