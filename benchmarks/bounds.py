"""Bits at a bound on the error of every sample, beside codecs that keep one; and whether the bound holds, at length.

    python benchmarks/bounds.py --data FOLDER                      # beside JPEG-LS, JPEG 2000, SZ3 and ZFP
    python benchmarks/bounds.py --data FOLDER --samples 1e9        # the bound alone, on so many samples
    python benchmarks/bounds.py --tables                           # the documentation's table, printed

Models are those that come along, which have not seen these files. Of them abu-beach-1 was looked at when the coder of
what is left was made, beside kodim01 and a scan that the CT model has learnt from. JPEG-LS and JPEG 2000 take slices
(CT) and bands (cubes) one by one, as they do in practice; SZ3 and ZFP the whole volume, as float32, with half a unit
more room, as rounding to integers then gives the bound. What each gives back is compared. Seconds are of the processor,
on one thread, encoding and decoding once each.

The second takes the files in turn, each with bounds of 0, 1, 2 and 5, as it is, of the other byte order, with the
dtype's extremes sprinkled in, and, CT, MRI and cubes, as float32 with NaN, CT with extremes as well; values that are
there are compared one by one. Wild values among integers take the range with them where it is by percentiles.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from record import RESULTS, save

import liveaction
from liveaction.codec.model import Model
from liveaction.signal import Signal

FILES = (
    ("ct/invesalius_cranium.nii.gz", "ct"),
    ("ct/lung_dx_A0001_dicom", "ct"),
    ("hyperspectral/abu-airport-2.mat", "hyperspectral"),
    ("hyperspectral/abu-beach-1.mat", "hyperspectral"),
    ("hyperspectral/hydice.mat", "hyperspectral"),
)
LONG = (*FILES, ("images/kodim09.png", "rgb"), ("ct/mri_t1_studyforrest_0p67mm.nii.gz", "mri"))
ERRORS = (0, 1, 2, 5)
RIVALS = ("jpegls", "jpeg2000", "sz3", "zfp")
Values = NDArray[Any]


def read(data: Path, name: str, known: str) -> tuple[Model, Signal]:
    """A file, and the model that comes along for it."""
    model = liveaction.load(Path(liveaction.__file__).parent / "bundled" / known, device="cpu")
    return model, model.modality.read(data / name)


def pages(signal: Signal, known: str) -> Iterator[NDArray[np.uint16]]:
    """Slices or bands as uint16 from 0 on."""
    values = signal.values.astype(np.int64)
    volume = np.moveaxis(values[0], -1, 0) if known == "ct" else values
    for page in volume - volume.min():
        yield np.ascontiguousarray(page.astype(np.uint16))


def rival(name: str, signal: Signal, known: str, error: int) -> tuple[int, int] | None:
    """Bytes, and the largest difference; None where it has no such mode."""
    import imagecodecs as codecs

    total, largest = 0, 0
    if name in ("jpegls", "jpeg2000"):
        for page in pages(signal, known):
            if name == "jpegls":
                data = codecs.jpegls_encode(page, level=error)
                back = codecs.jpegls_decode(data)
            elif error:
                return None
            else:
                data = codecs.jpeg2k_encode(page, level=0, reversible=True)
                back = codecs.jpeg2k_decode(data)
            total, largest = total + len(data), max(largest, int(np.abs(back.astype(int) - page).max()))
        return total, largest
    volume = signal.values[0] if known == "ct" else signal.values
    if name == "zfp" and not error:
        whole = np.ascontiguousarray(volume.astype(np.int32))
        data = codecs.zfp_encode(whole, mode="reversible")
        back = codecs.zfp_decode(data)
    else:
        wide = np.ascontiguousarray(volume.astype(np.float32))
        if name == "sz3":
            data = codecs.sz3_encode(wide, mode="abs", abs=error + 0.49)
            back = np.rint(codecs.sz3_decode(data, wide.shape, wide.dtype))
        else:
            data = codecs.zfp_encode(wide, level=error + 0.49, mode="accuracy")
            back = np.rint(codecs.zfp_decode(data))
    return len(data), int(np.abs(back.astype(np.int64) - volume).max())


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its seconds of the processor."""
    began = time.process_time()
    return call(), time.process_time() - began


