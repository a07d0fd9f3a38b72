"""Foreign torch checkpoints, read without ever running what they contain.

A ``.pth`` file is a pickle, and a pickle is a program. It is opened in a process of its own, with limits and without
the caller's environment, and there only after every name that it refers to was found harmless. What comes back is a
safetensors file and JSON; the caller never touches the pickle.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from liveaction.errors import FormatError, printable
from liveaction.files import require_regular

SECONDS = 600  # for the other process: wall clock, and processor time
GROUND = 2**33  # bytes of memory for torch itself, and for small checkpoints
LONGEST = 2**20  # values in a configuration; a list may hold another one many times, at no cost until it is written
TENSORS, CONFIG = "tensors.safetensors", "config.json"
STATE_KEYS = ("state_dict", "model_state_dict")
WRAPPERS = ("module.", "_orig_mod.")  # put before every name by DistributedDataParallel and by torch.compile
HARMLESS = (SimpleNamespace, Namespace)  # beside what torch needs to rebuild tensors
KEPT_VARIABLES = ("DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "SYSTEMROOT")  # to find torch again

_INTEGERS = "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64"
_DTYPES: dict[torch.dtype, torch.dtype] = {
    **{getattr(torch, name): torch.float32 for name in ("float16", "bfloat16", "float32", "float64")},
    **{getattr(torch, name): getattr(torch, name) for name in _INTEGERS.split()},
}


@dataclass(frozen=True)
class Checkpoint:
    """What a ``.pth`` file holds, as plain data.

    ``config`` maps names to None, bool, int, float, str or lists of these; ``tensors`` maps names to contiguous CPU
    tensors that share no memory, in the order of the file: float32, or the integer type or bool they were saved in.
    ``dropped`` names the entries of the configuration that were not plain.
    """

    config: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    dropped: tuple[str, ...] = ()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint that another project wrote with ``torch.save``, without running what it contains.

    The top level is a dict: a state dict under ``state_dict`` or else ``model_state_dict``, beside it a ``config``
    that is a namespace or a dict, or none; or the state dict itself. Other entries are ignored, though what they refer
    to is not. A prefix ``module.`` or ``_orig_mod.`` that every tensor's name has is removed.

    Raises:
        FormatError: not such a file; or it refers to anything but tensors, containers and namespaces; or a tensor is
            not finite, dense and real; or reading it crashed or took too long.
    """
    _check_file(path)
    with TemporaryDirectory(prefix="liveaction-") as name:
        folder = Path(name)
        _read_elsewhere(path, folder)
        try:
            found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            tensors = load_file(folder / TENSORS)
            # copies: the tensors read are views of a file that is about to go
            ordered = {name: tensors[name].clone() for name in found["names"]}
        except (OSError, ValueError, LookupError, TypeError, RecursionError, SafetensorError) as error:
            raise FormatError(f"{path}: expected a whole checkpoint, got {_reason(error)}; nothing was run") from error
    return Checkpoint(found["config"], ordered, tuple(found["dropped"]))


def _check_file(path: Path) -> None:
    """Refuse what is not a zip archive, with a word on what it is instead."""
    rule = f"{path}: expected a checkpoint written by torch 1.6 or newer"
    require_regular(path)
    try:
        if not path.is_file():
            raise FormatError(f"{rule}, got {'a directory' if path.is_dir() else 'no file'}; check the path")
        with path.open("rb") as file:
            start = file.read(4)
        if zipfile.is_zipfile(path):
            return
    except OSError as error:
        raise FormatError(f"{rule}, got {_reason(error)}; check the file") from error
    if not start:
        raise FormatError(f"{rule}, got an empty file; download it again")
    if start == b"PK\x03\x04":
        raise FormatError(f"{rule}, got a zip archive without its end; download it again")
    raise FormatError(f"{rule}, got a file that begins with {start!r} and is no zip archive; save it anew with torch")


