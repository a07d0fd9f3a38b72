"""Foreign checkpoints: right values from honest files, one line and no side effect from all others."""

import argparse
import builtins
import contextlib
import io
import math
import os
import random
import re
import runpy
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from liveaction.errors import FormatError
from liveaction.published import checkpoint
from liveaction.published.checkpoint import Checkpoint, read_checkpoint

ONE = {"a": torch.ones(2)}
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTEGERS = [torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64]
INTEGERS += [torch.int8, torch.int16, torch.int32, torch.int64]


@pytest.fixture
def _in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process do what the other one does, but for the limits: nothing else differs, and it takes no time."""

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = checkpoint._main(Path(command[-2]), Path(command[-1]))
        return subprocess.CompletedProcess(command, code, out.getvalue().encode(), b"")

    monkeypatch.setattr(checkpoint, "_limit", lambda size: None)
    monkeypatch.setattr(subprocess, "run", run)


in_process = pytest.mark.usefixtures("_in_process")
shell = pytest.mark.skipif(sys.platform != "linux", reason="needs a shell, and the signals of Linux")


def _save(folder: Path, content: Any, **options: Any) -> Path:
    path = folder / "model.pth"
    torch.save(content, path, **options)
    return path


def _read(folder: Path, content: Any) -> Checkpoint:
    return read_checkpoint(_save(folder, content))


def _rewrite(path: Path, member: str, data: bytes | None, how: int = zipfile.ZIP_STORED) -> Path:
    """A copy of an archive with other bytes in ``member``, or without it."""
    copy = path.with_name("copy.pth")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
        kept = {name: source.read(name) for name in source.namelist() if name != f"model/{member}"}
        for name, content in kept.items():
            target.writestr(name, content)
        if data is not None:
            target.writestr(f"model/{member}", data, how)
    return copy


def _save_raw(folder: Path, content: Any, opcodes: bytes) -> Path:
    """An archive of ``content`` where ``opcodes`` stand for the text HERE."""
    path = _save(folder, content)
    with zipfile.ZipFile(path) as archive:
        before, here, after = archive.read("model/data.pkl").partition(b"X\x04\x00\x00\x00HERE")
    assert here
    return _rewrite(path, "data.pkl", before + opcodes + after)


def _refusal(path: Path) -> str:
    """What is said against a file, less its name, once the form of it was found right."""
    with pytest.raises(FormatError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert type(caught.value) is FormatError
    assert message.startswith(f"{path}: expected ")
    assert ", got " in message
    assert message.isprintable()
    assert len(message) < len(str(path)) + 700
    return message.removeprefix(f"{path}: ")


class Call:
    """Pickled, an order to call ``function``, and to build the result from ``state``."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, state: Any = None) -> None:
        self.order = (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.order


# Honest files


@pytest.mark.parametrize("name", ["model.pth", "other.safetensors"])
def test_a_checkpoint_is_read_in_another_process(tmp_path, monkeypatch, name):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    half = torch.randn(3, 4).half()
    config = SimpleNamespace(J=3, lightweight=True, rate=0.5, name="µ", none=None, sizes=(1, [2, 3]), odd=torch.ones(1))
    torch.save({"config": config, "state_dict": {"b": half.T, "a": torch.arange(3)}, "epoch": 4}, name)
    read = read_checkpoint(Path(name))
    assert read.config == {"J": 3, "lightweight": True, "rate": 0.5, "name": "µ", "none": None, "sizes": [1, [2, 3]]}
    assert read.dropped == ("odd",)
    assert list(read.tensors) == ["b", "a"]
    assert read.tensors["b"].dtype == torch.float32 and torch.equal(read.tensors["b"], half.T.float())
    assert read.tensors["a"].dtype == torch.int64 and torch.equal(read.tensors["a"], torch.arange(3))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@in_process
@pytest.mark.parametrize(
    "content",
    [
        {"config": SimpleNamespace(J=3), "state_dict": ONE},
        {"config": argparse.Namespace(J=3), "state_dict": ONE},
        {"config": {"J": 3}, "state_dict": ONE},
        {"config": OrderedDict(J=3), "model_state_dict": ONE},
        OrderedDict(state_dict=OrderedDict(ONE), config=argparse.Namespace(J=3), optimizer={"step": 3}),
        {"config": {"J": 3}, "state_dict": ONE, "model_state_dict": {"b": torch.zeros(1)}},
    ],
    ids=["namespace", "argparse", "dict", "model_state_dict", "ordered", "both-keys"],
)
def test_every_layout_gives_the_same(tmp_path, content):
    read = _read(tmp_path, content)
    assert (read.config, read.dropped) == ({"J": 3}, ())
    assert list(read.tensors) == ["a"]
    assert torch.equal(read.tensors["a"], torch.ones(2))


@in_process
@pytest.mark.parametrize(
    "content",
    [ONE, OrderedDict(ONE), {"state_dict": ONE}, {"model_state_dict": ONE}, {"state_dict": ONE, "config": None}],
    ids=["bare", "bare-ordered", "state_dict", "model_state_dict", "none"],
)
def test_a_checkpoint_may_have_no_configuration(tmp_path, content):
    read = _read(tmp_path, content)
    assert (read.config, read.dropped, list(read.tensors)) == ({}, (), ["a"])


@in_process
def test_a_state_dict_of_a_module_is_read(tmp_path):
    module = torch.nn.Sequential(torch.nn.Conv1d(2, 3, 1), torch.nn.BatchNorm1d(3))
    read = _read(tmp_path, module.state_dict())
    assert list(read.tensors) == list(module.state_dict())
    assert all(torch.equal(read.tensors[name], value) for name, value in module.state_dict().items())


@in_process
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["module.b", "module.a"], ["b", "a"]),
        (["_orig_mod.b", "_orig_mod.a"], ["b", "a"]),
        (["module._orig_mod.b", "module._orig_mod.a"], ["b", "a"]),
        (["_orig_mod.module.b", "_orig_mod.module.a"], ["b", "a"]),
        (["module._orig_mod.b", "module.a"], ["_orig_mod.b", "a"]),
        (["module.module.b"], ["module.b"]),
        (["module.b", "a"], ["module.b", "a"]),
        (["module.b", "_orig_mod.a"], ["module.b", "_orig_mod.a"]),
        (["x.module.b", "modules.a", "module"], ["x.module.b", "modules.a", "module"]),
    ],
)
def test_a_wrapper_of_every_name_is_taken_off(tmp_path, names, expected):
    read = _read(tmp_path, {name: torch.tensor(index) for index, name in enumerate(names)})
    assert [(name, tensor.item()) for name, tensor in read.tensors.items()] == [
        (name, index) for index, name in enumerate(expected)
    ]


