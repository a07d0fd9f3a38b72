"""The suite tests its own checkout, seeded, without the network, and quietly."""

import os
import random
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

# Read by third parties when they are imported, here and in the processes that tests start.
os.environ.update(
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_OFFLINE="1",
    MPLBACKEND="Agg",
    NO_COLOR="1",
    TF_CPP_MIN_LOG_LEVEL="3",
    TOKENIZERS_PARALLELISM="false",
)
if "PYTEST_XDIST_WORKER" in os.environ:  # one of a worker for each core: neither it nor what it starts takes more
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import numpy as np
import pytest
import torch

# Before anything imports triton: its interpreter runs the kernels where there is no GPU.
os.environ.setdefault("TRITON_INTERPRET", "0" if torch.cuda.is_available() else "1")

import liveaction

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to test another checkout's code."""
    source = Path(liveaction.__file__).resolve().parent
    if source != ROOT / "liveaction":
        pytest.exit(
            f"these tests are {ROOT}'s, but liveaction comes from {source}: run `pip install -e .` here", returncode=4
        )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")


@pytest.fixture(autouse=True)
def _seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def small_phantoms() -> Iterator[None]:
    """CT phantoms of 48 x 56 x 40 voxels where a test does not say how large: their size is not what is tested."""
    from liveaction.modalities.volume.ct import CT

    whole = CT.synthetic
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CT, "synthetic", lambda self, seed, extents=None: whole(self, seed, extents or (48, 56, 40)))
        yield


@pytest.fixture
def data_dir() -> Path:
    """Folder of the sample data, beside the checkout."""
    if not DATA.is_dir():
        pytest.skip("the sample data folder is not here")
    return DATA


def _is_local(address: Any) -> bool:
    """Whether a socket address stays on this machine: a path, a loopback address, or a name for one."""
    if not isinstance(address, tuple):
        return True
    host = address[0]
    if isinstance(host, bytes):
        host = host.decode()
    if host in {"", "localhost", None}:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _guarded(call: Callable[..., Any], position: int) -> Callable[..., Any]:
    """``call``, refusing an address that leaves this machine; the address is argument ``position`` from the end."""

    def guard(*args: Any, **kwargs: Any) -> Any:
        if not _is_local(args[position]):
            raise RuntimeError(f"tests do not use the network: expected a loopback address, got {args[position]!r}")
        return call(*args, **kwargs)

    return guard


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    lookup = socket.getaddrinfo

    def guarded_lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_local((host,)):
            raise RuntimeError(f"tests do not use the network: expected a loopback name, got {host!r}")
        return lookup(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name), -1))
        patch.setattr(socket, "getaddrinfo", guarded_lookup)
        yield
