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


@pytest.fixture(scope="session", autouse=True)
def _no_models_of_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home of models that is empty, for the processes that tests start as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVEACTION_HOME", str(tmp_path_factory.mktemp("home") / "none"))
        patch.delenv("LIVEACTION_MODELS", raising=False)
        yield


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


@pytest.fixture(scope="session")
def dicom_series() -> Callable[..., Path]:
    """A function that writes a small oblique CT series, see :func:`_write_series`."""
    return _write_series


ROW, COLUMN = (0.96, 0.28, 0.0), (-0.224, 0.768, -0.6)  # orthonormal, oblique


def _write_series(folder: Path, count: int = 5, **tags: Any) -> Path:
    """Slices of 6 x 8 whose file names and instance numbers run against the position.

    Args:
        tags: by keyword; a function of the slice's index makes one for each, None leaves it out. ``Stored`` is the
            array of stored values, ``Syntax`` the transfer syntax, ``Frame`` the compressed picture.
    """
    import pydicom
    from pydicom.config import IGNORE
    from pydicom.encaps import encapsulate
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    random, series = np.random.default_rng(1), generate_uid()
    normal = np.cross(ROW, COLUMN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pydicom.config.settings, "_writing_validation_mode", IGNORE)
        patch.setattr(pydicom.config.settings, "reading_validation_mode", IGNORE)
        for i in range(count):
            given = {name: value(i) if callable(value) else value for name, value in tags.items()}
            stored = given.pop("Stored", None)
            stored = random.integers(0, 4096, (6, 8), dtype=np.uint16) if stored is None else stored
            syntax, frame = given.pop("Syntax", ExplicitVRLittleEndian), given.pop("Frame", None)
            bits = 8 * stored.itemsize
            data = pydicom.Dataset()
            data.file_meta = pydicom.dataset.FileMetaDataset()
            data.file_meta.TransferSyntaxUID = syntax
            about = {
                "SOPClassUID": CTImageStorage, "SOPInstanceUID": generate_uid(), "SeriesInstanceUID": series,
                "Modality": "CT", "Manufacturer": "Nobody", "ConvolutionKernel": ["B", "C"],
                "PatientName": "Secret^Name", "PatientID": "secret-id", "StudyDate": "20200101",
                "InstanceNumber": count - i, "Rows": 6, "Columns": 8, "PixelSpacing": [0.9, 0.7],
                "ImageOrientationPatient": [*ROW, *COLUMN],
                "ImagePositionPatient": [round(float(v), 6) for v in (10, -20, 30) + normal * 2.5 * i],
                "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
                "BitsAllocated": bits, "BitsStored": 12 if bits == 16 and stored.dtype.kind == "u" else bits,
                "PixelRepresentation": int(stored.dtype.kind == "i"), "RescaleSlope": 1, "RescaleIntercept": -1024,
            } | given  # fmt: skip
            about.setdefault("HighBit", about["BitsStored"] - 1)
            for name, value in about.items():
                if value is not None:
                    setattr(data, name, value)
            order = ">" if syntax == pydicom.uid.ExplicitVRBigEndian else "<"
            whole = np.frombuffer(stored.tobytes(), "<u2") if stored.itemsize == 1 else stored  # OW has words
            native = whole.astype(whole.dtype.newbyteorder(order)).tobytes()
            data.PixelData = encapsulate([frame]) if frame else native
            data["PixelData"].VR = "OB" if frame else "OW"
            data.save_as(folder / f"{(i * 7) % 5}{i}.dcm", enforce_file_format=True)
    return folder


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
