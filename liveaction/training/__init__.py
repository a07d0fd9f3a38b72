"""From a folder of signals to a model directory."""
