"""Changes of a stream: of its bytes as they lie, which checksums must notice, and of its parts, checksums put right."""

import base64
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from liveaction.coding.packed import pack_text, payload_of
from liveaction.coding.varint import write_varint
from tests.fuzz.target import Parts, header_of

Change = Callable[[random.Random, bytes, bytes], bytes]
Repair = Callable[[random.Random, Parts, Parts], bytes]

NUMBERS = [
    0, -1, 1, 2, 3, 4, 5, 7, 8, 255, 256, 4096, 2**16, 2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63, 2**64, 10**30,
    10**400, 10**5000, 0.5, -0.5, 1e-320, 1e-40, 1e20, 3e38, 1e39, 1e308, -1e308, True, False, None,
]  # fmt: skip
WORDS = [
    "", "float64", "uint8", "int64", "uint64", "float16", "object", "array", "ct", "video", "nosuch", "\x00", "\n",
    "../../x", "/etc/passwd", "x" * 5000, "\ud800", "é", "__class__", "nan", "Infinity", "1e999999999", "native",
]  # fmt: skip
OTHERS: list[Any] = [[], {}, [[]], [1], [1, 1, 1], [1, 9, 7, 11], [5, 4, 6], [2] * 17, {"a": {"b": [None]}}, [-1, 1]]
KEYS = ["_target_", "__class__", "$ref", "options", "later", "percentiles", "key", "frame_rate", "\n"]


def _cut(rng: random.Random, n: int) -> tuple[int, int]:
    low = rng.randrange(n)
    return low, min(n, low + 1 + int(rng.expovariate(1 / 20)))


