"""How closely targets are met on files of every modality, in how many trials, and in how many times one compression.

    OMP_NUM_THREADS=1 nice -n 10 python benchmarks/targets.py --data FOLDER     # goes on where it was interrupted
    python benchmarks/targets.py --tables                                       # the documentation's table, printed

FOLDER holds the files of :data:`FILES`. Each is cut to the middle :data:`EXTENTS` of it, so that all take minutes, and
is compressed by the model that comes along for it: to 0.7 times the bytes that quality 4 gives, and to 1 dB less than
the PSNR that quality 5 gives. results/NAME.json gets of each how far the stream is from its target as a share (a PSNR:
in dB), whether that is a hit, else why, trials, and processor time beside that of one compression at quality 4.
"""

import argparse
import json
import statistics
import tempfile
import time
import warnings
from math import nan
from pathlib import Path
from typing import Any

import bundled
from record import RESULTS, save

import liveaction
from liveaction.codec.model import Model
from liveaction.codec.target import Target
from liveaction.errors import LiveactionError
from liveaction.profiling.circumstances import circumstances
from liveaction.signal import Signal

ROOT = Path(__file__).resolve().parents[1]
SHARE, BELOW = 0.7, 1.0
"""Of the bytes at quality 4; dB below the PSNR at quality 5."""

EXTENTS = {
    "ct": (256, 256, 48), "mri": (256, 256, 48), "hyperspectral": (128, 128), "rgb": (1024, 1024),
    "grey": (1024, 1024), "video": (12, 288, 352), "array_audio": (131072,), "music": (524288,),
}  # fmt: skip
"""At most so many samples per axis, by model."""

CLOTHES = "learning/clothes_144/test"
FILES = {
    "ct": [
        "ct/fnndsc_chest_1mm.nii.gz", "ct/totalsegmentator_example_abdomen_3mm.nii.gz", "ct/invesalius_cranium.nii.gz",
        "ct/lung_dx_A0001_dicom", "learning/ct_totalseg/example_ct_sm.nii.gz", "learning/ct_totalseg/pulm_ct.nii.gz",
    ],
    "mri": ["ct/mri_t1_studyforrest_0p67mm.nii.gz"],
    "hyperspectral": [
        *(f"hyperspectral/{name}.mat" for name in ("abu-airport-2", "abu-beach-1", "abu-urban-1", "hydice")),
        "hyperspectral/enmap_potsdam_96x64.hdr", "hyperspectral/indian_pines_corrected.npy",
        "hyperspectral/plantcv_corn_kernel.hdr",
    ],
    "rgb": [
        *(f"images/kodim{number:02}.png" for number in range(1, 13)),
    ],
    "grey": [f"images/kodim{number:02}.png" for number in (3, 6, 9, 12)],
    "video": [
        f"video/{name}" for name in (
            "vid4_foliage_480p.mkv", "ntia_aspen_540p.mkv", "sam2_juggle_720p.mp4", "bigbuckbunny.mp4",
            "carphone_pristine.mp4", "park_joy_480x270_10f.y4m",
        )
    ],
    "array_audio": [
        f"array_audio/{name}" for name in (
            "ami_mcwsj_array1_8ch_16k.flac", "aria_gen1_glasses_7ch_48k.wav", "batracker_playback_5ch_192k.flac",
            "cmu_kinect_4ch_16k.flac", "eigenscape_beach_em32_raw_32ch_48k.wav",
            "jsambisonics_bformat_rec2_4ch_44k.flac", "jsambisonics_hoa3_rec1_16ch_44k.wav",
        )
    ],
    "music": [
        *(
            f"music/{name}.flac" for name in (
                "encodec_test_48k", "hobbs_lets_go_fishin_25s", "macleod_sugar_plum_fairy_25s", "sonicpi_guit_em9",
                "sonicpi_loop_amen_full", "sonicpi_loop_garzul",
            )
        ),
        *(f"learning/fsdd/recordings/{digit}_jackson_0.wav" for digit in range(8)),
    ],
}  # fmt: skip
"""Files below the data folder, by the model that takes them; CLASSES of pictures give one each."""

CLASSES = ("dress", "hat", "longsleeve", "outwear", "pants", "shirt", "shoes", "shorts", "skirt", "t-shirt")


