"""Checkpoints in the formats of the published codecs."""