@in_process
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_every_float_becomes_float32(tmp_path, dtype):
    value = torch.randn(5, 3).to(dtype)
    tensor = _read(tmp_path, {"a": value}).tensors["a"]
    assert tensor.dtype == torch.float32
    assert torch.equal(tensor, value.float())


@in_process
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integers_stay_what_they_are(tmp_path, dtype):
    value = torch.tensor([0, 1, 1 if dtype == torch.bool else torch.iinfo(dtype).max], dtype=dtype)
    tensor = _read(tmp_path, {"a": value}).tensors["a"]
    assert tensor.dtype == dtype
    assert torch.equal(tensor, value)


@in_process
def test_views_come_back_as_tensors_of_their_own(tmp_path):
    whole = torch.randn(4, 6)
    pairs = torch.randn(4, dtype=torch.complex64)
    views = {
        "whole": whole,
        "same": whole,
        "transposed": whole.T,
        "strided": whole[1:, ::2],
        "row": whole[2],
        "repeated": whole[:1].expand(5, 6),
        "permuted": torch.randn(2, 3, 4).permute(2, 0, 1),
        "channels last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "negative": pairs.conj().imag,
        "parameter": torch.nn.Parameter(whole),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
    }
    tensors = _read(tmp_path, views).tensors
    assert list(tensors) == list(views)
    for name, view in views.items():
        tensor = tensors[name]
        assert type(tensor) is torch.Tensor and not tensor.requires_grad
        assert tensor.is_contiguous() and tensor.shape == view.shape
        assert torch.equal(tensor, view), name
        assert tensor.untyped_storage().nbytes() == 4 * tensor.numel()
    full = [tensor for tensor in tensors.values() if tensor.numel()]
    assert len({tensor.data_ptr() for tensor in full}) == len(full)


