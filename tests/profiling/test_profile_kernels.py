"""`liveaction profile kernels`: the gate comes first, records are complete, wrong operations get no speed."""

import json
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from liveaction.cli import main as cli
from liveaction.errors import MissingDependencyError, SpecError
from liveaction.kernels.launch import override, settings, watch
from liveaction.profiling import measure
from liveaction.profiling.case import Case, odd_shapes, parse_shape
from liveaction.profiling.cases import cases, find_case
from liveaction.profiling.gate import gate_shapes
from liveaction.profiling.kernels import profile
from liveaction.profiling.records import Options, Row
from liveaction.profiling.tuning import tune

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
SMALL = {
    "monarch": (1, 48, 5, 7),
    "wavelet_packet_analysis": (1, 1, 16, 24, 8),
    "wavelet_packet_synthesis": (1, 2, 24, 8),
    "wavelet_packet_analysis_companded": (1, 1, 16, 24, 8),
    "wavelet_packet_synthesis_companded": (1, 2, 24, 8),
    "linear_attention": (1, 64, 33),
    "depthwise": (1, 6, 4, 5, 7),
    "pointwise_block": (1, 16, 5, 7),
    "group_norm": (2, 16, 5, 7),
    "absorbed_attention": (1, 16, 33),
    "compand": (2, 5, 33),
    "expand": (2, 5, 33),
    "laplace_quantize": (2, 5, 33),
}
MODULE = """
import torch
from liveaction.profiling.case import Case

def inputs(shape, dtype, device, generator):
    return (torch.randn(shape, generator=generator).to(device, dtype),)

good = Case("twice", inputs, lambda x: x * 2, lambda x: x + x, lambda s, d: 8, lambda s: 1, ((1, 3, 5),))
wrong = Case("nearly", inputs, lambda x: x * 2.001, lambda x: x + x, lambda s, d: 8, lambda s: 1, ((1, 3, 5),))
other = Case("shape", inputs, lambda x: x.sum(), lambda x: x + x, lambda s, d: 8, lambda s: 1, ((1, 3, 5),))
raises = Case("raises", inputs, lambda x: x.no_such_thing, lambda x: x, lambda s, d: 8, lambda s: 1, ((1, 3, 5),))
broken = Case("broken", inputs, lambda x: x, lambda x: x.no_such_thing, lambda s, d: 8, lambda s: 1, ((1, 3, 5),))
nan = Case("nan", inputs, lambda x: torch.empty_like(x), lambda x: x, lambda s, d: 8, lambda s: 1, ((1, 3, 5),))
number = 3
"""


def run(*words):
    return CliRunner().invoke(cli.app, ["profile", "kernels", *words, "--rounds", "1", "--device", "cpu"])


