"""Make the models that come along with the package, and measure them on files that none of them has seen.

    python benchmarks/bundled.py --data FOLDER                # all of them in turn; minutes each on one core
    python benchmarks/bundled.py --data FOLDER ct rgb         # some
    python benchmarks/bundled.py --data FOLDER --measure      # rate and distortion on the other files
    python benchmarks/bundled.py --cards                      # the models' cards, of what was measured
    python benchmarks/bundled.py --tables                     # the documentation's table, printed

FOLDER holds the files below. liveaction/bundled/NAME gets a model directory without curves and previews, ``about.json``
(what files it is the default of, data, licences) and ``README.md``, its card. Seeds are the recipes'; equal files,
versions and machine give equal weights. results/bundled/NAME.json gets rate and distortion beside x265, JPEG 2000 and
the recipe untrained.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from evaluations import evidence
from record import RESULTS

from liveaction.codec.card import make_card
from liveaction.codec.codec import build_codec
from liveaction.codec.weights import save_model
from liveaction.model_folder import PACKED, pack_tables
from liveaction.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
BUNDLED = ROOT / "liveaction" / "bundled"
KEPT = RESULTS / "bundled"
OURS, START = "liveaction", "untrained"
"""Curves: the model, and its recipe before it has seen a file."""

PARTS = (
    "config.json",
    "encoder.safetensors",
    "entropy.safetensors",
    "mixing.safetensors",
    "model.safetensors",
    "training.json",
)


def grey(source: Path, out: Path) -> Path:
    """A picture without its colours (ITU-R BT.601 luma)."""
    from PIL import Image

    target = out / source.name
    Image.open(source).convert("L").save(target)
    return target


def first_slices(source: Path, out: Path) -> Path:
    """The first two thirds of a volume along its last axis; the others are measured on."""
    return _slices(source, out, 0, 2)


def last_slices(source: Path, out: Path) -> Path:
    """The last third of a volume along its last axis."""
    return _slices(source, out, 2, 3)


def _slices(source: Path, out: Path, low: int, high: int) -> Path:
    import nibabel

    scan = nibabel.load(source)
    count = scan.shape[-1]
    target = out / source.name
    nibabel.save(scan.slicer[:, :, count * low // 3 : count * high // 3], target)
    return target


@dataclass(frozen=True)
class Bundle:
    """One model.

    Attributes:
        recipe: by name.
        default_for: modalities whose files it is the default of.
        train: files below the data folder, and where each is from and under what licence.
        test: files that it is measured on.
        unfit: what it is not for.
        baselines: that it is measured beside.
        prepare, prepare_test: make files of those in a folder, where they are not taken as they are.
    """

    recipe: str
    default_for: tuple[str, ...]
    train: dict[str, str]
    test: tuple[str, ...]
    unfit: str
    baselines: tuple[str, ...] = ("x265_slow", "jpeg2000")
    prepare: Callable[[Path, Path], Path] | None = None
    prepare_test: Callable[[Path, Path], Path] | None = None


MEASURED = """Bits at equal PSNR against `{anchor}`, in percent (Bjøntegaard; fewer below 0; `–` where curves do not
overlap). PSNR and bits at every setting stand in `benchmarks/results/bundled/{name}.json`. Untrained is the recipe
before it has seen a file, with entropy tables of no data.

