"""Data lists of the Medical Segmentation Decathlon, as MONAI reads them: ``dataset.json`` beside its images."""

import re
import warnings
from pathlib import Path

from liveaction.errors import FormatError

_NAMED = re.compile(r"(.+\.json)(?::([^/\\:]+))?", re.IGNORECASE)


def is_datalist(source: str) -> bool:
    """Whether ``source`` names a data list: ``dataset.json``, or ``dataset.json:validation`` for one of its keys."""
    found = _NAMED.fullmatch(source)
    return found is not None and Path(found[1]).is_file()


def images_of(source: str) -> list[Path]:
    """The images that a data list names under its key, ``training`` where none is given, in its order.

    Raises:
        FormatError: not such a list, no such key, or images that are not there.
    """
    found = _NAMED.fullmatch(source)
    if found is None:
        raise FormatError(f"{source}: expected a data list such as dataset.json or dataset.json:validation")
    path, key = found[1], found[2] or "training"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MONAI's own imports
        from monai.data import load_decathlon_datalist
    try:
        items = load_decathlon_datalist(path, is_segmentation=True, data_list_key=key)
        images = [Path(item["image"]) for item in items]
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        line = " ".join(str(error).split())[:160]
        raise FormatError(
            f"{source}: expected a data list with one image for each entry of {key!r}, got {type(error).__name__}: "
            f"{line}; name a key as in dataset.json:validation"
        ) from error
    if not images:
        raise FormatError(f"{source}: expected images under {key!r}, got none; name another key")
    missing = [image for image in images if not image.exists()]
    if missing:
        raise FormatError(
            f"{source}: expected the images it names, got none at {str(missing[0])!r} and {len(missing) - 1} more; "
            "keep the list beside its folders"
        )
    return images
