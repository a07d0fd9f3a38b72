"""What stands above waves in pictures of sound."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from liveaction.modalities.audio.preview import _dress, _head, _limit


def test_names_leave_the_exponent_of_quiet_sounds_alone() -> None:
    figure = Figure(figsize=(9.4, 2), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0.2, 1, 0.5))
    axes.plot([0.0, 2e-3])
    _head(axes, 0, True)
    _limit(axes, np.array([2e-3], np.float32))
    _dress(axes, "channel 0", True, True)
    canvas.draw()
    exponent = axes.yaxis.get_offset_text()
    assert exponent.get_text()
    assert [text.get_text() for text in axes.texts] == ["original", "reconstruction"]
    boxes = [exponent.get_window_extent(), *(text.get_window_extent() for text in axes.texts)]
    assert not any(one.overlaps(two) for i, one in enumerate(boxes) for two in boxes[:i])
