"""What is fuzzed: a small stream, its model, and the judgement of whatever a reader makes of changed bytes."""

import io
import json
import resource
import signal
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from liveaction.codec import grid
from liveaction.codec.codec import Codec, build_codec
from liveaction.codec.model import Model
from liveaction.codec.stream import compress, open_reader
from liveaction.codec.weights import weights_digest
from liveaction.coding.container import MAGIC, VERSION, ContainerReader
from liveaction.coding.mixing import fresh
from liveaction.coding.packed import _deflate
from liveaction.coding.varint import write_varint, write_varints
from liveaction.errors import FormatError, IntegrityError
from liveaction.recipe import dump_recipe, load_recipe
from liveaction.signal import Signal

EXTENTS = (9, 7, 11)
SECONDS = 10
"""A case may take; most take milliseconds."""

ROOM = 2**30
"""Bytes of address space that may be added to what the process has when fuzzing begins."""

MAX_VOXELS = 2**16
SETTINGS = [
    "codec.levels=1", "codec.latent_channels=3", "codec.encoder.depth=0", "codec.decoder.depth=0",
    "modality.range=[-1,1]", "training.crop=[8]",
]  # fmt: skip
SPARSE = [
    "codec.levels=1", "codec.latent_channels=null", "codec.encoder={kind: sparse}", "codec.decoder={kind: linear}",
    "codec.continuation=1", "codec.trees=[{levels: [0, 1, 1], lapped: [2, 0, 0]}]", "modality.range=[-1,1]",
    "training.crop=[8]", "training.steps=0",
]  # fmt: skip
CODECS = {
    "plain": (SETTINGS, 1),
    "sparse": (SPARSE, 1),
    "own": (
        [
            *SPARSE,
            "codec.encoder={kind: sparse, basis: own}",
            "modality.channels=0",
            "modality.options={dtype: float32}",
        ],
        3,
    ),
    "small": (SPARSE, 1),
}
"""Settings of the recipe, and channels of its signals; ``small`` is by that coder, all others by ``fast``."""


class TooSlow(BaseException):
    """A case took longer than :data:`SECONDS`."""


@dataclass(frozen=True)
class Parts:
    """A container taken apart; ``build`` puts it together with right checksums.

    Attributes:
        header: JSON, which is deflated without anything packed, or whatever stands in its place.
        chunks: of the first item.
        side: bytes beside the header.
        payload: what is deflated in place of the header.
        deflated: what stands in place of that.
        more: whole items behind the first, as they lie in the head, and their chunks.
    """

    header: bytes
    chunks: tuple[bytes, ...]
    side: bytes = b""
    payload: bytes | None = None
    deflated: bytes | None = None
    more: tuple[tuple[bytes, bytes], ...] = ()

    def index(self) -> list[tuple[int, int]]:
        """Length and CRC-32 of each chunk."""
        return [(len(chunk), zlib.crc32(chunk)) for chunk in self.chunks]

    def item(self, entries: list[tuple[int, int]] | None = None, **fields: int) -> bytes:
        """The item as it lies in the head; ``entries`` and ``fields`` stand in place of the right ones."""
        found = self.index() if entries is None else entries
        deflated = self.deflated
        if deflated is None:
            deflated = _deflate(self.header if self.payload is None else self.payload, b"")
        lengths = write_varints(length for length, _ in found)
        right = {"header": len(deflated), "side": len(self.side), "count": len(found), "lengths": len(lengths)}
        crcs = b"".join(struct.pack("<I", crc) for _, crc in found)
        return write_varints((right | fields).values()) + deflated + self.side + lengths + crcs

    def build(self, entries: list[tuple[int, int]] | None = None, **fields: int) -> bytes:
        """The container; ``entries`` and ``fields``, also ``version``, ``items`` and ``size``, as in :meth:`item`."""
        own = {name: value for name, value in fields.items() if name not in ("version", "items", "size")}
        head = write_varint(fields.get("items", 1 + len(self.more))) + self.item(entries, **own)
        head += b"".join(item for item, _ in self.more)
        start = MAGIC + fields.get("version", VERSION).to_bytes(2, "little")
        whole = start + write_varint(fields.get("size", len(head))) + head
        return b"".join([whole, struct.pack("<I", zlib.crc32(whole)), *self.chunks, *(data for _, data in self.more)])


