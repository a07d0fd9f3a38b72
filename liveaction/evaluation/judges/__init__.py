"""Models that look at what was decoded, and are scored on what they say: machine-perceptual quality."""