@in_process
def test_what_hangs_on_a_tensor_does_not_count(tmp_path):
    tensor = torch.randn(3)
    for name in ("detach", "numel", "resolve_neg", "to"):
        setattr(tensor, name, set)
    assert torch.equal(_read(tmp_path, {"a": tensor}).tensors["a"], torch.Tensor.clone(tensor))


@in_process
@pytest.mark.parametrize("kind", [dict, OrderedDict, SimpleNamespace, argparse.Namespace])
def test_what_is_not_plain_is_dropped_by_name(tmp_path, kind):
    plain = {
        "none": None,
        "flag": False,
        "int": 10**40,
        "float": -0.1,
        "inf": math.inf,
        "text": "a\n",
        "list": [1, ["b"]],
    }
    others = {
        "tensor": torch.ones(1),
        "inner": [1, [torch.ones(1)]],
        "namespace": SimpleNamespace(a=1),
        "dict": {"a": 1},
        "set": {1},
        "bytes": b"a",
        "complex": 1j,
        "dtype": torch.float32,
        "deep": [[[[[[[[[1]]]]]]]]],
    }
    read = _read(tmp_path, {"config": kind(**others, **plain), "state_dict": ONE})
    assert read.config == plain
    assert list(read.config) == list(plain)
    assert read.dropped == tuple(others)


@in_process
def test_entries_without_a_text_for_a_name_are_dropped(tmp_path):
    config = {3: 1, None: 2, (1, "b"): 3, "a": 4}
    read = _read(tmp_path, {"config": config, "state_dict": ONE})
    assert (read.config, read.dropped) == ({"a": 4}, ("3", "None", "(1, 'b')"))


@in_process
def test_a_list_that_repeats_itself_is_dropped(tmp_path):
    circle: list[Any] = []
    circle.append(circle)
    tree: Any = 1
    for _ in range(3):
        tree = [tree] * 200
    read = _read(tmp_path, {"config": {"a": 1, "circle": circle, "tree": tree}, "state_dict": ONE})
    assert (read.config, read.dropped) == ({"a": 1}, ("circle", "tree"))


# Files that want something

NATIVE = os.system.__module__  # posix, or nt
ORDERS: dict[str, tuple[Callable[..., Any], str | list[str], str]] = {
    "system": (os.system, "echo > '{}'", f"{NATIVE}.system"),
    "mkdir": (os.mkdir, "{}", f"{NATIVE}.mkdir"),
    "eval": (builtins.eval, "__import__('os').mkdir('{}')", "builtins.eval"),
    "exec": (builtins.exec, "import os; os.mkdir('{}')", "builtins.exec"),
    "subprocess": (subprocess.check_call, ["mkdir", "{}"], "commands.check_call"),  # its name in Python 2
    "runpy": (runpy.run_path, "{}.py", "runpy.run_path"),
    "partial": (partial(os.mkdir), "{}", "functools.partial"),
    "torch": (partial(torch.save, 1), "{}", "torch.serialization.save"),
}


@pytest.fixture(params=ORDERS)
def armed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Call, str, Path]:
    """An object that makes a file when it is unpickled, the name that it refers to for that, and the file."""
    function, argument, name = ORDERS[request.param]
    made = tmp_path / "made"
    made.with_suffix(".py").write_text(f"open({str(made)!r}, 'w').close()", encoding="utf-8")
    filled = argument.format(made) if isinstance(argument, str) else [part.format(made) for part in argument]
    return Call(function, filled), name, made


def _explodes(path: Path, made: Path) -> bool:
    """Whether the file does its harm to those who trust it."""
    with contextlib.suppress(TypeError):
        torch.load(path, weights_only=False)
    return made.exists()