def take_apart(data: bytes) -> Parts:
    """The parts of a container that is right."""
    reader = ContainerReader(io.BytesIO(data), "fuzz")
    text = json.dumps(reader.header, separators=(",", ":")).encode()
    return Parts(text, tuple(reader.read(number) for number in range(reader.chunks)), reader.side)


class Target:
    """A codec and streams of it. Chunks and windows are made small, so that few samples have many of both.

    Args:
        codec: which of :data:`CODECS`.
    """

    def __init__(self, codec: str = "plain") -> None:
        settings, channels = CODECS[codec]
        grid.CHUNK_TOKENS, grid.WINDOW_SAMPLES, grid.SLAB_SAMPLES = 20, 400, 400
        torch.manual_seed(0)
        torch.set_num_threads(1)
        recipe = load_recipe("array_smoke", settings)
        self.codec: Codec = build_codec(recipe).eval().requires_grad_(False)
        for tree in self.codec.trees if codec == "small" else ():
            tree.chunks.mixing = fresh()
        self.model = Model(self.codec, recipe, weights_digest(self.codec, dump_recipe(recipe)))
        rng = np.random.default_rng(0)
        values = rng.standard_normal((2, channels, *EXTENTS)).astype(np.float32).clip(-1, 1)
        missing = rng.random((channels, *EXTENTS)) < 0.1
        about = recipe.modality.axes, "dB", (1.0, 2.0, 0.5), "float32", {"format": "npy", "dtype": "<f4"}
        one = Signal(values[0], *about, missing=missing, no_data=-9.0)
        other = Signal(values[1, :, :5], *about)
        self.data = compress(one, self.model)[0]
        self.other = compress(other, self.model)[0]

    def read(self, data: bytes, fill: float | None = None) -> str:
        """Decode all, then a region.

        Returns:
            ``decoded``, ``filled`` where chunks were, or the name of the error that the package means to raise.

        Raises:
            AssertionError: a result of another shape, dtype, or not finite.
        """
        try:
            with open_reader(data, self.model, where="fuzz", fill=fill) as reader:
                shape, dtype = reader.header.shape, reader.header.dtype
                whole = reader.read()
                assert whole.values.shape == shape and whole.values.dtype == dtype, "another shape or dtype"
                there = whole.values if whole.missing is None else whole.values[~whole.missing]
                assert np.isfinite(there).all(), "not finite"
                corner = tuple((0, (n + 1) // 2) for n in shape[1:])
                part = reader.read(corner).values
                inside = whole.values[(slice(None), *(slice(high) for _, high in corner))]
                assert part.tobytes() == inside.tobytes(), "another region"
                return "filled" if reader.damaged else "decoded"
        except FormatError as error:
            lines = str(error)
            assert lines.startswith("fuzz: expected") or "expected" in lines, lines
            assert lines.isprintable(), repr(lines)
            return "IntegrityError" if isinstance(error, IntegrityError) else "FormatError"


@contextmanager
def limits() -> Iterator[None]:
    """Within: at most :data:`ROOM` more address space, and an alarm that :func:`timed` sets."""
    with open("/proc/self/statm") as file:  # noqa: PTH123, no path of ours
        now = int(file.read().split()[0]) * resource.getpagesize()
    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGALRM, _alarm)
    resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGALRM, handler)


def judge(target: Target, data: bytes, fill: float | None = None) -> tuple[str, float]:
    """What a reader makes of ``data``, and in how many seconds: :meth:`Target.read`, or ``bug: ...`` for all else."""
    began = time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        outcome = target.read(data, fill)
    except (Exception, TooSlow) as error:
        outcome = f"bug: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return outcome, time.perf_counter() - began


def header_of(parts: Parts) -> dict[str, Any]:
    """The header as JSON data."""
    found: dict[str, Any] = json.loads(parts.header)
    return found


def _alarm(number: int, frame: object) -> None:
    raise TooSlow(f"longer than {SECONDS} s")
