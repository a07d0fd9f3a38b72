"""Rate-distortion curves of records made by ct_codec.py: one panel per volume, one line per record, to a PNG.

python benchmarks/plot_rd.py --out benchmarks/results/start.png start_klt_cpu start_warm_cpu start_paper_cpu
"""

import argparse
import json
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from record import RESULTS


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    records = {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in options.records}
    volumes = list(dict.fromkeys(row["volume"] for record in records.values() for row in record["rows"]))
    figure = Figure(figsize=(6 * len(volumes), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, volume in zip(figure.subplots(1, len(volumes), squeeze=False)[0], volumes, strict=True):
        for name, record in records.items():
            rows = sorted((r for r in record["rows"] if r["volume"] == volume), key=lambda r: r["bits_per_element"])
            steps = record["training"]["steps"]
            label = f"{name}, {steps} steps"
            axes.semilogx(
                [r["bits_per_element"] for r in rows], [r["psnr_normalised"] for r in rows], "o-", label=label
            )
        axes.set(
            title=volume, xlabel="bits per voxel, container included", ylabel="PSNR in dB, peak to peak 2 (4095 HU)"
        )
        axes.grid(alpha=0.3, which="both")
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(options.out, dpi=110)
    print(options.out)


if __name__ == "__main__":
    main()