def flip_bytes(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """One to eight bytes changed."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    return bytes(changed)


def insert(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Bytes put in anywhere, the end included."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.randint(1, 40)) + data[at:]


def delete(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """A range taken out."""
    low, high = _cut(rng, len(data))
    return data[:low] + data[high:]


def splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """The beginning of one stream, the end of another."""
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]


def duplicate(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """A range that stands twice, or in another range's place."""
    low, high = _cut(rng, len(data))
    at = rng.randrange(len(data))
    return data[:at] + data[low:high] + data[at + rng.choice([0, high - low]) :]


def truncate(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Less of it."""
    return data[: rng.randrange(len(data))]


RAW: dict[str, Change] = {
    function.__name__: function for function in (flip_bytes, insert, delete, splice, duplicate, truncate)
}


def _value(rng: random.Random, old: Any) -> Any:
    if isinstance(old, list) and old and rng.random() < 0.7:
        place, new = rng.randrange(len(old)), list(old)
        if rng.random() < 0.2:
            return [*new, new[place]] if rng.random() < 0.5 else new[:place] + new[place + 1 :]
        new[place] = _value(rng, old[place])
        return new
    if isinstance(old, dict) and old and rng.random() < 0.6:
        key = rng.choice(list(old))
        return {**old, key: _value(rng, old[key])}
    if isinstance(old, dict) and rng.random() < 0.4:
        return {**old, rng.choice(KEYS): _value(rng, None)}
    if isinstance(old, int | float) and not isinstance(old, bool) and rng.random() < 0.5:
        return rng.choice([old + 1, old - 1, old * 2, -old, old * 10**10])
    return rng.choice([rng.choice(NUMBERS), rng.choice(WORDS), rng.choice(OTHERS)])


def _text(header: Any) -> bytes:
    try:
        return json.dumps(header).encode()
    except ValueError:  # too many digits for Python to write
        return b'{"shape":[' + b"9" * 5000 + b"]}"


def header_values(rng: random.Random, parts: Parts, other: Parts) -> bytes:
    """Some keys with other values, or gone, or swapped, or new."""
    header = header_of(parts)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        key, draw = rng.choice(list(header)), rng.random()
        if draw < 0.05:
            del header[key]
        elif draw < 0.1:
            header[rng.choice(KEYS)] = _value(rng, None)
        elif draw < 0.15:
            second = rng.choice(list(header))
            header[key], header[second] = header[second], header[key]
        elif draw < 0.2:
            header[key] = header_of(other).get(key)
        else:
            header[key] = _value(rng, header[key])
    return replace(parts, header=_text(header)).build()


TEXTS: list[Callable[[bytes], bytes]] = [
    lambda text: text.decode().encode("utf-16"),
    lambda text: text.decode().encode("utf-32-be"),
    lambda text: b"\xef\xbb\xbf" + text,
    lambda text: text[:-1] + b"," + text[1:],
    lambda text: text[:-1] + b',"extras":{"a":1e999}}',
    lambda text: text.replace(b'"metadata":{', b'"metadata":{"a":"\\ud800",'),
    lambda text: text.replace(b'"metadata":{', b'"metadata":{"a":' + b"9" * 4100 + b","),
    lambda text: text.replace(b'"metadata":{', b'"metadata":{"a":' + b"[" * 198 + b"]" * 198 + b","),
    lambda text: text.replace(b'"metadata":{', b'"metadata":{"a":' + b"[" * 199 + b"]" * 199 + b","),
    lambda text: text + b"\0",
]
"""Other encodings of a header, a key twice, numbers and texts that JSON does not have, depths at the limit."""


def header_text(rng: random.Random, parts: Parts, other: Parts) -> bytes:
    """The header's bytes changed."""
    draw = rng.random()
    if draw < 0.1:
        nested = b'{"metadata":' + rng.choice([b"[", b'{"a":']) * rng.choice([100, 200, 900, 10**5])
        return replace(parts, header=rng.choice([nested, nested + b"1" + b"]" * 100 + b"}"])).build()
    if draw < 0.2:
        return replace(parts, header=rng.choice(TEXTS)(parts.header)).build()
    change = RAW[rng.choice(list(RAW))]
    return replace(parts, header=change(rng, parts.header, other.header)).build()


def index_entries(rng: random.Random, parts: Parts, other: Parts) -> bytes:
    """Lengths and checksums in the index changed, entries swapped, twice, gone."""
    entries = parts.index()
    place, draw = rng.randrange(len(entries)), rng.random()
    if draw < 0.2:
        second = rng.randrange(len(entries))
        entries[place], entries[second] = entries[second], entries[place]
    elif draw < 0.3:
        entries.insert(place, entries[place])
    elif draw < 0.4:
        del entries[place]
    else:
        size, crc = entries[place]
        values = [0, 1, size + 1, max(size - 1, 0), 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64, 2**70]
        entries[place] = rng.choice([(rng.choice(values), crc), (size, crc ^ 1), (size, 0)])
    count = rng.choice([len(entries), len(parts.chunks)])
    return parts.build(entries, count=count)


def prefix_fields(rng: random.Random, parts: Parts, other: Parts) -> bytes:
    """Version, sizes and counts changed."""
    field = rng.choice(["version", "size", "items", "header", "side", "count", "lengths"])
    if field == "version":
        return parts.build(version=rng.choice([0, 1, 3, 2**16 - 1, rng.randrange(2**16)]))
    near = len(parts.item()) if field == "size" else len(parts.chunks)
    return parts.build(
        **{field: rng.choice([0, 1, 2, near, near + 1, near - 1, 2**24, 2**32, 2**63, rng.randrange(2**16)])}
    )


def packed_bytes(rng: random.Random, parts: Parts, other: Parts) -> bytes:
    """What is deflated changed, where lists of numbers and binary are packed, or what comes of it; bombs."""
    draw = rng.random()
    if draw < 0.3:
        packed = pack_text(parts.header)
        return replace(parts, deflated=RAW[rng.choice(list(RAW))](rng, packed, pack_text(other.header))).build()
    if draw < 0.4:
        many = rng.choice([b" ", b"[", b"\0", b"\x82", b"\x83", b"0,"]) * rng.choice([2**10, 2**20, 2**25])
        return replace(parts, payload=rng.choice([many, b'{"a":[\x82]}\0' + many])).build()
    numbers = [
        [round(k * k / 7, rng.randint(0, 5)) for k in range(20)],
        [k / 1024 for k in range(9)],
        [10**k for k in range(9)],
    ]
    extras = {"a": numbers, "b": base64.b64encode(bytes(range(60))).decode(), "c": bytes(range(20)).hex()}
    payload = payload_of(_text(header_of(parts) | {"extras": extras}))
    if draw < 0.9:
        cut = payload.index(b"\0")
        tail = RAW[rng.choice(list(RAW))](rng, payload[cut:], payload)
        payload = payload[:cut] + tail if draw < 0.8 else RAW[rng.choice(list(RAW))](rng, payload, payload)
    return replace(parts, payload=payload).build()


def more_items(rng: random.Random, parts: Parts, other: Parts) -> bytes:
    """Bytes beside the header, and other items, right ones and others."""
    second = other.item()
    if rng.random() < 0.5:
        second = RAW[rng.choice(list(RAW))](rng, second, parts.item())
    side = rng.randbytes(rng.choice([0, 1, 200]))
    many = rng.choice([0, 1, 1, 3]) * ((second, b"".join(other.chunks)),)
    return replace(parts, side=side, more=many).build()


def chunk_contents(rng: random.Random, parts: Parts, other: Parts) -> bytes:
    """Chunks with other bytes, swapped, empty, of the other stream, or with masks that expand a lot."""
    chunks = list(parts.chunks)
    for _ in range(rng.choice([1, 1, 2, 5])):
        place, draw = rng.randrange(len(chunks)), rng.random()
        data = chunks[place]
        mask = data[0] if data else 0
        if draw < 0.6 and data:
            data = RAW[rng.choice(list(RAW))](rng, data, rng.choice(other.chunks) + b"\0")
        elif draw < 0.7:
            data = rng.choice(rng.choice([parts, other]).chunks)
        elif draw < 0.8:
            data = write_varint(rng.choice([0, 1, mask + 1, len(data), 2**31, 2**62, 2**64])) + data[1:]
        elif draw < 0.9:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            bits = packer.compress(rng.randbytes(rng.choice([0, 1, 8, 12, 13, 100])) or bytes(10**6)) + packer.flush()
            bits = rng.choice([b"\0", b"\1", b"\2"]) + bits
            data = write_varint(len(bits)) + bits + data[1 + mask :]
        else:
            data = rng.randbytes(rng.choice([0, 1, 3, 4, 5, 60]))
        chunks[place] = data
    return replace(parts, chunks=tuple(chunks)).build()


def side_bytes(rng: random.Random, parts: Parts, other: Parts) -> bytes:
    """The bytes of a basis changed, gone, or of the other stream; perhaps components and channels with them."""
    draw = rng.random()
    side = rng.choice([b"", other.side, rng.randbytes(rng.choice([1, 9, 60])), bytes(rng.choice([1, 2**10, 2**20]))])
    if draw < 0.7 and parts.side:
        side = RAW[rng.choice(list(RAW))](rng, parts.side, other.side or b"\0")
    if rng.random() < 0.3:
        header = header_of(parts)
        components = rng.choice([0, 1, 2, 3, 4, 7, 33, 64])
        header |= {"components": components, "latent_channels": 8 * components}
        if rng.random() < 0.5:
            header["shape"] = [rng.choice([1, 2, 3, 5, 64]), *header["shape"][1:]]
        return replace(parts, header=_text(header), side=side).build()
    return replace(parts, side=side).build()


def chunk_numbers(rng: random.Random, parts: Parts, other: Parts) -> bytes:
    """Chunks in another order, one more, one less."""
    chunks = list(parts.chunks)
    draw = rng.random()
    if draw < 0.5:
        rng.shuffle(chunks)
    elif draw < 0.75:
        chunks.insert(rng.randrange(len(chunks)), rng.choice(other.chunks))
    else:
        del chunks[rng.randrange(len(chunks))]
    return replace(parts, chunks=tuple(chunks)).build()


REPAIRED: dict[str, tuple[Repair, int]] = {
    "header_values": (header_values, 5),
    "header_text": (header_text, 2),
    "index_entries": (index_entries, 2),
    "prefix_fields": (prefix_fields, 1),
    "packed_bytes": (packed_bytes, 3),
    "more_items": (more_items, 1),
    "chunk_contents": (chunk_contents, 4),
    "side_bytes": (side_bytes, 2),
    "chunk_numbers": (chunk_numbers, 1),
}
"""Each with its weight among the others."""
