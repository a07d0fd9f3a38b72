"""Microphone arrays and music."""