def middle(signal: Signal, extents: tuple[int, ...]) -> Signal:
    """The middle of a signal, at most so many samples per axis."""
    pairs = [(length, min(length, most)) for length, most in zip(signal.shape, extents, strict=True)]
    return signal.crop(*(slice((length - kept) // 2, (length - kept) // 2 + kept) for length, kept in pairs))


def rows_of(model: Model, name: str, file: str, path: Path, work: Path) -> list[dict[str, Any]]:
    """Both targets of one file."""
    signal = middle(model.modality.read(path), EXTENTS[name])
    model.compress_file(signal, work / "fine.lva", quality=5)
    fine = model.modality.errors(signal, model.decompress(work / "fine.lva"))["psnr_normalised"]
    began = time.process_time()
    plain = model.compress_file(signal, work / "plain.lva", quality=4)
    spent = time.process_time() - began
    about = {"model": name, "file": file, "shape": list(signal.values.shape)}
    goals = (Target("size", round(SHARE * plain.bytes)), Target("psnr", fine - BELOW))
    return [
        about | {"kind": goal.kind, "wanted": goal.value} | reached(model, signal, goal, spent, work / "aimed.lva")
        for goal in goals
    ]


def reached(model: Model, signal: Signal, goal: Target, spent: float, target: Path) -> dict[str, Any]:
    """What became of a target, beside the processor seconds of one compression."""
    began = time.process_time()
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            written = model.compress_file(signal, target, **goal.options())
    except LiveactionError as error:
        return {"hit": False, "reason": str(error)}
    seconds, aim = time.process_time() - began, written.aim
    assert aim is not None
    off = aim.reached - goal.value if goal.kind == "psnr" else aim.reached / goal.value - 1
    about = {"reached": aim.reached, "off": off, "hit": aim.within, "step": written.step, "trials": aim.trials}
    if not aim.within:
        about["reason"] = "; ".join(str(each.message) for each in said)
    return about | {"processor_seconds": seconds, "plain_processor_seconds": spent, "times": seconds / spent}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each kind: how many were hit, the largest distance, and trials and times in the middle and at most."""
    said = {}
    for kind in ("size", "psnr"):
        every = [row for row in rows if row["kind"] == kind]
        met = [row for row in every if "off" in row] or [{"off": nan, "trials": nan, "times": nan}]
        said[kind] = {
            "of": len(every),
            "hits": sum(row["hit"] for row in every),
            "farthest": max((row["off"] for row in met), key=abs),
            **{f"{key}_median": statistics.median(row[key] for row in met) for key in ("trials", "times")},
            **{f"{key}_most": max(row[key] for row in met) for key in ("trials", "times")},
        }
    return said


def table(name: str = "targets_cpu") -> str:
    """Hits, trials and processor time by model, in Markdown."""
    rows = json.loads((RESULTS / f"{name}.json").read_text())["rows"]
    lines = [
        "| model | files | size within 2 % | trials, times one | PSNR within 0.1 dB | trials, times one |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for model in [*dict.fromkeys(row["model"] for row in rows), ""]:
        cells, said = [], summary([row for row in rows if model in ("", row["model"])])
        for kind in said.values():
            cells += [str(kind["hits"]), f"{kind['trials_median']:g}, {kind['times_median']:.1f}"]
        lines.append(f"| {f'`{model}`' if model else 'all'} | {said['size']['of']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def sources(data: Path, work: Path) -> list[tuple[str, str, Path]]:
    """Model, name and path of every file; grey pictures are made of those in colour."""
    named = [(model, file) for model, files in FILES.items() for file in files]
    for name in CLASSES:
        named += [("rgb", str(path.relative_to(data))) for path in sorted((data / CLOTHES / name).glob("*.webp"))[:1]]
    (work / "grey").mkdir(parents=True, exist_ok=True)
    return [
        (model, file, bundled.grey(data / file, work / "grey") if model == "grey" else data / file)
        for model, file in named
    ]


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--name", default="targets_cpu", help="of the record; empty keeps none")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "targets", help="keeps what is done, by commit")
    parser.add_argument("--tables", action="store_true", help="print the documentation's table, and stop")
    args = parser.parse_args()
    if args.tables:
        print(table())
        return
    if args.data is None:
        parser.error("expected --data")
    where = circumstances()
    args.work.mkdir(parents=True, exist_ok=True)
    kept = args.work / f"{where['commit']}.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done, models = {(row["model"], row["file"]) for row in rows}, dict[str, Model]()
    with tempfile.TemporaryDirectory() as work, kept.open("a") as file:
        for name, source, path in sources(args.data, args.work):
            if (name, source) in done:
                continue
            if name not in models:
                models = {name: liveaction.load(bundled.BUNDLED / name, device="cpu")}
            new = rows_of(models[name], name, source, path, Path(work))
            file.writelines(json.dumps(row) + "\n" for row in new)
            file.flush()
            rows += new
            print(*new, sep="\n", flush=True)
    report = {"circumstances": where, "cut_to": EXTENTS, "summary": summary(rows), "rows": rows}
    print(report["summary"])
    if args.name:
        print(save(args.name, report))


if __name__ == "__main__":
    main()
