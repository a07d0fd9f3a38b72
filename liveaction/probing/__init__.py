"""How well small networks learn: on latents, on fewer samples, on all samples, at equal compute, side by side."""