@in_process
@pytest.mark.parametrize(
    "place",
    [
        lambda order: order,
        lambda order: {"state_dict": order},
        lambda order: {"state_dict": ONE | {"b": order}},
        lambda order: {"state_dict": ONE, "config": SimpleNamespace(a=[1, order])},
        lambda order: {"state_dict": ONE, "ignored": order},
        lambda order: {"state_dict": ONE, order: 1},
        lambda order: {"state_dict": ONE, "config": Call(SimpleNamespace, state={"__setstate__": order})},
    ],
    ids=["top", "state", "tensor", "config", "ignored", "key", "state-of-namespace"],
)
def test_nothing_is_run_wherever_it_hides(tmp_path, armed, place):
    order, name, made = armed
    path = _save(tmp_path, place(order))
    message = _refusal(path)
    assert not made.exists()
    assert repr(name) in message and message.endswith("nothing was run")
    assert _explodes(path, made)


@in_process
def test_a_newer_pickle_is_no_way_in(tmp_path, armed):
    order, _, made = armed
    path = _save(tmp_path, {"state_dict": ONE, "ignored": order}, pickle_protocol=4)
    _refusal(path)
    assert not made.exists()
    assert _explodes(path, made)


def test_nothing_is_run_in_the_other_process(tmp_path):
    made = tmp_path / "made"
    path = _save(tmp_path, {"state_dict": ONE, "ignored": Call(os.mkdir, str(made))})
    assert f"got a reference to '{NATIVE}.mkdir'; nothing was run" in _refusal(path)
    assert not made.exists()
    assert _explodes(path, made)


@in_process
@pytest.mark.parametrize(
    ("opcodes", "word"),
    [
        (b"cposix\nsystem\n(X\x04\x00\x00\x00truetR", "'posix.system'"),
        (b"c__builtin__\neval\n(X\x01\x00\x00\x001tR", "'builtins.eval'"),
        (b"ccopy_reg\n_reconstructor\n", "'copyreg._reconstructor'"),
        (b"ctypes\nFunctionType\n", "'types.FunctionType'"),
        (b"ctypes\nSimpleNamespace.__init__\n", "'types.SimpleNamespace.__init__'"),
        (b"ctypes.SimpleNamespace\n__init__\n", "'types.SimpleNamespace.__init__'"),
        (b"ctorch.hub\nload\n", "'torch.hub.load'"),
        (b"cevil\x1b[31m\nname\n", "evil"),
        (b"(S'true'\nios\nsystem\n", "Unsupported operand"),
        (b"(X\x04\x00\x00\x00truecos\nsystem\no", "Unsupported operand"),
        (b"\x8c\x02os\x8c\x06system\x93", "Unsupported operand"),
        (b"\x82\x01", "Unsupported operand"),
        (b"X\x01\x00\x00\x00aQ", "persistent_load"),
        (b"K\x01K\x02R", "recognized function"),
        (b"R", "got"),
        (b"", "got"),
        (b".", "got"),
    ],
    ids=[
        "posix",
        "builtin",
        "copyreg",
        "function",
        "dotted",
        "dotted-module",
        "hub",
        "escape",
        "INST",
        "OBJ",
        "STACK_GLOBAL",
        "EXT",
        "persistent",
        "number-called",
        "nothing-called",
        "nothing",
        "stop",
    ],
)
def test_no_pickle_made_by_hand_gets_through(tmp_path, opcodes, word):
    assert word in _refusal(_save_raw(tmp_path, {"state_dict": ONE, "ignored": "HERE"}, opcodes))


@in_process
def test_a_namespace_can_not_become_something_else(tmp_path):
    order = Call(SimpleNamespace, state=({}, {"__class__": torch.Size}))
    assert "__class__" in _refusal(_save(tmp_path, {"state_dict": ONE, "config": order}))


@in_process
@pytest.mark.parametrize("kind", [SimpleNamespace, argparse.Namespace])
def test_entries_named_like_methods_are_entries(tmp_path, kind):
    entries = {"__dict__": 1, "__class__": 2, "items": 3}
    config = Call(kind, state=entries | {"__setstate__": set})
    read = _read(tmp_path, {"state_dict": ONE, "config": config})
    assert (read.config, read.dropped) == (entries, ("__setstate__",))


@in_process
@pytest.mark.parametrize(
    "state",
    [
        {"a": torch.zeros(1).expand(10**12)},
        {"a": torch.zeros(1, dtype=torch.bool).expand(2**20, 2**20, 2**20)},
        {str(index): torch.zeros(1).expand(2**21) for index in range(10)},
        {"a": torch.zeros(1).half().expand(2**24 + 2**15)},
    ],
    ids=["long", "cube", "many", "doubled"],
)
def test_tensors_that_only_look_large_are_refused(tmp_path, state):
    assert "expected tensors of at most" in _refusal(_save(tmp_path, state))


