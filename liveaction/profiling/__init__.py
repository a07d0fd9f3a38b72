"""Is it right, and how fast: kernels and codecs, checked first and then measured."""