| file | this model | untrained |{others}
| --- | --- | --- |{rule}
{rows}
"""
KODAK = "Kodak photo CD, released for unrestricted usage"
CC0_LOOPS = "Sonic Pi samples, CC0"
PICTURES = {f"images/kodim{number:02}.png": KODAK for number in range(1, 7)}
OTHERS = tuple(f"images/kodim{number:02}.png" for number in range(7, 13))
BUNDLES = {
    "ct": Bundle(
        "ct_sparse",
        ("ct",),
        {
            "ct/fnndsc_chest_1mm.nii.gz": "chest, 1 mm, FNNDSC, Apache-2.0",
            "ct/totalsegmentator_example_abdomen_3mm.nii.gz": "abdomen, 3 mm, TotalSegmentator tests, Apache-2.0",
        },
        ("ct/invesalius_cranium.nii.gz", "ct/lung_dx_A0001_dicom"),
        "diagnosis: no reader study was made. Values beyond -1024 to 3071 HU are clipped, metal among them",
    ),
    "mri": Bundle(
        "mri_sparse",
        ("mri",),
        {"ct/mri_t1_studyforrest_0p67mm.nii.gz": "brain, T1, defaced, the first 64 slices, studyforrest, PDDL 1.0"},
        ("ct/mri_t1_studyforrest_0p67mm.nii.gz",),
        "diagnosis. One brain of one scanner stands behind it, and what it was measured on are other slices of it",
        prepare=first_slices,
        prepare_test=last_slices,
    ),
    "hyperspectral": Bundle(
        "hyperspectral_own",
        ("hyperspectral",),
        {
            "hyperspectral/indian_pines_corrected.npy": "AVIRIS scene of Purdue/MultiSpec, in tensorly, BSD-3-Clause",
            "hyperspectral/plantcv_corn_kernel.hdr": "corn kernel, lab camera, PlantCV tests, MPL-2.0",
        },
        (
            "hyperspectral/abu-beach-1.mat",
            "hyperspectral/abu-airport-2.mat",
            "hyperspectral/hydice.mat",
            "hyperspectral/enmap_potsdam_96x64.hdr",
        ),
        "targets fainter than the quantiser's step; the basis is each image's own and keeps what has most variance",
        ("x265_slow", "jpeg2000_klt"),
    ),
    "rgb": Bundle(
        "rgb_sparse",
        ("rgb",),
        PICTURES,
        OTHERS,
        "pictures made for the eye at few bits: it keeps the mean square, not what looks sharp",
    ),
    "grey": Bundle(
        "grey_sparse",
        ("grey",),
        {name: f"{licence}, luma" for name, licence in PICTURES.items()},
        OTHERS,
        "pictures made for the eye at few bits; scans of pages at few bits, whose edges ring",
        prepare=grey,
        prepare_test=grey,
    ),
    "video": Bundle(
        "video_sparse",
        ("video",),
        {
            "video/sam2_juggle_720p.mp4": "juggling, SAM 2 demo gallery, Apache-2.0, was H.264",
            "video/bigbuckbunny.mp4": "Big Buck Bunny, Blender Foundation, CC BY 3.0, was H.264",
        },
        ("video/park_joy_480x270_10f.y4m", "video/carphone_pristine.mp4"),
        "clips that move, where codecs that follow motion take a quarter of the bits",
        ("x265_slow", "x264_slow"),
    ),
    "array_audio": Bundle(
        "array_audio_own",
        ("array_audio",),
        {
            "array_audio/cmu_kinect_4ch_16k.flac": "Kinect, speech, CMU BTK, MIT",
            "array_audio/eigenscape_beach_em32_raw_32ch_48k.wav": "Eigenmike, beach, EigenScape, CC BY 4.0",
            "array_audio/jsambisonics_bformat_rec2_4ch_44k.flac": "B-format, JSAmbisonics, BSD-3-Clause, was Vorbis",
        },
        (
            "array_audio/ami_mcwsj_array1_8ch_16k.flac",
            "array_audio/aria_gen1_glasses_7ch_48k.wav",
            "array_audio/jsambisonics_hoa3_rec1_16ch_44k.wav",
            "array_audio/batracker_playback_5ch_192k.flac",
        ),
        "listening at few bits: it keeps waveforms and phase, and nothing in it knows the ear",
        ("opus", "flac"),
    ),
    "music": Bundle(
        "music_own",
        ("music",),
        {
            "music/sonicpi_loop_garzul.flac": CC0_LOOPS,
            "music/sonicpi_guit_em9.flac": CC0_LOOPS,
            "music/sonicpi_loop_amen_full.flac": CC0_LOOPS,
            "music/macleod_sugar_plum_fairy_25s.flac": "Dance of the Sugar Plum Fairy, Kevin MacLeod, CC BY 3.0",
        },
        ("music/hobbs_lets_go_fishin_25s.flac", "music/encodec_test_48k.flac"),
        "listening at few bits: it keeps waveforms, and nothing in it knows the ear",
        ("opus", "flac"),
    ),
}


def files_of(names: Iterable[str], data: Path, out: Path, prepare: Callable[[Path, Path], Path] | None) -> list[str]:
    """Paths of files as they are, or of those that are made of them."""
    if prepare is None:
        return [str(data / name) for name in names]
    out.mkdir(parents=True, exist_ok=True)
    return [str(prepare(data / name, out)) for name in names]


def make(name: str, data: Path, work: Path) -> None:
    """Train one model and put it into the package."""
    bundle, run = BUNDLES[name], work / "runs" / name
    files = files_of(bundle.train, data, work / "train" / name, bundle.prepare)
    if not (run / "training.json").exists():
        sources = [word for file in files for word in ("--data", file)]
        _liveaction("train", bundle.recipe, *sources, "--out", str(run), "--resume", "--quiet")
    target = BUNDLED / name
    target.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        (target / f"{part}{PACKED}").unlink(missing_ok=True)
        if (run / part).exists():
            shutil.copy(run / part, target / part)
    pack_tables(target)
    about = {
        "default_for": bundle.default_for,
        "data": [{"file": Path(file).name, "from": source} for file, source in bundle.train.items()],
        "not_for": bundle.unfit,
        "measured_on": [Path(file).name for file in bundle.test],
    }
    (target / "about.json").write_text(json.dumps(about, indent=1) + "\n")
    size = sum(file.stat().st_size for file in target.iterdir())
    print(f"{target}: {size / 1e6:.2f} MB", flush=True)


def measure(name: str, data: Path, work: Path) -> None:
    """Rate and distortion on files that the model has not seen."""
    bundle, out = BUNDLES[name], work / "measured" / name
    arranged = work / "test" / name
    if arranged.exists():
        shutil.rmtree(arranged)
    arranged.mkdir(parents=True)
    for file in files_of(bundle.test, data, work / "test_made" / name, bundle.prepare_test):
        for part in _beside(Path(file)):
            (arranged / part.name).symlink_to(part.resolve())
    baselines = ",".join(bundle.baselines)
    options = ["--baselines", baselines, "--reference", bundle.baselines[0], "--out", str(out), "--repeats", "1"]
    models = f"{OURS}={BUNDLED / name}", f"{START}={untrained(bundle.recipe, work / 'untrained' / f'{name}_untrained')}"
    _liveaction("evaluate", *models, "--data", str(arranged), *options, "--quiet")
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = {table: json.loads((out / f"{table}.json").read_text()) for table in ("deltas", "settings", "means")}
    (KEPT / f"{name}.json").write_text(json.dumps({**kept, **evidence(out)}, indent=1) + "\n")
    print(KEPT / f"{name}.json", flush=True)


def untrained(recipe: str, folder: Path) -> Path:
    """A model of a recipe that has seen no file: its transform and quantiser, and entropy tables of no data."""
    torch.manual_seed(0)
    loaded = load_recipe(recipe)
    save_model(build_codec(loaded), loaded, folder)
    return folder


def card(name: str) -> str:
    """The card of a model, in Markdown."""
    bundle, kept = BUNDLES[name], json.loads((KEPT / f"{name}.json").read_text())
    anchor, *others = bundle.baselines
    rows = []
    for source in dict.fromkeys(row["source"] for row in kept["deltas"]):
        found = {row["curve"]: row["bd_rate_percent"] for row in kept["deltas"] if row["source"] == source}
        shares = ["–" if found.get(curve) is None else f"{found[curve]:+.1f}" for curve in (OURS, START, *others)]
        rows.append(f"| {source} | {' | '.join(shares)} |")
    named = "".join(f" `{other}` |" for other in others)
    text = MEASURED.format(name=name, anchor=anchor, others=named, rule=" --- |" * len(others), rows="\n".join(rows))
    return make_card(BUNDLED / name, name, text)


def table() -> str:
    """All models, and their bits against others at equal PSNR, mean over files, in Markdown."""
    lines = [
        "| model | recipe | MB | learnt from | bits at equal PSNR, files not seen | untrained |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, bundle in BUNDLES.items():
        deltas = json.loads((KEPT / f"{name}.json").read_text())["deltas"]
        own = [row["bd_rate_percent"] for row in deltas if row["curve"] == OURS]
        start = [row["bd_rate_percent"] for row in deltas if row["curve"] == START]
        known = [share for share in own if share is not None]
        mean = f"{fmean(known):+.0f} % against `{bundle.baselines[0]}`" if known else "–"
        counted = "" if len(known) == len(own) else f" ({len(known)} of {len(own)} files)"
        size = sum(file.stat().st_size for file in (BUNDLED / name).iterdir()) / 1e6
        files = f"{len(bundle.train)} file{'s' if len(bundle.train) > 1 else ''}"
        begun = [share for share in start if share is not None]
        without = f"{fmean(begun):+.0f} %" if begun else "–"
        lines.append(f"| `{name}` | `{bundle.recipe}` | {size:.1f} | {files} | {mean}{counted} | {without} |")
    return "\n".join(lines)


def _beside(file: Path) -> list[Path]:
    """A file, and the samples beside an ENVI header."""
    if file.suffix != ".hdr":
        return [file]
    return [file, *(other for other in file.parent.glob(f"{file.stem}.*") if other != file)]


def _liveaction(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "liveaction", *words], check=True)


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BUNDLES)}; all by default")
    parser.add_argument("--data", type=Path, help="the folder of the files")
    parser.add_argument("--measure", action="store_true", help="measure models that are made")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "bundled")
    parser.add_argument("--cards", action="store_true", help="write the cards anew, of what was measured, and stop")
    parser.add_argument("--tables", action="store_true", help="print the documentation's table, and stop")
    options = parser.parse_args()
    if options.tables:
        print(table())
        return
    if options.cards:
        for name in options.names or BUNDLES:
            (BUNDLED / name / "README.md").write_text(card(name), encoding="utf-8")
        return
    if options.data is None:
        parser.error("expected --data")
    for name in options.names or BUNDLES:
        (measure if options.measure else make)(name, options.data, options.work)


if __name__ == "__main__":
    main()