@in_process
def test_a_tensor_can_not_lie_about_its_size(tmp_path):
    tensor = torch.zeros(1).expand(10**12)
    setattr(tensor, "numel", set)  # noqa: B010
    assert f"got {4 * 10**12}" in _refusal(_save(tmp_path, {"a": tensor}))


@in_process
@pytest.mark.parametrize("member", ["data.pkl", "data/0", "data/9"])
def test_an_archive_that_grows_is_refused(tmp_path, member):
    path = _rewrite(_save(tmp_path, ONE), member, bytes(2**23), zipfile.ZIP_DEFLATED)
    assert re.search(r"got 8[0-9]{6} unpacked", _refusal(path))


@in_process
@pytest.mark.parametrize("place", ["config", "ignored"])
def test_deep_nesting_is_survived(tmp_path, place):
    content = {"state_dict": ONE, place: {"a": "HERE"}}
    read = read_checkpoint(_save_raw(tmp_path, content, b"]" * 10**5 + b"a" * (10**5 - 1)))
    assert (list(read.tensors), read.config, read.dropped) == (["a"], {}, ("a",) if place == "config" else ())


@pytest.mark.slow
def test_a_crash_ends_the_other_process_only(tmp_path):
    path = _save_raw(tmp_path, {"state_dict": ONE, "HERE": 1}, b")" + b"\x85" * 10**6)
    assert "got a reader that ended with signal SIG" in _refusal(path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory has no such limit")
def test_memory_is_limited(tmp_path):
    order = Call(torch.FloatTensor, 2 * checkpoint.GROUND // 4)
    assert "allocate memory" in _refusal(_save(tmp_path, {"state_dict": ONE, "ignored": order}))


# Files that are broken, or of another kind


@in_process
@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants:UserWarning")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([torch.ones(1)], ("a dict at the top", "'list'")),
        (torch.ones(1), ("a dict at the top", "'Tensor'")),
        (SimpleNamespace(state_dict=ONE), ("a dict at the top", "'SimpleNamespace'")),
        (Counter(a=1), ("a dict at the top", "'Counter'")),
        ({}, ("a state dict under", "no keys")),
        ({"config": {}, "weights": ONE}, ("a state dict under", "'config', 'weights'")),
        (ONE | {"epoch": 3}, ("a state dict under", "'a', 'epoch'")),
        ({1: torch.ones(1)}, ("a state dict under", "got 1")),
        ({"state_dict": [torch.ones(1)]}, ("a dict of tensors under 'state_dict'", "'list'")),
        ({"state_dict": None, "model_state_dict": ONE}, ("a dict of tensors under 'state_dict'", "'NoneType'")),
        ({"model_state_dict": Counter()}, ("a dict of tensors under 'model_state_dict'", "'Counter'")),
        ({"state_dict": {}}, ("at least one tensor", "empty")),
        ({"state_dict": {1: torch.ones(1)}}, ("names of tensors", "got 1")),
        ({"state_dict": {b"a": torch.ones(1)}}, ("names of tensors", "got b'a'")),
        ({"state_dict": {"a": 1.0}}, ("a tensor under 'a'", "'float'")),
        ({"state_dict": {"a\nb": [torch.ones(1)]}}, ("a tensor under 'a\\nb'", "'list'")),
        ({"state_dict": ONE, "config": [1]}, ("a namespace or a dict under 'config'", "'list'")),
        ({"state_dict": ONE, "config": "J=3"}, ("a namespace or a dict under 'config'", "'str'")),
        ({"a": torch.ones(2, 2).to_sparse()}, ("a dense tensor", "sparse_coo float32 on cpu")),
        ({"a": torch.ones(2, dtype=torch.complex64)}, ("a dense tensor", "strided complex64 on cpu")),
        ({"a": torch.ones(2).to(torch.float8_e4m3fn)}, ("a dense tensor", "float8_e4m3fn")),
        ({"a": torch.ones(2, device="meta")}, ("a dense tensor", "on meta")),
        ({"a": torch.tensor([1, math.nan])}, ("finite in float32 under 'a'", "NaN or infinity")),
        ({"a": torch.tensor([1, -math.inf]).bfloat16()}, ("finite in float32 under 'a'", "NaN or infinity")),
        ({"a": torch.tensor([1e39], dtype=torch.float64)}, ("finite in float32 under 'a'", "NaN or infinity")),
        ({"a\ud800": torch.ones(1)}, ("a whole checkpoint", "surrogates")),
        ({"__metadata__": torch.ones(1)}, ("a whole checkpoint", "invalid")),
        ({"a": torch.ones(1).numpy()}, ("a checkpoint of tensors", "numpy")),
        (torch.nn.Linear(1, 1), ("a checkpoint of tensors", "'torch.nn.modules.linear.Linear'")),
    ],
    ids=[
        "list",
        "tensor",
        "namespace",
        "counter",
        "empty",
        "no-state",
        "mixed",
        "bare-number",
        "state-list",
        "state-none",
        "state-counter",
        "state-empty",
        "number",
        "bytes",
        "float",
        "newline",
        "config-list",
        "config-text",
        "sparse",
        "complex",
        "float8",
        "meta",
        "nan",
        "inf",
        "overflow",
        "surrogate",
        "metadata",
        "numpy",
        "module",
    ],
)
def test_what_is_not_a_checkpoint_is_said(tmp_path, content, words):
    message = _refusal(_save(tmp_path, content))
    assert all(word in message for word in words), message


