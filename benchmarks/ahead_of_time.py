"""Compile what the shipped recipes launch for GPUs that need not be here: registers, spills and shared memory.

    python benchmarks/ahead_of_time.py                       # sm_80, 86, 90 and 120; minutes on the first run
    python benchmarks/ahead_of_time.py --capability 89 --out runs

Writes ``ahead_of_time.json`` and prints the same as a table in Markdown. Exit code 1: a kernel takes more shared memory
than the card has.
"""

import argparse
import json
import sys
from pathlib import Path

from record import RESULTS

from liveaction.kernels.target import SHARED_LIMIT
from liveaction.profiling.circumstances import circumstances
from liveaction.profiling.shipped import CAPABILITIES, MODULE, row, table
from liveaction.testing_ahead import compile_ahead


def main() -> None:
    """Compile, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", type=int, nargs="+", default=CAPABILITIES, choices=sorted(SHARED_LIMIT))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    found = compile_ahead(f"{MODULE}:products", options.capability, options.processes)
    found += compile_ahead(f"{MODULE}:elementwise", options.capability[:1])
    print("\n".join(table(found)))
    for ahead in found:
        for call, reason in ahead.refused.items():
            print(f"sm_{ahead.capability}, {call}: plain PyTorch: {reason}")
    rows = [row(ahead, one) for ahead in found for one in ahead.kernels]
    refused = {f"sm_{ahead.capability}": ahead.refused for ahead in found if ahead.refused}
    options.out.mkdir(parents=True, exist_ok=True)
    head = json.dumps({"circumstances": circumstances(), "refused": refused}, indent=1).removesuffix("\n}")
    lines = ",\n".join(json.dumps(one) for one in rows)  # a kernel per line
    (options.out / "ahead_of_time.json").write_text(f'{head},\n "kernels": [\n{lines}\n]}}\n')
    too_large = [row for row in rows if row["shared"] > SHARED_LIMIT[row["capability"]]]
    if too_large:
        sys.exit(f"more shared memory than there is: {too_large}")


if __name__ == "__main__":
    main()
