"""What the shipped recipes launch, compiled for cards that need not be here: shared memory, spills, matrix products."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from liveaction.kernels.target import SHARED_LIMIT
from liveaction.profiling import shipped
from liveaction.testing_ahead import Ahead, Compiled, compile_ahead, describe, launched

RECORD = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "ahead_of_time.json"

# Bytes of stack per thread, at most, of kernels whose registers do not do on every card, by kernel and dtype of the
# factors. The tilings that do not spill cost more: fewer tokens per read of all weights, or another pass over memory.
SPILLS = {
    ("gradient_kernel", "bfloat16"): 16,  # 512 channels, both factors and dx in one pass
    ("gradient_kernel", "float32"): 32,  # 1024 channels on 99 KiB; 1536 channels
    ("second_half_kernel", "float32"): 96,  # 512 channels
    ("first_half_kernel", "float32"): 48,
}
# Without a Triton kernel: their weights exceed 99 KiB in chunks of any size.
REFUSED = {86: {"monarch 1536 float32", "pointwise_block 1536 float32"}}
REFUSED[120] = REFUSED[86]


def check(capability, one):
    """The kernel keeps to what the card has and to what is said above."""
    dtype = next((kind for kind in ("bfloat16", "float16") if kind in one["types"]), "float32")
    assert one["shared"] <= SHARED_LIMIT[capability], one
    assert one["registers"] <= 255 and one["spills"] <= SPILLS.get((one["kernel"], dtype), 0), one


@pytest.mark.slow
def test_the_tightest_fit_and_spill_no_more_than_is_said():
    for found in compile_ahead(f"{shipped.MODULE}:tight", shipped.CAPABILITIES):
        assert found.stepped == (), found.capability
        assert set(found.refused) == REFUSED.get(found.capability, set())
        assert len(found.kernels) >= 10
        for one in found.kernels:
            check(found.capability, asdict(one))
            assert one.matrix_instructions > 0, one


def plain(value):
    """As JSON gives it back."""
    return json.dumps({name: value[name] for name in ("kernel", "types", "constants", "num_warps", "num_stages")})


@pytest.mark.skipif(torch.cuda.is_available(), reason="describes launches in the interpreter, which a GPU leaves out")
@pytest.mark.parametrize("capability", shipped.CAPABILITIES)
def test_the_record_has_what_is_launched_today_and_all_of_it_fits(capability):
    """Fails where a kernel is launched otherwise than it was recorded: run benchmarks/ahead_of_time.py then."""
    record = {}
    for row in json.loads(RECORD.read_text())["kernels"]:
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
    one = Compiled("monarch 8", "project_kernel", ("float32",), {"U": 8, "SKIP": True}, 8, 1, 128, 16, 2048, {})
    (row,) = list(shipped.table([Ahead(90, (one,), {}, ())]))[2:]
    assert row == "| 90 | monarch 8 | project_kernel SKIP | 8 | 1 | 128 | 16 | 2 |"
