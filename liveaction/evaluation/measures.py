"""What the figures that ``Modality.compare`` gives are called, and which way is better."""

from dataclasses import dataclass

MAIN = "psnr_normalised"
"""The measure that curves and Bjontegaard deltas are drawn of, in every modality."""


@dataclass(frozen=True)
class Measure:
    """How one key of ``Modality.compare`` is shown.

    Attributes:
        label: as tables, plots and ``--against`` show it.
        unit: "dB"; empty for a number without one, None for the unit of the signal's values.
        higher_is_better: None where neither is.
        decimals: to show; None for four significant digits, where the size depends on the signal's unit.
    """

    label: str
    unit: str | None
    higher_is_better: bool | None
    decimals: int | None

    @property
    def sign(self) -> float:
        """What makes more of the measure better: -1 where less is, else 1."""
        return -1.0 if self.higher_is_better is False else 1.0

    def text(self, value: float, unit: str = "") -> str:
        """``value`` with its unit.

        Args:
            unit: of the signal's values.
        """
        number = f"{value:.4g}" if self.decimals is None else f"{value:.{self.decimals}f}"
        return f"{number} {unit if self.unit is None else self.unit}".rstrip()


MEASURES: dict[str, Measure] = {
    MAIN: Measure("PSNR", "dB", True, 2),
    "ssim": Measure("SSIM", "", True, 4),
    "ms_ssim": Measure("MS-SSIM", "", True, 4),
    "ms_ssim_scales": Measure("scales of MS-SSIM", "", None, 0),
    "rmse": Measure("root-mean-square error", None, False, None),
    "p999_error": Measure("99.9 % of errors up to", None, False, None),
    "max_error": Measure("largest error", None, False, None),
    "clipped_share": Measure("share of clipped values", "", None, 4),
    "psnr_lung": Measure("PSNR lung", "dB", True, 2),
    "psnr_soft_tissue": Measure("PSNR soft tissue", "dB", True, 2),
    "psnr_bone": Measure("PSNR bone", "dB", True, 2),
    "spectral_angle_degrees": Measure("spectral angle", "degrees", False, 3),
    "worst_frame_psnr": Measure("PSNR of the worst frame", "dB", True, 2),
    "mean_frame_psnr": Measure("mean PSNR of frames", "dB", True, 2),
    "si_sdr": Measure("SI-SDR", "dB", True, 2),
    "si_sdr_worst": Measure("SI-SDR of the worst channel", "dB", True, 2),
    "level_error_db": Measure("level error between channels", "dB", False, 2),
    "phase_error_degrees": Measure("phase error between channels", "degrees", False, 2),
    "covariance_error": Measure("relative error of the channels' covariance", "", False, 4),
    "accuracy": Measure("accuracy", "", True, 4),
    "characters_right": Measure("characters right", "", True, 4),
    "frames_right": Measure("frames right", "", True, 4),
}
"""Every key that the modalities of this package give, in the order that tables have them."""

JUDGED = ("accuracy", "characters_right", "frames_right")
"""Scores of judges, 0 to 1: told over all items together, see :mod:`liveaction.evaluation.judges.figures`."""
