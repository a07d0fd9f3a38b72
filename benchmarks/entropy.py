"""Bits per latent and speed of the entropy coder beside its yardsticks, on latents of real files.

    python benchmarks/entropy.py --latents FOLDER --make ct --model runs/ct --fit CHEST.nii.gz --test HEAD.nii.gz
    python benchmarks/entropy.py --latents FOLDER --name entropy_cpu

The first form writes FOLDER/ct.npz: symbols ``[L, *G]`` of each file at a 16th of the trained step. The second measures
all that lies in FOLDER, at the trained step and at a quarter of it. Tables are fitted to the files given as --fit, at
steps from 1/8 to 8 times the trained one; where there are none, to the first half of the test file, and the second half
is measured.

Coders: the file's own order-0 entropy per channel, a yardstick that no decoder could use; static order-0 tables of the
fitted files; Zstandard 19 per channel; contexts, fitted and generic; and the published way, an image: symbols less the
file's least one, in 8 bits where they fit and 16 else, channels below each other, slices side by side. Lossless WebP
has 8 bits, so wider symbols become two images, of low and of high bytes. MB/s count a latent as two bytes; one thread,
the median of the rounds, of the first test file.
"""

import argparse
import io
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import imagecodecs
import numpy as np
import tifffile
import zstandard
from numpy.typing import NDArray
from record import save

from liveaction.coding.entropy import ideal_bits
from liveaction.coding.fast import decode_chunk, encode_chunk
from liveaction.coding.fit import fit_tables
from liveaction.coding.tables import EntropyTables, generic_tables

FINER = 16
SIDES = {1: 4096, 2: 64, 3: 16, 4: 8}
FIT_AT = (2, 4, 8, 16, 32, 64, 128)
Symbols = NDArray[np.int32]


@dataclass(frozen=True)
class Coder:
    """Symbols to parts and back; each part is counted by its length."""

    encode: Callable[[Symbols], list[bytes]]
    decode: Callable[[list[bytes], tuple[int, ...]], Symbols]


def make(folder: Path, name: str, model: Path, files: dict[str, list[Path]]) -> None:
    """Write ``folder/name.npz``: the symbols of files under a model, at a 16th of its step."""
    import torch

    from liveaction.codec.model import load
    from liveaction.codec.stream import SignalSource
    from liveaction.registry import build_modality

    loaded = load(model, device="cpu")
    codec, recipe = loaded.codec, loaded.recipe
    found = {}
    for tag, paths in files.items():
        for path in paths:
            modality = build_modality(recipe.modality)
            signal = modality.read(path)
            samples = SignalSource(modality, signal.filled(), modality.range_of(signal), torch.device("cpu"))
            with torch.no_grad():
                symbols = codec.to_symbols(samples, codec.quantizer.step / FINER)[0].numpy()
            found[f"{tag}:{path.name}"] = symbols.astype(np.int32)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / f"{name}.npz", **found)


def cut(symbols: Symbols) -> Iterator[Symbols]:
    """Chunks of at most 4096 positions."""
    side = SIDES[symbols.ndim - 1]
    for at in itertools.product(*(range(0, n, side) for n in symbols.shape[1:])):
        yield np.ascontiguousarray(symbols[(slice(None), *(slice(i, i + side) for i in at))])


def contexts(tables: EntropyTables) -> Coder:
    """Our coder, chunk by chunk."""

    def decode(parts: list[bytes], shape: tuple[int, ...]) -> Symbols:
        symbols, side = np.empty(shape, np.int32), SIDES[len(shape) - 1]
        corners = itertools.product(*(range(0, n, side) for n in shape[1:]))
        for data, at in zip(parts, corners, strict=True):
            view = symbols[(slice(None), *(slice(i, i + side) for i in at))]
            view[...] = decode_chunk(data, [view.shape], [tables], "chunk")[0]
        return symbols

    return Coder(lambda symbols: [encode_chunk([chunk], [tables]) for chunk in cut(symbols)], decode)


