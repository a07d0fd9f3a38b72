"""Quality measures; sums run in float64. Every figure states its range."""

from liveaction.metrics.audio import covariance_error, si_sdr, spatial_errors
from liveaction.metrics.error import Percentile, mean_squared_error, psnr, psnr_along, psnr_within
from liveaction.metrics.similarity import Similarity, ms_ssim, scales_of, similarity_by_slab, ssim
from liveaction.metrics.spectra import spectral_angle

__all__ = [
    "Percentile",
    "Similarity",
    "covariance_error",
    "mean_squared_error",
    "ms_ssim",
    "psnr",
    "psnr_along",
    "psnr_within",
    "scales_of",
    "si_sdr",
    "similarity_by_slab",
    "spatial_errors",
    "spectral_angle",
    "ssim",
]
