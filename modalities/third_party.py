"""What third-party readers say and give: kept quiet, put on one line, made text."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_NOISY = ("nibabel.global", "pydicom", "tifffile", "PIL")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings and log lines of third-party readers to themselves while a file is read or written."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


def one_line(error: BaseException) -> str:
    """A third party's complaint as ``ErrorName: words``, on one line of at most 160 characters."""
    words = " ".join(str(error).split())
    kind = type(error)
    name = kind.__name__ if kind.__name__ != "error" else f"{kind.__module__}.error"
    return f"{name}: {words[:160]}".rstrip(": .")


def decoded(text: bytes) -> str:
    """UTF-8, or where it is none, Latin-1, which has a letter for every byte."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
