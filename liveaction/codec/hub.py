"""Models on a hub: got by the name of their repository, and pushed there. Needs the extra ``hub``.

What is got is a model directory's own files, safetensors and JSON, checked as any model is; no code and no pickle. It
stays in the hub's cache, so that it is there offline the next time.
"""

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liveaction.codec.card import make_card, strip_folders
from liveaction.codec.model import Model, load
from liveaction.errors import (
    FormatError,
    IntegrityError,
    LiveactionError,
    LiveactionWarning,
    MissingDependencyError,
    SpecError,
    UnknownNameError,
    WriteError,
    printable,
)
from liveaction.home import ABOUT, CARD, FILES, LEAST_DIGITS, resolve_model
from liveaction.model_folder import CONFIG

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_REFUSED = (401, 403, 404)
"""Answers of a hub that are no fault of the line to it."""


def from_pretrained(
    name: str | Path,
    *,
    revision: str | None = None,
    digest: str = "",
    device: str = "auto",
    dtype: str = "",
) -> Model:
    """A model by its repository on a hub, its folder, or the name of a known model.

    Args:
        name: ``owner/name``, unless a folder of that name exists; else as for ``liveaction.load``.
        revision: branch, tag or commit of a repository; the default branch where None.
        digest: 8 to 64 hex digits that the model's must begin with.
        device, dtype: as for ``liveaction.load``.

    Raises:
        UnknownNameError: no such repository, revision or known model, or none that may be read.
        FormatError: what is there is no model; the hub cannot be reached, and its cache has no copy.
        IntegrityError: another digest, or weights that are not the ones of ``config.json``.
        MissingDependencyError: the extra ``hub`` is not installed.

    Example:
        >>> import liveaction
        >>> liveaction.from_pretrained("runs/ct", device="cpu").recipe.name
        'ct_smoke'
    """
    wanted = checked_digest(digest)
    if Path(name).is_dir() or not is_repository(name):
        if revision is not None:
            raise SpecError(f"revision: expected none for a folder or a known model, got {revision!r}; leave it out")
        model = load(resolve_model(name), device=device, dtype=dtype)
    else:
        folder = fetch(str(name), revision)
        with got_whole(str(name)):
            model = load(folder, device=device, dtype=dtype)
    check_digest(model.digest, wanted, str(name))
    return model


@contextmanager
def got_whole(repository: str) -> Iterator[None]:
    """Say of a model that is damaged how to get it anew: the hub's cache keeps what it has.

    Raises:
        FormatError, IntegrityError: as the block.
    """
    try:
        yield
    except FormatError as error:
        place = _cache() / f"models--{repository.replace('/', '--')}"
        raise type(error)(f"{error}; remove {place} to get {repository} anew") from error


def is_repository(name: str | Path) -> bool:
    """Whether it is written as the name of a repository: ``owner/name``."""
    return _REPOSITORY.fullmatch(str(name)) is not None


def check_digest(digest: str, wanted: str, where: str) -> None:
    """Refuse a model of another digest.

    Raises:
        IntegrityError: it does not begin with ``wanted``.
    """
    if not digest.startswith(wanted.lower()):
        raise IntegrityError(f"{where}: expected weights {wanted[:12]}, got {digest[:12]}; ask for another revision")


def fetch(repository: str, revision: str | None = None) -> Path:
    """The folder in the hub's cache that a repository's model lies in, got first where it is not the newest.

    Offline, or where the hub cannot be reached, the copy of the last time, which warns.

    Raises:
        As :func:`from_pretrained`.
    """
    hub = _library()
    if not is_repository(repository):
        raise SpecError(f"{repository}: expected a repository as owner/name, got another text")
    about: dict[str, Any] = {"revision": revision, "endpoint": _endpoint(), "cache_dir": _cache()}
    offline = ""
    with _quiet(hub):
        if _offline(hub):
            offline = "HF_HUB_OFFLINE is set"
        else:
            try:
                _api(hub).model_info(repository, revision=revision)
            except Exception as error:  # of the hub's library, and of the one it speaks HTTP with
                _refuse(error, hub, repository, revision)
                offline = _line(error)
        try:
            about |= {"allow_patterns": list(FILES), "local_files_only": bool(offline)}
            folder = hub.snapshot_download(repository, library_name="liveaction", **about)
        except hub.errors.LocalEntryNotFoundError as error:
            raise FormatError(
                f"{repository}: expected a hub that answers, or a copy in {_cache()}, got neither: "
                f"{offline or _line(error)}; try again, or take a folder"
            ) from error
        except Exception as error:
            _refuse(error, hub, repository, revision)
            raise FormatError(f"{repository}: expected a whole model, got {_line(error)}; try again") from error
    if offline:
        warnings.warn(f"{repository}: the copy of the last time is taken: {offline}", LiveactionWarning, stacklevel=2)
    if not (Path(folder) / CONFIG).is_file():
        raise FormatError(f"{repository}: expected a model of liveaction, got a repository without {CONFIG}")
    return Path(folder)