@in_process
@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_a_quantised_tensor_is_refused(tmp_path):
    tensor = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    assert "strided qint8 on cpu" in _refusal(_save(tmp_path, {"a": tensor}))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "no file"),
        (b"", "an empty file"),
        (b"# weights\n" * 9, "begins with b'# we'"),
        (b"PK\x03\x04" + bytes(200), "a zip archive without its end"),
    ],
    ids=["missing", "empty", "text", "cut"],
)
def test_a_file_of_another_kind_is_refused(tmp_path, content, word):
    path = tmp_path / "model.pth"
    if content is not None:
        path.write_bytes(content)
    assert word in _refusal(path)


def test_a_directory_is_refused(tmp_path):
    assert "got a directory" in _refusal(tmp_path)


def test_a_name_too_long_is_refused(tmp_path):
    assert "check the" in _refusal(tmp_path / ("a" * 300))


def test_the_format_before_torch_1_6_is_refused(tmp_path, armed):
    order, _, made = armed
    for content in (ONE, {"ignored": order}):
        path = _save(tmp_path, content, _use_new_zipfile_serialization=False)
        assert "torch 1.6 or newer, got a file that begins with" in _refusal(path)
        assert not made.exists()
    assert _explodes(path, made)


@in_process
@pytest.mark.parametrize(
    ("member", "data", "word"),
    [
        ("data.pkl", None, "an archive with data.pkl, got one with 'model/"),
        ("data.pkl", b"", "EOFError"),
        ("data/0", None, "a whole checkpoint"),
        ("data/0", b"abcd", "a whole checkpoint"),
        ("data/0", bytes(4000), "a whole checkpoint"),
        ("byteorder", b"middle", "a whole checkpoint"),
        ("version", b"99", "a whole checkpoint"),
        ("constants.pkl", b"x", "torchscript"),
    ],
    ids=[
        "no-pickle",
        "empty-pickle",
        "no-storage",
        "short-storage",
        "long-storage",
        "byteorder",
        "version",
        "torchscript",
    ],
)
def test_an_archive_with_other_members_is_refused(tmp_path, member, data, word):
    assert word in _refusal(_rewrite(_save(tmp_path, ONE), member, data))


@in_process
def test_an_archive_of_something_else_is_refused(tmp_path):
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w"):
        pass
    assert "got one with nothing" in _refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", b"<a/>")
    assert "got one with 'word/document.xml'" in _refusal(path)


@in_process
def test_every_truncation_is_refused(tmp_path):
    path = _save(tmp_path, {"config": SimpleNamespace(J=3), "state_dict": ONE})
    data = path.read_bytes()
    for cut in [*range(0, len(data), 23), len(data) - 1]:
        path.write_bytes(data[:cut])
        _refusal(path)


