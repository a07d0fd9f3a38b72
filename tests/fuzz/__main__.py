"""Fuzz the reader of streams: ``python -m tests.fuzz --mutations 100000 --seed 0`` in the root of a checkout.

A small stream is changed: every truncation, every single bit of the first 4 KiB, and random changes with and without
right checksums. Whatever comes, a reader says ``FormatError`` or ``IntegrityError`` in one line, or gives a signal of
the shape that the header declares; anything else is a bug and is printed with a file that shows it again. Bytes changed
under checksums that were not put right are always noticed. Equal seeds give equal changes.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.mutations import RAW, REPAIRED
from tests.fuzz.target import CODECS, Target, judge, limits, take_apart


def changes(target: Target, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Kind and bytes of ``count`` changed streams: the exhaustive ones first, as many as fit, then random ones."""
    data, left, rng = target.data, count, random.Random(seed)
    exhaustive = [("every_truncation", data[:cut]) for cut in range(len(data))]
    for bit in range(8 * min(len(data), 4096)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        exhaustive.append(("every_bit", bytes(changed)))
    if len(exhaustive) > count // 2:
        exhaustive = rng.sample(exhaustive, count // 2)
    yield from exhaustive
    left -= len(exhaustive)
    parts, other = take_apart(data), take_apart(target.other)
    names, weights = list(REPAIRED), [weight for _, weight in REPAIRED.values()]
    while left:
        if rng.random() < 0.25:
            kind = rng.choice(list(RAW))
            changed = RAW[kind](rng, data, target.other)
            if changed in (data, target.other):
                continue
        else:
            (kind,) = rng.choices(names, weights)
            changed = REPAIRED[kind][0](rng, parts, other)
        left -= 1
        yield kind, changed


def fuzz(count: int, seed: int, keep: Path | None = None, codec: str = "plain") -> dict[str, object]:
    """Outcomes of ``count`` changes by kind, bugs, the longest case; streams that show them go to ``keep``."""
    target = Target(codec)
    target.read(target.data), target.read(target.data, 0.0)  # what is imported and compiled on first use
    outcomes: dict[str, Counter[str]] = {}
    bugs: Counter[str] = Counter()
    slowest, began = 0.0, time.perf_counter()
    with limits():
        for number, (kind, data) in enumerate(changes(target, count, seed)):
            repaired = kind in REPAIRED
            outcome, seconds = judge(target, data, 0.0 if number % 3 == 0 else None)
            if outcome == "decoded" and not repaired:
                outcome = "bug: not noticed"
            slowest = max(slowest, seconds)
            outcomes.setdefault(kind, Counter())[outcome.partition(":")[0]] += 1
            if outcome.startswith("bug"):
                bugs[f"{kind}: {outcome[5:]}"] += 1
                if keep is not None and bugs[f"{kind}: {outcome[5:]}"] == 1:
                    (keep / f"bug-{seed}-{number}.lva").write_bytes(data)
    whole: Counter[str] = sum(outcomes.values(), Counter())
    return {
        "seed": seed,
        "codec": codec,
        "mutations": whole.total(),
        "stream_bytes": len(target.data),
        "outcomes": dict(sorted(whole.items())),
        "by_kind": {kind: dict(sorted(found.items())) for kind, found in sorted(outcomes.items())},
        "bugs": dict(bugs),
        "seconds": time.perf_counter() - began,
        "slowest_case_seconds": slowest,
    }


def main() -> None:
    """Parse, run, print, record where asked to; exit status 1 where there is a bug."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--codec", choices=list(CODECS), default="plain")
    parser.add_argument("--keep", type=Path, help="a folder for the streams that show bugs")
    parser.add_argument("--record", help="write benchmarks/results/NAME.json")
    options = parser.parse_args()
    found = fuzz(options.mutations, options.seed, options.keep, options.codec)
    print(json.dumps(found, indent=2))
    if options.record:
        from benchmarks.record import save

        save(options.record, found)
    sys.exit(bool(found["bugs"]))


if __name__ == "__main__":
    main()
