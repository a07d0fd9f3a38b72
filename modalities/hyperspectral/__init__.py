"""Hyperspectral images."""