def _read_elsewhere(path: Path, folder: Path) -> None:
    """Have another process write what ``path`` holds into ``folder``.

    Raises:
        FormatError: it refused, crashed, or took too long.
    """
    rule = f"{path}: expected a checkpoint that can be read"
    command = [sys.executable, "-P", "-m", "liveaction.published.checkpoint", str(path.resolve()), str(folder)]
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    fresh = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, cwd=folder, env=kept | fresh, timeout=SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise FormatError(f"{rule} in {SECONDS} s, got no end; its reader was stopped") from error
    if done.returncode == 0:
        return
    if done.returncode < 0:
        number = -done.returncode
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        raise FormatError(f"{rule}, got a reader that ended with signal {name}; the file may be damaged")
    try:
        reason = json.loads(done.stdout.splitlines()[-1])["error"]
    except (ValueError, LookupError, TypeError) as error:
        last = done.stderr.decode(errors="replace").splitlines()[-1:]
        line = _reason(last[0] if last else "no word")
        raise FormatError(f"{rule}, got a reader that ended with code {done.returncode}: {line}") from error
    raise FormatError(f"{path}: {reason}")


def _reason(error: object, longest: int = 160) -> str:
    """One printable line for an exception or a text, without torch's advice to trust the file."""
    text = str(error).rpartition("WeightsUnpickler error:")[2].partition("Check the documentation")[0]
    line = printable(text)
    line = line if len(line) <= longest else line[: longest - 3] + "..."
    return f"{type(error).__name__}: {line}" if isinstance(error, Exception) else line


def _quote(value: object) -> str:
    """``repr``, on one line and not long."""
    return _reason(repr(value), longest=100)


# From here on, what the other process does. Its complaints have no path; the caller puts it before them.
def _convert(path: Path, folder: Path) -> None:
    """Write the tensors and the configuration of ``path`` into ``folder``, in formats that cannot run."""
    size = path.stat().st_size
    _limit(size)
    _check_archive(path, size)
    state, config = _split(_unpickle(path))
    plain, dropped = _plain_config(config)
    tensors = _strip_wrappers(_plain_tensors(state, _room(size)))
    save_file(tensors, folder / TENSORS)
    found = {"names": list(tensors), "config": plain, "dropped": dropped}
    (folder / CONFIG).write_text(json.dumps(found), encoding="utf-8")


def _room(size: int) -> int:
    """Bytes that the tensors of a checkpoint of ``size`` bytes may take: they double from float16, and may repeat."""
    return 8 * size + 2**26


def _limit(size: int) -> None:
    """Bound what this process takes, where the system knows how."""
    if sys.platform == "win32":
        return
    import resource

    bounds = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: SECONDS,
        resource.RLIMIT_FSIZE: 2 * _room(size),
        resource.RLIMIT_DATA: GROUND + 2 * _room(size),
    }
    for kind, bound in bounds.items():
        hard = resource.getrlimit(kind)[1]
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (bound if hard == resource.RLIM_INFINITY else min(bound, hard), hard))


