"""Models that come with the package: a folder ``NAME/`` each, a model directory with an ``about.json``."""
