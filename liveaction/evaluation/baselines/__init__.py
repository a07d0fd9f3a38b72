"""Codecs of other people, through the libraries that keep them."""
