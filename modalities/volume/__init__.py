"""Volumes: CT, MRI and series of volumes over time."""