def zstd() -> Coder:
    """Each channel in the narrowest of 1, 2, 4 bytes, in planes of equal significance, one frame each."""

    def encode(symbols: Symbols) -> list[bytes]:
        width = next(w for w in (1, 2, 4) if abs(symbols).max() < 1 << (8 * w - 1))
        planes = np.ascontiguousarray(symbols.reshape(len(symbols), -1).astype(f"<i{width}"))
        planes = planes.view(np.uint8).reshape(len(symbols), -1, width).transpose(0, 2, 1)
        return [zstandard.ZstdCompressor(level=19).compress(np.ascontiguousarray(plane)) for plane in planes]

    def decode(parts: list[bytes], shape: tuple[int, ...]) -> Symbols:
        raw = np.stack([np.frombuffer(zstandard.ZstdDecompressor().decompress(part), np.uint8) for part in parts])
        count = int(np.prod(shape[1:]))
        width = raw.shape[1] // count
        columns = np.ascontiguousarray(raw.reshape(len(raw), width, count).transpose(0, 2, 1))
        return columns.view(f"<i{width}").reshape(shape).astype(np.int32)

    return Coder(encode, decode)


def image(to_bytes: Callable[[Any], bytes], from_bytes: Callable[[bytes], Any], bits: int) -> Coder:
    """A mosaic in one picture, or, of 8 bits, in one of low and one of high bytes."""

    def encode(symbols: Symbols) -> list[bytes]:
        least = int(symbols.min())
        moved = _mosaic(symbols - least)
        head = least.to_bytes(4, "little", signed=True)
        if moved.max() < 256:
            return [head, to_bytes(moved.astype(np.uint8))]
        if bits == 16:
            return [head, to_bytes(moved.astype(np.uint16))]
        return [head, to_bytes((moved & 255).astype(np.uint8)), to_bytes((moved >> 8).astype(np.uint8))]

    def decode(parts: list[bytes], shape: tuple[int, ...]) -> Symbols:
        planes = [np.asarray(from_bytes(part)).astype(np.int32) for part in parts[1:]]
        moved = planes[0] + (planes[1] << 8) if len(planes) > 1 else planes[0]
        return _from_mosaic(moved, shape) + int.from_bytes(parts[0], "little", signed=True)

    return Coder(encode, decode)


def _mosaic(symbols: Symbols) -> Symbols:
    """``[L, *G]`` to ``[L * y, slices * x]``; of one axis, to ``[L, x]``."""
    if symbols.ndim == 2:
        return symbols
    slices = symbols.reshape(len(symbols), -1, *symbols.shape[-2:])
    return np.ascontiguousarray(slices.transpose(0, 2, 1, 3)).reshape(len(symbols) * symbols.shape[-2], -1)


def _from_mosaic(picture: Symbols, shape: tuple[int, ...]) -> Symbols:
    if len(shape) == 2:
        return picture
    return picture.reshape(shape[0], shape[-2], -1, shape[-1]).transpose(0, 2, 1, 3).reshape(shape)


def _webp(picture: NDArray[np.uint8]) -> bytes:
    return bytes(imagecodecs.webp_encode(np.stack([picture] * 3, -1), lossless=True, level=6))


def _tiff(picture: NDArray[Any]) -> bytes:
    target = io.BytesIO()
    tifffile.imwrite(target, picture, compression="zlib", compressionargs={"level": 9}, predictor=True)
    return target.getvalue()


def _from_tiff(data: bytes) -> NDArray[Any]:
    return np.asarray(tifffile.imread(io.BytesIO(data)))


PICTURES = {
    "WebP lossless": image(_webp, lambda data: imagecodecs.webp_decode(data)[..., 1], 8),
    "JPEG-LS": image(imagecodecs.jpegls_encode, imagecodecs.jpegls_decode, 16),
    "TIFF deflate": image(_tiff, _from_tiff, 16),
}


def order_0(symbols: Symbols) -> float:
    """Bits of the file's own entropy, channel by channel."""
    bits = 0.0
    for channel in symbols.reshape(len(symbols), -1):
        counts = np.unique(channel, return_counts=True)[1]
        bits -= float((counts * np.log2(counts / channel.size)).sum())
    return bits


def static(fit: list[Symbols], symbols: Symbols) -> float:
    """Bits under static tables per channel of the fitted files, all values that occur anywhere smoothed by 0.05."""
    bits, largest = 0.0, max(int(abs(a).max()) for a in (*fit, symbols))
    for c, channel in enumerate(symbols.reshape(len(symbols), -1)):
        seen = np.concatenate([a[c].reshape(-1) for a in fit]) + largest
        counts = np.bincount(seen, minlength=2 * largest + 1) + 0.05
        bits -= float(np.log2(counts[channel + largest] / counts.sum()).sum())
    return bits


