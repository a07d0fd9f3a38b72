"""Integers and bytes: quantisers, entropy coding, the container."""
