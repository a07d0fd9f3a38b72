"""What to look at of a hyperspectral image: three bands in false colours, and one by itself."""

import numpy as np
from numpy.typing import NDArray

from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.exhibit_pixels import shares, to_picture
from liveaction.modalities.hyperspectral.preview import Panel, colour_bands, false_colour, stretch, told

_SINGLE = 0.875  # of the bands that were measured: where sensors are noisy and false colours do not reach


def cube_exhibits(panel: Panel, wavelengths: NDArray[np.float64] | None) -> list[Exhibit]:
    """False colours as the preview has them, and one band towards the end of those that were measured.

    Args:
        panel: ``before`` is the original, which decides bands and limits; ``after`` is shown.
        wavelengths: nm per band, or None.
    """
    before = panel.before
    assert before is not None
    chosen = colour_bands(panel.missing, wavelengths)
    limits = [stretch(before[band], panel.missing[band]) for band in chosen]
    coloured = false_colour(panel.after, panel.missing, chosen, limits)
    there = np.flatnonzero(~panel.missing.all(axis=(1, 2)))
    there = there if len(there) else np.arange(len(panel.missing))
    single = int(there[int(_SINGLE * (len(there) - 1))])
    lost = panel.missing[single]
    grey = shares(panel.after[single], stretch(before[single], lost), lost)
    return [
        to_picture(f"false colours, {told(chosen, wavelengths)}", coloured),
        to_picture("one band, " + told([single], wavelengths).replace("bands ", "number "), grey),
    ]