def speed(coder: Coder, symbols: Symbols, rounds: int) -> tuple[float, float]:
    """MB/s both ways."""
    times: tuple[list[float], list[float]] = [], []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        parts = coder.encode(symbols)
        times[0].append(time.perf_counter() - began)
        began = time.perf_counter()
        back = coder.decode(parts, symbols.shape)
        times[1].append(time.perf_counter() - began)
        assert np.array_equal(back, symbols)
    return tuple(symbols.size * 2e-6 / median(t[1:]) for t in times)  # type: ignore[return-value]


def at_step(symbols: Symbols, divide: int) -> Symbols:
    """Symbols at ``divide`` 16ths of the trained step."""
    return np.rint(symbols / divide).astype(np.int32)


def measure(path: Path, rounds: int) -> list[dict[str, Any]]:
    """Rows of one modality."""
    with np.load(path) as archive:
        files = {name: archive[name] for name in archive.files if archive[name].ndim > 1}
    fit = [a for name, a in files.items() if not name.startswith("test")]
    test = [a for name, a in files.items() if name.startswith("test")]
    if not fit:
        half = test[0].shape[-1] // 2
        fit, test = [test[0][..., :half]], [np.ascontiguousarray(test[0][..., half:])]
    channels, axes = len(test[0]), test[0].ndim - 1
    tables = fit_tables((chunk for d in FIT_AT for a in fit for chunk in cut(at_step(a, d))), channels, axes)
    coders = {"contexts, fitted": contexts(tables), "contexts, generic": contexts(generic_tables(channels, axes))}
    coders |= {"Zstandard 19": zstd(), **PICTURES}
    rows = []
    for divide in (FINER, FINER // 4):
        now, seen = [at_step(a, divide) for a in test], [at_step(a, divide) for a in fit]
        count = sum(a.size for a in now)
        common = {"modality": path.stem, "step": divide / FINER, "latents": count}
        yardsticks = {"own order 0": sum(map(order_0, now)), "static order 0": sum(static(seen, a) for a in now)}
        yardsticks["ideal of the fitted"] = sum(ideal_bits([chunk], [tables]) for a in now for chunk in cut(a))
        rows += [{**common, "coder": name, "bits": bits / count} for name, bits in yardsticks.items()]
        for name, coder in coders.items():
            bits = 8 * sum(len(part) for a in now for part in coder.encode(a))
            there, back = speed(coder, now[0], rounds)
            rows.append({**common, "coder": name, "bits": bits / count, "encode_mb_s": there, "decode_mb_s": back})
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """Bits per latent with MB/s both ways, a line per modality and step, a column per coder."""
    coders = list(dict.fromkeys(row["coder"] for row in rows))
    lines = ["| latents, step | " + " | ".join(coders) + " |", "| --- |" + " --- |" * len(coders)]
    for name, step in dict.fromkeys((row["modality"], row["step"]) for row in rows):
        found = {row["coder"]: row for row in rows if (row["modality"], row["step"]) == (name, step)}
        cells = [f"{name}, {step:g}", *(_cell(found[coder]) for coder in coders)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: dict[str, Any]) -> str:
    fast = f" ({row['encode_mb_s']:.0f} / {row['decode_mb_s']:.0f})" if "encode_mb_s" in row else ""
    return f"{row['bits']:.3f}{fast}"


def compile_seconds() -> dict[str, float]:
    """Seconds of a process's first chunk there and back, with nothing compiled before it, and with all of it."""
    code = (
        "import time; t = time.perf_counter(); import numpy as np\n"
        "from liveaction.coding import entropy, tables\n"
        "x = np.ones((2, 5, 5), np.int32); t = time.perf_counter(); f = tables.generic_tables(2, 2)\n"
        "entropy.decode_chunk(entropy.encode_chunk([x], [f]), [x.shape], [f], 'x'); print(time.perf_counter() - t)"
    )
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, "-P", "-c", code]
        both = [
            float(subprocess.run(run, env={**os.environ, "NUMBA_CACHE_DIR": folder}, capture_output=True).stdout)
            for _ in range(2)
        ]
    return {"cold": both[0], "cached": both[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--name", default="entropy_cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--make")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--fit", type=Path, nargs="*", default=[])
    parser.add_argument("--test", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    if options.make:
        make(options.latents, options.make, options.model, {"fit": options.fit, "test": options.test})
        return
    rows = [row for path in sorted(options.latents.glob("*.npz")) for row in measure(path, options.rounds)]
    save(options.name, {"first_call_seconds": compile_seconds(), "rows": rows})
    print(markdown(rows))


if __name__ == "__main__":
    main()
