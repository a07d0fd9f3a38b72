"""Installed as ``liveaction.configs``."""

if __name__ != "liveaction.configs":
    raise ImportError(f"{__name__!r} is a folder of the liveaction checkout; import 'liveaction.configs' instead")
