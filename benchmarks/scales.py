"""What a stream gives at a half, a quarter and an eighth of its samples: bytes that are looked at, and time.

    python benchmarks/scales.py --data FOLDER
    python benchmarks/scales.py --tables            # the documentation's table, printed

Models are those that come along, files ones that they have not seen, at the step they were made with. Bytes are those
of symbols that the decoders have read when they stop; whole chunks are fetched, as checksums are of whole chunks. Times
are of the processor on one thread, medians of three in one run, over that of the whole signal.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from record import RESULTS, save

import liveaction
from liveaction.codec.chunks import unpack_coded
from liveaction.codec.grid import shape_of
from liveaction.codec.reader import StreamReader
from liveaction.codec.stream import open_reader

FILES = (
    ("ct", "ct/invesalius_cranium.nii.gz"),
    ("mri", "ct/mri_t1_studyforrest_0p67mm.nii.gz"),
    ("hyperspectral", "hyperspectral/hydice.mat"),
    ("rgb", "images/kodim09.png"),
    ("video", "video/vid4_foliage_480p.mkv"),
    ("array_audio", "array_audio/ami_mcwsj_array1_8ch_16k.flac"),
    ("music", "music/encodec_test_48k.flac"),
)
SCALES = ("1", "1/2", "1/4", "1/8")


def used(reader: StreamReader) -> int:
    """Bytes of symbols that are read at the reader's scale."""
    full, codec, header = reader.header.layout, reader.codec, reader.header
    components, total = header.components if codec.own else 1, 0
    for number in range(full.chunks):
        coded = unpack_coded(reader.container.read(number, header.chunk_bytes(number)), reader.where)
        shapes = codec.chunks.shapes(components, shape_of(full.chunk_box(number)))
        decoder = codec.chunks.decoder(coded, shapes, components, header.coder, reader.where)
        for _ in shapes[: reader.scaling.parts]:
            decoder.next()
        total += decoder.used
    return total


def measure(data: Path, known: str, name: str) -> dict[str, Any]:
    """One file at every scale."""
    model = liveaction.load(Path(liveaction.__file__).parent / "bundled" / known, device="cpu")
    stream = model.compress(data / name)
    rows, whole = [], (1.0, 1)
    for scale in SCALES:
        spent = []
        for _ in range(4):
            with open_reader(stream, model, scale=scale) as reader:
                began = time.process_time()
                shape = reader.read().shape
                spent.append(time.process_time() - began)
        with open_reader(stream, model, scale=scale) as reader:
            count = used(reader)
        seconds = median(spent[1:])  # the first makes tables
        whole = (seconds, count) if scale == "1" else whole
        rows.append(
            {
                "scale": scale,
                "shape": shape,
                "seconds": seconds,
                "spread": [min(spent[1:]), max(spent[1:])],
                "bytes": count,
                "time_share": seconds / whole[0],
                "bytes_share": count / whole[1],
            }
        )
        print(known, name, json.dumps(rows[-1]), flush=True)
    return {"model": known, "file": name, "stream": len(stream), "rows": rows}


def tables(record: dict[str, Any]) -> str:
    """Markdown of the record."""
    lines = ["| file | bytes looked at, % (1/2, 1/4, 1/8) | time, % (1/2, 1/4, 1/8) |", "| --- | --- | --- |"]
    for file in record["files"]:
        shares = [[f"{100 * row[key]:.3g}" for row in file["rows"][1:]] for key in ("bytes_share", "time_share")]
        lines.append(
            f"| {file['model']}, {Path(file['file']).name} | {', '.join(shares[0])} | {', '.join(shares[1])} |"
        )
    return "\n".join(lines)


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--tables", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.data:
        print(save("scales_cpu", {"files": [measure(args.data, *each) for each in FILES]}))
    if args.tables:
        print(tables(json.loads((RESULTS / "scales_cpu.json").read_text())))


if __name__ == "__main__":
    main()
