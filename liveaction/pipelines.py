"""Pipelines of diffusers in local folders: which may be loaded, and loading them without network, code and pickles."""

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from liveaction.errors import FormatError, LiveactionError, MissingDependencyError, SpecError, memory_line, printable
from liveaction.files import read_small
from liveaction.strict_json import read_json_bytes

INDEX = "model_index.json"
_MOST_INDEX, _MOST_CONFIG = 1 << 20, 1 << 26  # bytes
_LONGEST = 240  # letters of what a library says
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".onnx")
_LIBRARIES = ("diffusers", "transformers")
_OTHER_INPUTS = ("mask_image", "control_image")  # of pipelines that need more than a picture


def check_pipeline(folder: Path) -> str:
    """The class that a pipeline's folder names, refused where loading it could run code or read pickles.

    Nothing is imported.

    Raises:
        SpecError: no folder with an index.
        FormatError: its index is no index; a component is of another library than diffusers and transformers, or has
            pickled weights alone; there is code in it.
    """
    index = folder / INDEX
    if not index.is_file():
        raise SpecError(
            f"--enhance: expected a local folder of a diffusers pipeline with {INDEX}, got {str(folder)!r}; nothing is "
            "downloaded"
        )
    with one_line_errors(index, "an index of a pipeline"):
        fields = read_json_bytes(read_small(index, _MOST_INDEX), str(index), "an index of a pipeline")
    name = fields.get("_class_name") if isinstance(fields, dict) else None
    if not isinstance(name, str) or not name.isidentifier():
        raise FormatError(f"{index}: expected the name of a class of diffusers in _class_name, got {name!r}")
    for key, value in fields.items():
        if isinstance(value, list):
            _check_component(index, key, value)
    code = next((file for file in folder.rglob("*") if _is_code(file)), None)
    if code is not None:
        raise FormatError(f"{folder}: expected weights and settings alone, got code, {str(code)!r}; it is not run")
    for place in {file.parent for file in folder.rglob("*") if file.suffix.lower() in _PICKLES}:
        if not any(place.glob("*.safetensors")):
            raise FormatError(
                f"{place}: expected safetensors, got other weights alone; convert them where you trust them"
            )
    return name


def _is_code(file: Path) -> bool:
    """Python, or settings that name a class of somebody's code."""
    named = file.suffix == ".json" and file.name.endswith("config.json") and file.is_file()
    return file.suffix == ".py" or (named and b'"auto_map"' in read_small(file, _MOST_CONFIG))


def _check_component(index: Path, key: str, value: list[Any]) -> None:
    """Refuse a component that is no class of a library, or of a pipeline of diffusers."""
    if not any(isinstance(entry, str) for entry in value):  # none, or numbers that are a setting
        return
    if len(value) != 2 or not all(isinstance(entry, str) and entry.isidentifier() for entry in value):
        got = printable(repr(value))[:80]
        raise FormatError(f"{index}: expected [library, class] for {key!r}, got {got}; code of a folder is not run")
    if value[0] not in _LIBRARIES:
        found = find_spec("diffusers")
        places = (found.submodule_search_locations if found is not None else None) or ()
        if not any(Path(place, "pipelines", value[0]).is_dir() for place in places):
            raise FormatError(
                f"{index}: expected {key!r} of diffusers or transformers, got {value[0]!r}; no other is imported"
            )


def pipeline_class(folder: Path, name: str) -> Any:
    """The class of diffusers, which takes a picture and how much of it is made anew.

    Args:
        folder: for messages.
        name: of the class.

    Raises:
        MissingDependencyError: the extra ``enhance`` is not installed.
        SpecError: it is none, or one of another kind.
        FormatError: it cannot be imported.
    """
    lacking = [package for package in _LIBRARIES if find_spec(package) is None]
    if lacking:
        raise MissingDependencyError(
            f"--enhance: expected the packages diffusers and transformers, got no {' and no '.join(lacking)}; pip "
            "install '.[enhance]' in a clone of this repository"
        )
    with one_line_errors(folder, f"a class of diffusers, {name}"):
        diffusers = import_module("diffusers")
        kind = getattr(diffusers, name, None)
        usable = isinstance(kind, type) and issubclass(kind, diffusers.DiffusionPipeline)
    takes = inspect.signature(kind.__call__).parameters if usable and kind is not None else {}
    if not {"image", "strength"} <= set(takes) or set(takes) & set(_OTHER_INPUTS):
        raise SpecError(
            f"--enhance: expected an image-to-image pipeline of diffusers, which takes image and strength alone, got "
            f"{name} in {str(folder)!r}; save it as such a one, with AutoPipelineForImage2Image"
        )
    return kind


def load_pipeline(kind: Any, folder: Path, device: str) -> Any:
    """The pipeline on its device, silent.

    Args:
        kind: as :func:`pipeline_class` gives it.
        folder: that :func:`check_pipeline` let pass.
        device: of torch.

    Raises:
        FormatError: it cannot be loaded.
    """
    with one_line_errors(folder, "a pipeline that loads"), _without_bars():
        pipeline = kind.from_pretrained(str(folder), local_files_only=True, use_safetensors=True).to(device)
        pipeline.set_progress_bar_config(disable=True)
    return pipeline


@contextmanager
def one_line_errors(where: Path, expected: str) -> Iterator[None]:
    """Make one line of what a library raises, and keep its warnings to itself.

    Raises:
        FormatError: instead of it; memory that ran out stays what it is.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except LiveactionError:
        raise
    except Exception as error:
        if memory_line(error) is not None:
            raise
        raise FormatError(
            f"{where}: expected {expected}, got {printable(f'{type(error).__name__}: {error}')[:_LONGEST]}"
        ) from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """No progress bars and no log lines of both libraries while a pipeline is loaded."""
    logs = [import_module(f"{library}.utils.logging") for library in _LIBRARIES]
    before = [(log, log.is_progress_bar_enabled(), log.get_verbosity()) for log in logs]
    try:
        for log in logs:
            log.disable_progress_bar()
            log.set_verbosity_error()
        yield
    finally:
        for log, shown, level in before:
            log.set_verbosity(level)
            if shown:
                log.enable_progress_bar()