def complaint(capsys, monkeypatch, *words):
    """What the command says on standard error when it refuses: one line."""
    monkeypatch.setattr(sys, "argv", ["liveaction", "profile", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("liveaction:")]
    assert len(lines) == 1
    return lines[0]


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder with a user's module, as the current one."""
    (tmp_path / "profiled_ops.py").write_text(MODULE)
    (tmp_path / "profiled_broken.py").write_text("import no_such_package_anywhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_every_case_is_green_and_its_rows_are_complete():
    for name, case in cases().items():
        providers = ("composed", "numba", "reference", "function")
        report = profile([case], SMALL[name], Options(backward=True, rounds=1, providers=providers))
        assert not report.red, report.red
        assert {row.mode for row in report.rows} == {"forward", "forward+backward"}
        for row in report.rows:
            assert all(getattr(row, field.name) is not None for field in fields(Row)), row
            assert row.p20_us <= row.median_us <= row.p80_us and row.gb_s > 0
            assert row.bytes > 0 and row.flops > 0 and len(row.gate_shapes) > 1
            assert row.copy_share == pytest.approx(row.gb_s / report.ceilings[0]["copy_gb_s"])


def test_half_precision_is_checked_by_its_own_measure():
    for dtype in ("bfloat16", "float16"):
        report = profile([cases()["monarch"]], (1, 48, 9), Options(dtype=dtype, rounds=1, providers=("composed",)))
        assert [row.gate for row in report.rows] == ["green"] and report.ceilings[0]["dtype"] == dtype


def test_the_published_forms_compute_the_same():
    pytest.importorskip("livecodec.monarch", exc_type=ImportError)
    for name in ("monarch", "wavelet_packet_analysis", "wavelet_packet_synthesis"):
        for shape in ((1, 6, 128), (1, 6, 16, 24), (1, 1, 16, 80, 16)):
            report = profile([cases()[name]], shape, Options(rounds=1, providers=("anchor",)))
            assert [row.gate for row in report.rows] == ["green"], (name, report.skipped)
    report = profile([cases()["absorbed_attention"]], (1, 32, 65), Options(rounds=1, providers=("anchor",)))
    assert [row.gate for row in report.rows] == ["green"], report.skipped


def test_a_published_form_that_computes_something_else_is_left_out():
    report = profile([_case(anchor=lambda x: 3 * x)], None, Options(rounds=1, providers=("anchor", "function")))
    assert [row.provider for row in report.rows] == ["function"] and not report.red
    assert report.skipped[0]["why"].startswith("the published form computes something else here: output: expected")


@pytest.mark.slow
def test_compiled_code_is_measured():
    report = profile([cases()["monarch"]], (1, 48, 9), Options(rounds=1, providers=("compiled",)))
    assert [(row.provider, row.gate) for row in report.rows] == [("compiled", "green")], report.skipped


def test_json_record(mine):
    said = run("--op", "profiled_ops:good", "--providers", "function", "--json")
    assert said.exit_code == 0, said.output
    record = json.loads(said.stdout)
    assert set(record) == {"circumstances", "ceilings", "rows", "skipped", "format"}
    assert {"cpu", "gpu", "threads", "torch", "triton", "liveaction", "commit"} <= set(record["circumstances"])
    (row,) = record["rows"]
    assert row["op"] == "twice" and row["gate"] == "green" and row["median_us"] > 0 and row["input_sets"] == 64
    assert record["ceilings"][0]["copy_gb_s"] > 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wrong", "expected a root-mean-square error"),
        ("other", "expected shape (1, 3, 5) as of the reference, got ()"),
        ("raises", "raised AttributeError"),
        ("nan", "expected finite values"),
    ],
)
def test_a_wrong_operation_gets_no_speed(mine, name, words):
    said = run("--op", f"profiled_ops:{name}", "--providers", "function,reference", "--json", "--out", "out")
    assert said.exit_code == 1
    rows = {row["provider"]: row for row in json.loads(said.stdout)["rows"]}
    assert words in rows["function"]["gate"] and "seed" in rows["function"]["gate"]
    assert rows["function"]["median_us"] is None and rows["function"]["gb_s"] is None
    assert rows["reference"]["gate"] == "green" and rows["reference"]["median_us"] > 0
    shown = run("--op", f"profiled_ops:{name}", "--providers", "function,reference", "-q")
    assert shown.exit_code == 1 and f"red: {rows['function']['op']} function" in shown.stdout


def test_a_wrong_gradient_is_seen():
    class Half(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, dy):
            return dy

    case = replace(_case(), function=Half.apply)
    options = Options(rounds=1, providers=("function",))
    assert not profile([case], (1, 3, 5), options).red
    (first, *_) = profile([case], (1, 3, 5), replace(options, backward=True)).red
    assert first.gate.startswith("gradient of argument 0: expected")


def _case(**more):
    def inputs(shape, dtype, device, generator):
        return (torch.randn(shape, generator=generator).to(device, dtype),)

    fields = {"name": "twice", "shapes": ((1, 3, 5),), "bytes": lambda s, d: 8, "flops": lambda s: 1}
    return Case(make_inputs=inputs, function=lambda x: x * 2, reference=lambda x: x + x, **fields, **more)


