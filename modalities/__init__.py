"""Installed as ``liveaction.modalities``."""

if __name__ != "liveaction.modalities":
    raise ImportError(f"{__name__!r} is a folder of the liveaction checkout; import 'liveaction.modalities' instead")
