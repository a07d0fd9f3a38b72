"""Modality names to classes, through the entry points ``liveaction.modalities``, loaded when asked for."""

import difflib
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from liveaction.errors import UnknownNameError

if TYPE_CHECKING:
    from liveaction.spec import ModalitySpec

GROUP = "liveaction.modalities"


def modality_names() -> list[str]:
    """Names of every installed modality, sorted; nothing is imported.

    Example:
        >>> "ct" in modality_names()
        True
    """
    return sorted(_points())


def build_modality(spec: "ModalitySpec") -> Any:
    """Make the modality that ``spec`` names.

    Returns:
        An object with the methods of ``liveaction.modalities.base.Modality``.

    Raises:
        UnknownNameError: no installed package offers that name.

    Example:
        >>> import liveaction
        >>> modality = build_modality(liveaction.load_recipe("ct_light").modality)
        >>> modality.read("scan.nii.gz").unit
        'HU'
    """
    return modality_class(spec.name)(spec)


def modality_class(name: str) -> Any:
    """The class that is installed under ``name``, a subclass of ``liveaction.modalities.base.Modality``.

    Raises:
        UnknownNameError: no installed package offers that name.
    """
    points = _points()
    if name not in points:
        close = difflib.get_close_matches(name, points) or sorted(points)
        raise UnknownNameError(
            f"[modality] name: expected an installed modality, got {name!r}; did you mean {', '.join(close)}?"
        )
    return points[name].load()


def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
