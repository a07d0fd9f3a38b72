"""Curves of a run as a PNG: PSNR, bits per latent, learning rate over the steps."""

from pathlib import Path

from liveaction.files import atomic_path
from liveaction.training.log import read_log

CURVES = "curves.png"


def draw_curves(folder: Path) -> Path:
    """Draw ``folder/curves.png`` from the run's log, atomically; returns its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = read_log(folder)
    train = [line for line in lines if line["kind"] == "train"]
    held_out = [line for line in lines if line["kind"] == "validation"]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    for axes, key, label in zip(
        panels, ("psnr", "bits", "learning_rate"), ("PSNR in dB, peak to peak 2", "bits per latent", "learning rate"),
        strict=True,
    ):  # fmt: skip
        axes.plot([line["step"] for line in train], [line[key] for line in train], lw=0.6, alpha=0.6, label="training")
        if key != "learning_rate":
            steps = [line["step"] for line in held_out]
            axes.plot(steps, [line[key] for line in held_out], "o-", ms=3, label="held out, rounded")
            axes.legend(frameon=False)
        frozen = [line["step"] for line in train if line["frozen"]]
        if frozen:
            axes.axvspan(frozen[0], frozen[-1], color="0.92", zorder=0)
        axes.set(xlabel="step (grey: encoder frozen)", title=label)
    path = folder / CURVES
    with atomic_path(path) as part:
        figure.savefig(part, dpi=110)
    return path