def _read_or_refuse(path: Path) -> bool:
    """Whether a damaged file is refused; what is read from it is as plain as it would be from a whole one."""
    try:
        read = read_checkpoint(path)
    except FormatError:
        _refusal(path)
        return True
    assert all(
        type(name) is str and checkpoint._is_plain(value, iter(range(99))) for name, value in read.config.items()
    )
    assert all(tensor.is_contiguous() and tensor.isfinite().all() for tensor in read.tensors.values())
    return False


@in_process
@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.parametrize("damage", ["flip", "remove", "insert"])
def test_damage_is_refused_or_harmless(tmp_path, damage):
    path = _save(
        tmp_path, {"config": SimpleNamespace(J=3, name="x"), "state_dict": {"a": torch.ones(2), "b": ONE["a"].int()}}
    )
    data = path.read_bytes()
    generator = random.Random(0)
    outcomes = []
    for _ in range(100):
        at, length = generator.randrange(len(data)), generator.randrange(1, 100)
        other = bytearray(data)
        if damage == "flip":
            other[at] ^= generator.randrange(1, 256)
        elif damage == "remove":
            del other[at : at + length]
        else:
            other[at:at] = generator.randbytes(length)
        path.write_bytes(other)
        outcomes.append(_read_or_refuse(path))
    assert any(outcomes)
    assert damage != "flip" or not all(outcomes)


# The other process, where it does not do as it should


def _stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Have a shell script run in the place of Python."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(path))


@shell
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -KILL $$", "a checkpoint that can be read, got a reader that ended with signal SIGKILL; the file may"),
        ("kill -40 $$", "got a reader that ended with signal 40; the file may"),
        ("exit 3", "got a reader that ended with code 3: no word"),
        ("echo a >&2; printf 'b\\033[1mc\\377' >&2; exit 3", "got a reader that ended with code 3: b\\x1b[1mc"),
        ("echo '[1]'; exit 3", "got a reader that ended with code 3: no word"),
        ("echo '{}'; exit 3", "got a reader that ended with code 3: no word"),
        ('echo ok; echo \'{"error": "expected x, got y"}\'; exit 1', "expected x, got y"),
        ("exit 0", "a whole checkpoint, got FileNotFoundError"),
        ('echo "{" > "$5/config.json"', "a whole checkpoint, got JSONDecodeError"),
        ('echo "{}" > "$5/config.json"; echo > "$5/tensors.safetensors"', "a whole checkpoint, got SafetensorError"),
    ],
    ids=[
        "killed",
        "unknown-signal",
        "silent",
        "printable",
        "list",
        "no-reason",
        "reason",
        "no-files",
        "bad-json",
        "bad-tensors",
    ],
)
def test_a_reader_that_fails_is_reported(tmp_path, monkeypatch, script, words):
    path = _save(tmp_path, ONE)
    _stand_in(tmp_path, monkeypatch, script)
    assert words in _refusal(path)


def test_a_reader_that_takes_too_long_is_stopped(tmp_path, monkeypatch):
    path = _save(tmp_path, ONE)
    monkeypatch.setattr(checkpoint, "SECONDS", 0.05)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert _refusal(path) == "expected a checkpoint that can be read in 0.05 s, got no end; its reader was stopped"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.pth"]


@shell
def test_the_reader_knows_nothing_of_the_caller(tmp_path, monkeypatch):
    path = _save(tmp_path, ONE)
    monkeypatch.setenv("SECRET", "s")
    monkeypatch.setenv("PYTHONSTARTUP", "s")
    _stand_in(tmp_path, monkeypatch, f"env > '{tmp_path}/env'; ls > '{tmp_path}/ls'; cat > '{tmp_path}/in'; exit 3")
    _refusal(path)
    known = {line.partition("=")[0] for line in (tmp_path / "env").read_text(encoding="utf-8").splitlines()}
    assert known - {"PWD", "OLDPWD", "SHLVL", "_"} <= {
        *checkpoint.KEPT_VARIABLES, "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TMPDIR",
    }  # fmt: skip
    assert not (tmp_path / "ls").read_bytes() and not (tmp_path / "in").read_bytes()
