"""Folders of many signals to folders of streams, and back."""
