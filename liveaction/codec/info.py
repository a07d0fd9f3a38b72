"""What a stream says of itself, read without decoding, and without torch or Numba."""

from math import prod
from pathlib import Path
from typing import Any

from liveaction.codec.header import parse_header
from liveaction.coding.container import ContainerReader
from liveaction.coding.source import Source


def read_info(path: str | Path) -> dict[str, Any]:
    """What a stream file says of itself, without decoding: header fields, bytes, ratio, bits per element, chunks.

    Raises:
        FormatError: the file cannot be read, or its header or index is not right.

    Example:
        >>> info = read_info("scan.lva")
        >>> info["recipe"], info["shape"]
        ('ct_smoke', [1, 48, 56, 48])
    """
    path = Path(path)
    with Source(path) as source:
        container = ContainerReader(source, str(path))
        header = parse_header(container.header, container.chunks, str(path), max_voxels=2**63)
        chunk_bytes = container.entries.bytes_of_chunks
    fields = header.model_dump(mode="json")
    bits, latents = 8 * container.size, header.latent_channels * prod(header.layout.grid)
    return {
        **fields,
        "version": container.version,
        "items": container.items,
        "grid": list(header.layout.grid),
        "chunks": container.chunks,
        "bytes": container.size,
        "bytes_of_chunks": chunk_bytes,
        "ratio": header.native_bits / bits,
        "bits_per_element": bits / prod(header.shape),
        "bits_per_latent": 8 * chunk_bytes / latents if latents else 0.0,  # a constant signal has no component
    }