def compare(data: Path) -> list[dict[str, Any]]:
    """Rows of all files, bounds and codecs."""
    rows = []
    for name, known in FILES:
        model, signal = read(data, name, known)
        model.decompress(model.compress(signal.crop(*(slice(0, 40),) * len(signal.shape)), max_error=1))  # compiles
        size = signal.values.size
        for error in ERRORS:
            stream, spent = timed(
                lambda signal=signal, error=error, model=model: model.compress(signal, max_error=error)
            )
            back, again = timed(partial(model.decompress, stream))
            largest = int(np.abs(back.values.astype(np.int64) - signal.values).max())
            own = {"codec": model.recipe.name, "bits": 8 * len(stream) / size, "largest": largest}
            rows.append(
                {"file": name, "error": error, **own, "encode_ns": spent / size * 1e9, "decode_ns": again / size * 1e9}
            )
            print(rows[-1], flush=True)
            for other in RIVALS:
                found, spent = timed(partial(rival, other, signal, known, error))
                if found is None:
                    continue
                assert found[1] <= error, (other, name, error, found)
                made = {"codec": other, "bits": 8 * found[0] / size, "largest": found[1], "both_ns": spent / size * 1e9}
                rows.append({"file": name, "error": error, **made})
                print(rows[-1], flush=True)
    return rows


def variants(signal: Signal, seed: int, wanted: object) -> Iterator[tuple[str, Signal]]:
    """A signal as it is, of the other byte order, with extremes, and as floats with NaN where its range takes them."""
    from dataclasses import replace

    rng, values = np.random.default_rng(seed), signal.values
    yield "as it is", signal
    yield "other byte order", replace(signal, values=values.astype(values.dtype.newbyteorder(">")))
    info, places = np.iinfo(values.dtype), rng.integers(0, values.size, 1000)
    wild = values.copy()
    wild.reshape(-1)[places] = rng.choice([info.min, info.max, info.min + 1, info.max - 1], len(places))
    yield "extremes", replace(signal, values=wild)
    if wanted == "native":
        return
    floats = values.astype(np.float32) + rng.uniform(-0.5, 0.5, values.shape).astype(np.float32)
    if isinstance(wanted, tuple):  # percentiles would make them the range
        most = np.finfo(np.float32).max
        floats.reshape(-1)[places] = rng.choice(np.array([most, -most, 1e30, -1e-30, -0.0], np.float32), len(places))
    missing = rng.random(values.shape) < 0.01
    floats[missing] = np.nan
    yield "float32, NaN", replace(signal, values=floats, missing=missing, no_data=float("nan"), dtype="float32", bits=0)


def hold(data: Path, samples: int) -> dict[str, Any]:
    """The bound alone, on so many samples."""
    seen, counts = 0, dict[str, int]()
    for turn in count():
        for name, known in LONG:
            model, signal = read(data, name, known)
            for kind, one in variants(signal, turn, model.recipe.modality.range):
                error = ERRORS[turn % len(ERRORS)] + (0.25 if one.values.dtype.kind == "f" else 0)
                back = model.decompress(model.compress(one, max_error=error, fast=True, coder="fast"))
                there = np.ones(one.values.shape, bool) if one.missing is None else ~one.missing
                off = np.abs(back.values.astype(np.float64) - one.values.astype(np.float64))[there].max()
                assert off <= error, (name, kind, error, off)
                assert one.missing is None or np.array_equal(back.missing, one.missing), (name, kind)
                seen, counts[kind] = seen + int(there.sum()), counts.get(kind, 0) + int(there.sum())
                print(f"{seen:,} {name} {kind}, bound {error}, largest {off}", flush=True)
                if seen >= samples:
                    return {"samples": seen, "by_kind": counts, "beyond": 0}
    raise AssertionError


def table(record: str = "bounds_cpu") -> str:
    """Bits a sample on average over the files of a kind, of each codec at each bound."""
    rows = json.loads((RESULTS / f"{record}.json").read_text())["rows"]
    lines = ["| | bound | this kit | JPEG-LS | JPEG 2000 | SZ3 | ZFP |", "| --- " * 7 + "|"]
    for said, start in (("CT, HU", "ct/"), ("cubes, counts", "hyperspectral/")):
        for error in ERRORS:
            cells = []
            for codec in (None, *RIVALS):
                mine = [
                    row["bits"]
                    for row in rows
                    if row["file"].startswith(start)
                    and row["error"] == error
                    and (row["codec"] == codec if codec else row["codec"] not in RIVALS)
                ]
                cells.append(f"{fmean(mine):.2f}" if mine else "–")
            lines.append(f"| {said} | {error} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--samples", type=float, help="check the bound on so many samples instead")
    parser.add_argument("--tables", action="store_true")
    args = parser.parse_args()
    if args.tables:
        print(table())
        return
    if args.data is None:
        parser.error("expected --data")
    torch.set_num_threads(1)
    if args.samples:
        print(save("bounds_held_cpu", hold(args.data, int(args.samples))))
    else:
        print(save("bounds_cpu", {"rows": compare(args.data)}))


if __name__ == "__main__":
    main()
