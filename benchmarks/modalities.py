"""Every modality on real files: train on some, code all, those not trained on among them, through the command line.

    python benchmarks/modalities.py --data FOLDER                       # all cases, about an hour on 4 cores
    python benchmarks/modalities.py --data FOLDER --case music rgb      # some of them, into the record that is there

FOLDER holds ct/, hyperspectral/, video/, images/, array_audio/ and music/ as named in CASES; other files of these kinds
do as well, with other figures. A row per file: ratio on the native bits, bits per element, PSNR on the recipe's range
(peak to peak 2), the modality's own measures, seconds and MB/s of native data both ways, or the line of the refusal.
Pictures of files not trained on go to results/modalities/.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.image
from record import RESULTS, save

ROOT = Path(__file__).resolve().parents[1]
NAME = "modalities_cpu"


@dataclass(frozen=True)
class Case:
    """A recipe with what it learns from and what it codes; paths are patterns below the data folder.

    Attributes:
        recipe: shipped recipe, with ``settings`` as for ``--set``.
        train: patterns of files, or ``synthetic``.
        code: patterns of files to code there and back.
        back: suffix of the file to write; empty for the source's own.
    """

    recipe: str
    train: tuple[str, ...]
    code: tuple[str, ...]
    back: str = ""
    settings: tuple[str, ...] = ()


CASES = {
    "ct": Case("ct_smoke", ("ct/fnndsc*", "ct/total*"), ("ct/*_dicom", "ct/[ift]*.nii.gz"), ".nii.gz"),
    "mri": Case("mri_smoke", ("synthetic",), ("ct/mri*",), ".nii.gz"),
    "hyperspectral": Case("hyperspectral_smoke", ("hyperspectral/abu-[ab]*", "hyperspectral/indian*",
                          "hyperspectral/enmap*.hdr"), ("hyperspectral/*.[mnh][apd][tyr]",)),
    "video": Case("video_smoke", ("video/vid4*", "video/carphone*"), ("video/*.mkv", "video/[cp]*"), ".mkv"),
    "video_720p": Case("video_smoke", ("video/vid4*", "video/carphone*"), ("video/[bs]*.mp4",), ".mkv"),
    "rgb": Case("rgb_smoke", ("images/kodim0*.png",), ("images/*.png",)),
    "array_audio_4": Case("array_audio_smoke", ("array_audio/jsambisonics_b*",), ("array_audio/*_4ch_*",)),
    "array_audio_7": Case("array_audio_smoke", ("synthetic",), ("array_audio/*_7ch_*",),
                          settings=("modality.channels=7",)),
    **{f"array_audio_{n}": Case("array_audio_smoke", ("synthetic",), (f"array_audio/*_{n}ch_*",), ".wav",
                                (f"modality.channels={n}",)) for n in (5, 8, 16, 32)},
    "music": Case("music_smoke", ("music/[em]*", "music/*guit*", "music/*garzul*"), ("music/*.flac",)),
    "array": Case("array_smoke", ("hyperspectral/indian*",), ("hyperspectral/indian*",), settings=(
        "modality.axes=[y, x, band]", "modality.options={order: [y, x, band]}", "modality.unit=DN",
        "modality.range=[0, 10000]")),
}  # fmt: skip


def liveaction(*arguments: str) -> tuple[dict[str, Any] | None, str]:
    """A verb with --json: its report, or None and the line it refused with."""
    command = [sys.executable, "-m", "liveaction", *arguments, "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return None, done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit status {done.returncode}"
    return json.loads(done.stdout), ""


def train(name: str, case: Case, files: list[Path]) -> Path:
    """The model directory of a case, trained unless it is there."""
    folder = ROOT / "runs" / f"modalities_{name}"
    if not (folder / "training.json").exists():
        command = [
            sys.executable,
            "-m",
            "liveaction",
            "train",
            case.recipe,
            "--out",
            str(folder),
            "--quiet",
            "--resume",
        ]
        for source in [str(path) for path in files] or ["synthetic:4"]:
            command += ["--data", source]
        for setting in case.settings:
            command += ["--set", setting]
        subprocess.run(command, check=True)
    return folder


def code(name: str, case: Case, model: Path, source: Path, seen: bool, pictured: bool) -> dict[str, Any]:
    """One file there and back."""
    row: dict[str, Any] = {"file": source.name, "trained_on": seen}
    suffix = case.back or source.suffix
    stream, back = model / f"{source.name}.lva", model / f"back_{source.stem}{suffix}"
    there, line = liveaction("compress", str(source), str(stream), "--model", str(model), "--force")
    if there is None:
        return row | {"refused": line}
    picture = RESULTS / "modalities" / f"{name}.png"
    extra = ["--picture", str(picture)] if pictured else []
    asked = ("decompress", str(stream), str(back), "--model", str(model), "--against", str(source), "--force", *extra)
    home, line = liveaction(*asked)
    if home is None:
        return row | {"refused": line}
    if pictured:
        shrink(picture, 1200)
        matplotlib.image.imsave(picture.with_suffix(".jpg"), matplotlib.image.imread(picture)[..., :3])
        picture.unlink()
    megabytes = there["bytes"] * there["ratio"] / 1e6
    row |= {key: there[key] for key in ("bytes", "ratio", "bits_per_element")}
    row["encode_mb_s"] = megabytes / (there["encode_seconds"] + there["entropy_coding_seconds"])
    row["decode_mb_s"] = megabytes / (home["decode_seconds"] + home["entropy_decoding_seconds"])
    left_out = {"target", "decode_seconds", "entropy_decoding_seconds", "msamples_per_second"}
    return row | {key: value for key, value in home.items() if key not in left_out}


def shrink(picture: Path, most: int) -> None:
    """At most ``most`` pixels wide, by taking the mean of blocks: records stay small."""
    pixels = matplotlib.image.imread(picture)
    step = -(-pixels.shape[1] // most)
    if step > 1:
        height, width = (n // step * step for n in pixels.shape[:2])
        blocks = pixels[:height, :width].reshape(height // step, step, width // step, step, -1)
        matplotlib.image.imsave(picture, blocks.mean((1, 3)))


def main() -> None:
    """Run and record; cases not asked for keep their rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of folders")
    parser.add_argument("--case", choices=CASES, nargs="+", default=list(CASES))
    options = parser.parse_args()
    record = RESULTS / f"{NAME}.json"
    rows: dict[str, Any] = json.loads(record.read_text())["rows"] if record.exists() else {}
    (RESULTS / "modalities").mkdir(parents=True, exist_ok=True)
    for name in options.case:
        case = CASES[name]
        learned, sources = (
            sorted(path for pattern in patterns for path in options.data.glob(pattern))
            for patterns in (case.train, case.code)
        )
        if not sources:
            sys.exit(f"{options.data}: expected files {', '.join(case.code)} for {name}, got none")
        model = train(name, case, learned)
        shown = next((path for path in sources if path not in learned), sources[0])
        coded = []
        for source in sources:
            coded.append(code(name, case, model, source, source in learned, source == shown))
            print(name, coded[-1], flush=True)
        summary = json.loads((model / "training.json").read_text())
        rows[name] = {
            "recipe": case.recipe,
            "settings": case.settings,
            "train": [path.name for path in learned] or ["4 phantoms"],
            "steps": summary["steps"],
            "seconds": summary["seconds"],
            "files": coded,
        }
    print(save(NAME, {"rows": rows}))


if __name__ == "__main__":
    main()
