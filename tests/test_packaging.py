"""The layout on disk and the packages that the build ships are the same list."""

import shutil
import socket
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import liveaction

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("kernels", "modalities", "configs")
DATA_SUFFIXES = {".css", ".gz", ".html", ".js", ".json", ".md", ".safetensors", ".typed", ".yaml"}


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _packages_on_disk() -> set[str]:
    core = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "liveaction").rglob("__init__.py")}
    rooms = {
        ".".join(("liveaction", *path.parent.relative_to(ROOT).parts))
        for room in ROOMS
        for path in (ROOT / room).rglob("__init__.py")
    }
    return core | rooms


def _shipped_files(root: Path) -> set[str]:
    """Paths that a wheel built in ``root`` must hold."""
    return {
        ("" if room == "liveaction" else "liveaction/") + path.relative_to(root).as_posix()
        for room in ("liveaction", *ROOMS)
        for path in (root / room).rglob("*")
        if (path.suffix in DATA_SUFFIXES or path.suffix == ".py") and "__pycache__" not in path.parts
    }


def test_every_package_on_disk_is_shipped() -> None:
    declared = _project()["tool"]["setuptools"]["packages"]
    assert set(declared) == _packages_on_disk()
    assert len(declared) == len(set(declared))


def test_the_version_is_stated_once() -> None:
    assert _project()["project"]["version"] == liveaction.__version__


@pytest.mark.parametrize("room", ROOMS)
def test_the_generic_name_is_refused(room: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {room}"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 1
    assert f"import 'liveaction.{room}' instead" in done.stderr


def test_a_checkout_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "liveaction", tmp_path / "liveaction", ignore=shutil.ignore_patterns("__pycache__"))
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import liveaction"
    # -S: without the site-packages that hold the install of this checkout
    done = subprocess.run([sys.executable, "-P", "-S", "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 1
    assert "a checkout that is not installed" in done.stderr
    assert "pip install -e ." in done.stderr


def test_two_checkouts_mixed_are_refused(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "liveaction", tmp_path / "liveaction", ignore=shutil.ignore_patterns("__pycache__"))
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import liveaction"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 1
    assert "two checkouts are mixed" in done.stderr


@pytest.mark.parametrize("room", ROOMS)
def test_the_links_for_type_checkers_point_at_the_rooms(room: str) -> None:
    link = ROOT / ".typings" / "liveaction" / room
    assert link.is_symlink()
    assert link.resolve() == ROOT / room


def test_every_declared_entry_point_loads() -> None:
    declared = _project()["project"]["entry-points"]["liveaction.modalities"]
    installed = {point.name: point for point in entry_points(group="liveaction.modalities")}
    for name, target in declared.items():
        assert installed[name].value == target
        assert installed[name].load().__module__ == target.partition(":")[0]


@pytest.mark.slow
def test_the_wheel_holds_every_file_under_one_top_level_name(tmp_path: Path) -> None:
    # from a copy: setuptools leaves build/ in the source tree, and files deleted since stay in it
    source = tmp_path / "source"
    skipped = shutil.ignore_patterns(".*", "build", "dist", "runs", "scratch", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=skipped)
    expected = _shipped_files(source)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-q"]
    subprocess.run([*pip, "-w", str(tmp_path), str(source)], check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {"liveaction"}
    assert names == expected
    assert {"liveaction/py.typed", "liveaction/configs/ct_smoke.yaml"} <= names


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("example.org", 80), ("2001:db8::1", 80, 0, 0)])
def test_the_suite_has_no_network(address: tuple[Any, ...]) -> None:
    with pytest.raises(RuntimeError, match="tests do not use the network"):
        socket.create_connection(address[:2], timeout=1)
    family = socket.AF_INET6 if len(address) == 4 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as link:
        link.settimeout(1)
        with pytest.raises(RuntimeError, match="tests do not use the network"):
            link.connect(address)


def test_the_suite_keeps_loopback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=1).close()