def test_files(mine):
    said = run(
        "--op", "profiled_ops:good", "--providers", "function,reference", "--out", "out", "--trace", "--tune", "-q"
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    assert "nothing to tune: no kernel with launch settings runs on cpu here" in said.stdout
    assert json.loads(Path("out/profile.json").read_text())["rows"]
    picture = Path("out/roofline.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n" and len(picture) > 20_000
    traces = sorted(path.name for path in Path("out").glob("trace_*.json"))
    assert traces == ["trace_twice_1x3x5_function.json", "trace_twice_1x3x5_reference.json"]
    assert json.loads(Path("out", traces[0]).read_text())["traceEvents"]
    assert not Path("out/tuned.json").exists()


def test_the_example_runs_end_to_end(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT / "examples")
    monkeypatch.setattr(sys, "path", list(sys.path))
    said = run(
        "--op", "my_kernel:case", "--shape", "24,1000", "--providers", "function,reference", "--backward",
        "--out", str(tmp_path / "mine"), "--threads", str(torch.get_num_threads()),
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    assert "rms_norm  1 x 24 x 1000  float32  forward" in said.stdout and "of copy" in said.stdout
    assert (tmp_path / "mine" / "roofline.png").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--op", "monarhc"), "expected an operation or package.module:case, got 'monarhc'; did you mean monarch"),
        (("--op", "zzz"), "did you mean monarch, pointwise_block, wavelet_packet_analysis"),
        (("--op", "monarch", "--providers", "function"), "got none: monarch function: the case has no such"),
        (("--op", "monarch", "--shape", "abc"), "--shape: expected channels,tokens such as 512,32768"),
        (("--op", "monarch", "--shape", "512"), "--shape: expected channels,tokens"),
        (("--op", "monarch", "--shape", "1,0,3"), "--shape: expected channels,tokens"),
        (("--op", "wavelet_packet_analysis", "--shape", "1,1,9,8"), "expected extents that are multiples of [8, 8]"),
        (("--op", "monarch", "--dtype", "float31"), "--dtype: expected one of float32, bfloat16, float16 for monarch"),
        (("--op", "wavelet_packet_analysis", "--dtype", "bfloat16"), "--dtype: expected one of float32 for"),
        (("--op", "monarch", "--providers", "cuda"), "--providers: expected some of composed, numba"),
        (("--op", "monarch", "--trace"), "--trace: expected --out FOLDER beside it"),
        (("--op", "monarch", "--tune"), "--tune: expected --out FOLDER beside it"),
        (("--op", "monarch", "--device", "tpu"), "--device: expected auto, cpu, cuda or cuda:N, got 'tpu'"),
        (("--op", "no_such_module_anywhere:case"), "got ModuleNotFoundError: No module named 'no_such_module"),
        (("--op", "profiled_broken:case"), "got ModuleNotFoundError: No module named 'no_such_package_anywhere'"),
        (("--op", "profiled_ops:number"), "expected a liveaction.profiling.case.Case named 'number', got int"),
        (("--op", "profiled_ops:absent"), "profiled_ops has good, wrong, other, raises, broken, nan"),
        (("--op", "profiled_ops:broken"), "broken: expected inputs and a reference for shape (1, 3, 5), in float64"),
        (("--op", "monarch", "--out", "profiled_ops.py"), "--out profiled_ops.py: expected a folder, got a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_refusal_is_one_line(mine, capsys, monkeypatch, words, expected):
    assert expected in complaint(capsys, monkeypatch, "kernels", "-q", *words)


def test_what_cannot_run_is_left_out_with_a_line(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    if torch.cuda.is_available():
        pytest.skip("Triton runs here")
    report = profile([cases()["monarch"]], (1, 12, 5), Options(rounds=1, providers=("composed", "triton", "function")))
    assert [row.provider for row in report.rows] == ["composed"]
    why = {entry["provider"]: entry["why"] for entry in report.skipped}
    assert why["triton"] == "Triton kernels need a CUDA device, this tensor is on cpu"
    assert why["function"] == "the case has no such implementation"
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    report = profile([cases()["monarch"]], (1, 12, 5), Options(rounds=1, providers=("composed", "triton")))
    assert "interpreter" in report.skipped[0]["why"]


def test_a_kernel_without_gradients_is_measured_forward():
    def kernel(x):
        if x.requires_grad:
            raise MissingDependencyError("op: expected it, got none: it gives no gradient")
        return x * 2

    options = Options(backward=True, rounds=1, providers=("function", "reference"))
    report = profile([replace(_case(), function=kernel)], None, options)
    assert [(row.provider, row.mode) for row in report.rows] == [
        ("function", "forward"), ("reference", "forward"), ("reference", "forward+backward"),
    ]  # fmt: skip
    assert not report.red and not report.skipped


def test_a_missing_package_is_left_out_with_a_line(monkeypatch):
    def absent(*arguments):
        raise ImportError("No module named 'livecodec'")

    report = profile([_case(anchor=absent)], None, Options(rounds=1, providers=("anchor", "function")))
    assert [row.provider for row in report.rows] == ["function"]
    assert report.skipped[0]["why"] == "No module named 'livecodec'"


def test_with_several_cases_what_does_not_fit_is_left_out():
    found = [cases()["monarch"], cases()["wavelet_packet_analysis"]]
    report = profile(found, (1, 12, 5), Options(rounds=1, providers=("composed",)))
    assert [row.op for row in report.rows] == ["monarch"]
    assert "multiples of [128]" in report.skipped[0]["why"]
    half = profile(found, (1, 12, 128), Options("float16", providers=("composed",), rounds=1))
    assert half.skipped[-1]["why"].startswith("--dtype: expected one of float32")


def test_shapes():
    assert parse_shape("512,32768") == (1, 512, 32768) and parse_shape("2,3,4,5") == (2, 3, 4, 5)
    assert odd_shapes((1, 8, 512)) == ((1, 8, 1), (2, 8, 65))
    assert odd_shapes((1, 8, 4, 4, 4, 4))[1] == (2, 8, 3, 3, 3, 3)
    assert gate_shapes(_case(), (1, 512, 2**20))[0] == (1, 512, 2**17)
    assert find_case("monarch").shapes


def test_inputs_are_rotated_beyond_the_cache():
    cache = measure.cache_bytes(CPU)
    assert cache >= 2**20
    assert measure.input_sets(cache, CPU) == 4 and measure.input_sets(10 * cache, CPU) == 1
    seen = []
    case = _case()
    case = replace(case, function=lambda x: (seen.append(x.data_ptr()), x * 2)[1])
    profile([case], None, Options(rounds=20, providers=("function",)))
    assert len(set(seen)) >= 20


def test_providers_are_timed_in_turn():
    order = []
    runs = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    times = measure.interleaved(runs, CPU, 3)
    assert "".join(order) == "aabb" + "ababab" and times["a"].rounds == 3


def test_peak_memory_sees_temporaries():
    x = torch.ones(4 * 2**20)
    peak = measure.peak_memory(lambda: (x + 1) * 2, CPU)
    if peak is None:
        pytest.skip("this system does not tell")
    assert 30 * 2**20 < peak < 40 * 2**20


def test_settings_can_be_overridden_and_watched():
    default = {"BLOCK_T": 16, "num_warps": 4}
    with watch() as asked, override("some_op", {"BLOCK_T": 64, "unheard": 1}):
        assert settings("some_op", "8 float32", CPU, default) == {"BLOCK_T": 64, "num_warps": 4}
        with override("some_op", {"num_warps": 8}):
            assert settings("some_op", "8 float32", CPU, default) == {"BLOCK_T": 64, "num_warps": 8}
        assert settings("another", "", CPU, default) == default
    assert asked == {("some_op", "8 float32"): {"BLOCK_T": 64, "num_warps": 8}, ("another", ""): default}
    assert settings("some_op", "8 float32", CPU, default) == default


def test_tuning_keeps_what_is_right_and_fastest(mine):
    import time

    def kernel(x):
        chosen = settings("sleeper", f"{x.shape[1]} {x.dtype}", x.device, {"BLOCK_T": 16, "num_warps": 4})
        time.sleep(4e-3 / chosen["BLOCK_T"] ** 0.5)
        if chosen["num_warps"] == 1:
            raise RuntimeError("out of resource")
        return x * (2 if chosen["BLOCK_T"] <= 64 else 3)  # the largest blocks are fast and wrong

    case = replace(_case(), function=kernel)
    found = tune(case, ((1, 3, 5),), Options(rounds=5))
    assert set(found) == {"cpu"} and set(found["cpu"]) == {"sleeper"}
    assert found["cpu"]["sleeper"]["3 torch.float32"]["BLOCK_T"] == 64
    only = tune(replace(case, candidates={"BLOCK_T": (16, 32)}), ((1, 3, 5),), Options(rounds=5))
    assert only["cpu"]["sleeper"]["3 torch.float32"]["BLOCK_T"] == 32
    (mine / "slept.py").write_text(
        MODULE.replace("lambda x: x * 2,", "sleeper,", 1).replace(
            "good =",
            "from liveaction.kernels.launch import settings\n"
            "def sleeper(x):\n    settings('sleeper', 'k', x.device, {'num_stages': 1})\n    return x * 2\ngood =",
        )
    )
    said = run("--op", "slept:good", "--providers", "function", "--tune", "--out", "out", "-q")
    assert said.exit_code == 0 and "LIVEACTION_TUNED=out/tuned.json" in said.stdout
    assert json.loads(Path("out/tuned.json").read_text())["cpu"]["sleeper"]["k"].keys() == {"num_stages"}


def test_options_are_checked():
    with pytest.raises(SpecError, match="--rounds: expected a positive number, got 0"):
        Options(rounds=0)
    with pytest.raises(SpecError, match="got none"):
        Options(providers=())
