"""What a stream says of itself, read without decoding, and without torch or Numba."""

from math import prod
from pathlib import Path
from typing import Any

from liveaction.codec.header import parse_header
from liveaction.codec.names import check_names, item_at, name_of
from liveaction.coding.container import ContainerReader
from liveaction.coding.source import Source


def read_info(path: str | Path) -> dict[str, Any]:
    """What a stream file says of itself, without decoding: header fields, bytes, ratio, bits per element, chunks.

    Of several items the header is that of the first; sums and ratios are of all of them, and there are ``names``, and
    ``bytes_per_item``: chunks, and all else, on average.

    Raises:
        FormatError: the file cannot be read, or a header or the index is not right.

    Example:
        >>> info = read_info("scan.lva")
        >>> info["recipe"], info["shape"]
        ('ct_smoke', [1, 48, 56, 48])
    """
    path, names = Path(path), list[str]()
    chunks = chunk_bytes = elements = latents = native_bits = 0
    with Source(path) as source:
        container = ContainerReader(source, str(path))
        first = parse_header(container.header, container.chunks, str(path), max_voxels=2**63)
        for number in range(container.items):
            item = item_at(container, number, str(path))
            header = parse_header(item.header, item.chunks, item.where, max_voxels=2**63)
            names.append(name_of(item.header, item.where) if container.items > 1 else "")
            chunks, chunk_bytes = chunks + item.chunks, chunk_bytes + item.entries.bytes_of_chunks
            elements, native_bits = elements + prod(header.shape), native_bits + header.native_bits
            latents += header.latent_channels * prod(header.layout.grid)
        check_names(names, str(path))
    several: dict[str, Any] = {}
    if len(names) > 1:
        rest = container.size - chunk_bytes
        several = {
            "names": names,
            "bytes_per_item": {"chunks": chunk_bytes / len(names), "container": rest / len(names)},
        }
    bits = 8 * container.size
    return {
        **first.model_dump(mode="json"),
        "version": container.version,
        "items": container.items,
        **several,
        "grid": list(first.layout.grid),
        "chunks": chunks,
        "bytes": container.size,
        "bytes_of_chunks": chunk_bytes,
        "ratio": native_bits / bits,
        "bits_per_element": bits / elements,
        "bits_per_latent": 8 * chunk_bytes / latents if latents else 0.0,  # a constant signal has no component
    }
