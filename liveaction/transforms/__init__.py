"""Fixed, invertible maps without parameters."""
