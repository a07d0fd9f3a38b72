"""Installed as ``liveaction.kernels``."""

if __name__ != "liveaction.kernels":
    raise ImportError(f"{__name__!r} is a folder of the liveaction checkout; import 'liveaction.kernels' instead")