def push(
    folder: Path,
    repository: str,
    *,
    private: bool = True,
    revision: str | None = None,
    message: str = "",
    stage: Callable[[str], None] = lambda text: None,
) -> str:
    """Push a model directory to a repository, made if missing, with a card; checkpoints and logs stay here.

    So do the folders of the files that its ``about.json`` names.

    Args:
        folder: a model directory, which is loaded first.
        repository: ``owner/name``.
        private: refuse a repository that anybody can see, and make a private one.
        revision: a branch, made if missing; the default one where None.
        message: of the commit.
        stage: is told what happens.

    Returns:
        The address of the commit.

    Raises:
        FormatError, IntegrityError: no whole model directory.
        SpecError: no name of a repository, or one that anybody can see.
        UnknownNameError: the hub does not let us.
        WriteError: the hub cannot be reached.
    """
    hub = _library()
    if not is_repository(repository):
        raise SpecError(f"{repository}: expected a repository as owner/name, got another text")
    stage("loading the model")
    digest = load(folder, device="cpu").digest
    api = _api(hub)
    with tempfile.TemporaryDirectory() as made, _quiet(hub):
        for name in FILES:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, Path(made) / name)
        strip_folders(Path(made) / ABOUT)
        (Path(made) / CARD).write_text(make_card(folder, repository=repository), encoding="utf-8")
        stage(f"pushing to {repository}")
        try:
            api.create_repo(repository, private=private, exist_ok=True)
            if private and not api.model_info(repository).private:
                raise SpecError(
                    f"{repository}: expected a private repository, got one that anybody can see; add --public "
                    "(private=False), or take another name"
                )
            if revision is not None:
                api.create_branch(repository, branch=revision, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repository,
                folder_path=made,
                revision=revision,
                commit_message=message or f"Weights {digest[:12]}",
            )
        except LiveactionError:
            raise
        except Exception as error:
            _refuse(error, hub, repository, revision)
            raise WriteError(f"{repository}: expected a hub that takes it, got {_line(error)}; try again") from error
    return str(commit.commit_url)


def _library() -> Any:
    """The hub's library.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise MissingDependencyError(
            "a hub of models: expected the package huggingface_hub, got none; pip install 'liveaction[hub]'"
        ) from error
    return huggingface_hub


def _api(hub: Any) -> "HfApi":
    api: HfApi = hub.HfApi(endpoint=_endpoint(), library_name="liveaction")
    return api


def _endpoint() -> str | None:
    """``HF_ENDPOINT`` as it is now; the library looks once."""
    return os.environ.get("HF_ENDPOINT") or None


def _cache() -> Path:
    """Where the library keeps what it got, by the environment as it is now."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def _offline(hub: Any) -> bool:
    named = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    return named or bool(hub.constants.HF_HUB_OFFLINE)


@contextmanager
def _quiet(hub: Any) -> Iterator[None]:
    """Without the library's own progress bars."""
    were = hub.utils.are_progress_bars_disabled()
    if were:
        yield
        return
    hub.utils.disable_progress_bars()
    try:
        yield
    finally:
        hub.utils.enable_progress_bars()


def _refuse(error: Exception, hub: Any, repository: str, revision: str | None) -> None:
    """Raise what a hub's answer means; nothing where it did not answer.

    Raises:
        UnknownNameError: there is no such repository or revision, or none for us.
    """
    if isinstance(error, hub.errors.RevisionNotFoundError):
        raise UnknownNameError(f"{repository}: expected a revision that is there, got {revision!r}") from error
    answer = getattr(getattr(error, "response", None), "status_code", 0)
    if isinstance(error, hub.errors.LocalTokenNotFoundError) or answer in _REFUSED:
        raise UnknownNameError(
            f"{repository}: expected a repository that is there and that we may use, got {answer or 'no token'}; check "
            "its name; for a private one set HF_TOKEN, or `hf auth login`"
        ) from error


def _line(error: Exception) -> str:
    """An error in one line, its kind first."""
    text = printable(" ".join(str(error).split()))[:160]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def checked_digest(digest: str) -> str:
    """A digest that the user gave, or an empty text.

    Raises:
        SpecError: it is none.
    """
    if digest and not re.fullmatch(f"[0-9a-fA-F]{{{LEAST_DIGITS},64}}", digest):
        raise SpecError(f"--digest: expected {LEAST_DIGITS} to 64 hex digits, got {digest[:80]!r}")
    return digest
