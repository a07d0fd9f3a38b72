"""Learning on latents: stores of latents, data sets over them, networks that take them as they are."""
