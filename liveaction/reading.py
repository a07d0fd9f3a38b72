"""``liveaction.read``: a file as a signal."""

from pathlib import Path

from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal
from liveaction.spec import Recipe


def read(path: str | Path, recipe: Recipe | str | Path) -> Signal:
    """Read a file, or a folder that holds one signal, as a recipe's modality does.

    Args:
        path: of the file, or of a DICOM series, a folder of frames, a Zarr store. A DICOM series among others in its
            folder is ``FOLDER/UID``, by its SeriesInstanceUID.
        recipe: one that says what the file is, or what ``liveaction.load_recipe`` takes: a shipped recipe's name, a
            YAML file, a model directory.

    Returns:
        Values ``[C, *S]`` in the modality's unit, with axes, spacing and metadata.

    Raises:
        FormatError: the file cannot be read, or holds what the modality refuses.
        SpecError, UnknownNameError: as ``liveaction.load_recipe``.

    Example:
        >>> import liveaction
        >>> scan = liveaction.read("scan.nii.gz", "ct_light")
        >>> scan.axes, scan.unit
        (('x', 'y', 'z'), 'HU')
    """
    known = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    signal: Signal = build_modality(known.modality).read(Path(path))
    return signal
