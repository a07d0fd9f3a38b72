"""What a codec is: model, weights on disk, and the stream between a signal and bytes."""