def _check_archive(path: Path, size: int) -> None:
    """Refuse an archive without a pickle, and one that grows when it is unpacked: ``torch.save`` does not compress."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if not any(member.filename.endswith("/data.pkl") for member in members):
        names = ", ".join(_quote(member.filename) for member in members[:4]) or "nothing"
        raise FormatError(f"expected an archive with data.pkl, got one with {names}; check the file")
    unpacked = sum(member.file_size for member in members)
    if unpacked > size:
        raise FormatError(
            f"expected an archive of {size} bytes at most, got {unpacked} unpacked; save it anew with torch"
        )


def _unpickle(path: Path) -> Any:
    """The object in ``path``; a name that is not on the list is refused before anything is unpickled."""
    with path.open("rb") as file, torch.serialization.safe_globals(list(HARMLESS)):
        foreign = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))
        if foreign:
            names = ", ".join(_quote(name) for name in foreign[:4])
            raise FormatError(
                f"expected a checkpoint of tensors and a configuration, got a reference to {names}; nothing was run"
            )
        file.seek(0)
        # the file, not its name: by a name ending in .safetensors torch would take another way
        return torch.load(file, map_location="cpu", weights_only=True)


def _split(content: Any) -> tuple[dict[Any, Any], Any]:
    """The state dict and the configuration, None where there is none."""
    if type(content) not in (dict, OrderedDict):
        raise FormatError(f"expected a dict at the top, got {_quote(type(content).__name__)}; save the state dict")
    key = next((key for key in STATE_KEYS if key in content), None)
    if key is None and content and all(type(name) is str and _is_tensor(value) for name, value in content.items()):
        return content, None
    if key is None:
        keys = ", ".join(_quote(name) for name in list(content)[:8]) or "no keys"
        raise FormatError(f"expected a state dict under 'state_dict' or 'model_state_dict', got {keys}")
    if type(content[key]) not in (dict, OrderedDict):
        raise FormatError(f"expected a dict of tensors under {key!r}, got {_quote(type(content[key]).__name__)}")
    return content[key], content.get("config")


def _plain_config(config: Any) -> tuple[dict[str, Any], list[str]]:
    """The plain entries of a configuration, and the names of the others."""
    if config is None:
        return {}, []
    if type(config) not in (dict, OrderedDict, *HARMLESS):
        raise FormatError(f"expected a namespace or a dict under 'config', got {_quote(type(config).__name__)}")
    entries = config if isinstance(config, dict) else vars(config)
    left = iter(range(LONGEST))
    plain = {name: value for name, value in entries.items() if type(name) is str and _is_plain(value, left)}
    dropped = [name for name in entries if type(name) is not str or name not in plain]
    return plain, [name if type(name) is str else _quote(name) for name in dropped]


def _is_plain(value: Any, left: Iterator[int], depth: int = 8) -> bool:
    """Whether JSON can hold ``value``, each value in it taking one from ``left``."""
    if next(left, None) is None:
        return False
    if type(value) in (list, tuple):
        return depth > 0 and all(_is_plain(item, left, depth - 1) for item in value)
    return value is None or type(value) in (bool, int, float, str)


def _is_tensor(value: Any) -> bool:
    return type(value) in (torch.Tensor, torch.nn.Parameter)


def _plain_tensors(state: dict[Any, Any], room: int) -> dict[str, torch.Tensor]:
    """Copies of a state dict's tensors, checked; together they may take ``room`` bytes."""
    if not state:
        raise FormatError("expected at least one tensor, got an empty state dict")
    for name, value in state.items():
        if type(name) is not str:
            raise FormatError(f"expected names of tensors that are text, got {_quote(name)}")
        if not _is_tensor(value):
            raise FormatError(f"expected a tensor under {_quote(name)}, got {_quote(type(value).__name__)}")
        if value.layout is not torch.strided or value.device.type != "cpu" or value.dtype not in _DTYPES:
            kind = f"{value.layout} {value.dtype} on {value.device.type}".replace("torch.", "")
            raise FormatError(f"expected a dense tensor of real numbers under {_quote(name)}, got {kind}")
    # a tensor may repeat one number for ever, at no cost until it is copied
    taken = sum(torch.Tensor.numel(value) * _DTYPES[value.dtype].itemsize for value in state.values())
    if taken > room:
        raise FormatError(f"expected tensors of at most {room} bytes for a file of this size, got {taken}")
    return {name: _plain_tensor(name, value) for name, value in state.items()}


def _plain_tensor(name: str, value: torch.Tensor) -> torch.Tensor:
    """A contiguous copy without the attributes that a file may hang on a tensor; float32 where it was any float."""
    bare = torch.Tensor.detach(value).resolve_neg()
    plain = bare.to(_DTYPES[bare.dtype], copy=True, memory_format=torch.contiguous_format)
    if plain.is_floating_point() and not torch.isfinite(plain).all():
        raise FormatError(f"expected numbers that are finite in float32 under {_quote(name)}, got NaN or infinity")
    return plain


def _strip_wrappers(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """``tensors`` without the prefixes that every name has, each taken off once at most, whatever their order."""
    left = list(WRAPPERS)
    while prefix := next((prefix for prefix in left if all(name.startswith(prefix) for name in tensors)), None):
        left.remove(prefix)
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _main(path: Path, folder: Path) -> int:
    """Convert; where that fails, in whatever way, print why as one line of JSON."""
    try:
        _convert(path, folder)
    except FormatError as error:
        reason = str(error)
    except Exception as error:
        reason = f"expected a whole checkpoint, got {_reason(error)}; nothing was run"
    else:
        return 0
    print(json.dumps({"error": reason}))
    return 1


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), Path(sys.argv[2])))
