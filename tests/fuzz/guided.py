"""Fuzz the reader guided by coverage: ``python -m tests.fuzz.guided CORPUS -max_total_time=300``; extra ``fuzz``.

An input is a container cut at marks: header, index and chunks are put together with right checksums, so that changes
reach what stands behind them. Without atheris it says so and ends. Options are libFuzzer's; a bug leaves its input in
the working directory.
"""

import sys
from pathlib import Path

MARK = b"\xff|\xff"


def parse(data: bytes) -> tuple[bytes, list[bytes]]:
    """Header and chunks of an input."""
    header, *chunks = data.split(MARK)
    return header, chunks


def main() -> None:
    """Run until libFuzzer ends the process."""
    try:
        import atheris
    except ImportError:
        sys.exit("tests.fuzz.guided: expected atheris, got none; pip install '.[fuzz]' (Linux, Python 3.11)")
    with atheris.instrument_imports(include=["liveaction.coding", "liveaction.codec"]):
        import liveaction.codec.chunks
        import liveaction.codec.header
        import liveaction.codec.reader
        import liveaction.coding.container  # noqa: F401
    from tests.fuzz.target import Parts, Target, take_apart

    target = Target()
    target.read(target.data)

    def one(data: bytes) -> None:
        header, chunks = parse(data)
        whole = data if data.startswith(b"\x89") else Parts(header, tuple(chunks)).build()
        target.read(whole, 0.0 if data[-1:] > b"\x7f" else None)

    for folder in (Path(argument) for argument in sys.argv[1:2] if not argument.startswith("-")):
        folder.mkdir(exist_ok=True)
        for number, seed in enumerate((target.data, target.other)):
            parts = take_apart(seed)
            (folder / f"parts-{number}").write_bytes(MARK.join([parts.header, *parts.chunks]))
            (folder / f"whole-{number}").write_bytes(seed)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
