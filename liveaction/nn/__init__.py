"""Learned parts of the codec."""
