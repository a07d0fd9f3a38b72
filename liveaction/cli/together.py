"""``compress --together`` and ``decompress --all``: the bar and what is said."""

from pathlib import Path
from typing import TYPE_CHECKING

from liveaction.cli.findings import damage_fields, pace_text, report_damage
from liveaction.cli.options import percent
from liveaction.cli.printing import console, print_json, say

if TYPE_CHECKING:
    from liveaction.archive.folder import Settings
    from liveaction.cli.choice import Chosen
    from liveaction.codec.scaling import Scale


def compress_folder(
    source: Path, target: Path, settings: "Settings", quiet: bool, as_json: bool, chosen: "Chosen"
) -> None:
    """A folder to one stream, and what is said of it."""
    from liveaction.archive.together import compress_together
    from liveaction.cli.progress import counted, stages
    from liveaction.codec.model import load

    with stages(console, quiet) as stage:
        stage("loading the model")
        model = load(settings.model, device=settings.device, dtype=settings.dtype)
    with counted(console, quiet) as count:
        done = compress_together(source, target, model, count, **settings.options)
    lost = {"clipped_share": done.clipped_share, "missing_share": done.missing_share}
    ratio, bits = done.native_bits / (8 * done.bytes), 8 * done.bytes / done.values
    report = {
        "target": str(target),
        "items": done.items,
        "bytes": done.bytes,
        "ratio": ratio,
        "bits_per_element": bits,
        **lost,
        "encode_seconds": done.timings.tensors,
        "entropy_coding_seconds": done.timings.coding,
        **chosen.fields(),
    }
    if as_json:
        print_json(report)
        return
    shares = {"clipped_share": "lie outside their range and are clipped", "missing_share": "are missing and come back"}
    text = "".join(f"; {percent(lost[key])} of the values {said}" for key, said in shares.items() if lost[key])
    say(
        f"{target}: {done.items} items, {done.bytes:,} bytes, {ratio:.1f}:1, "
        f"{bits:.4f} bits per element ({pace_text(done.values, done.timings)}){text}"
    )
    for line in chosen.lines():
        say(line)


def decompress_items(
    source: Path,
    target: Path,
    model: tuple["Chosen", str, str],
    options: tuple[str, "Scale", float | None, int | None, bool],
    quiet: bool,
    as_json: bool,
) -> bool:
    """All items of a stream to files below a folder; whether something was damaged.

    Args:
        source, target: of the stream, and the folder.
        model: the one that was chosen, device and dtype.
        options: suffix, scale, fill, max_voxels and force.
        quiet, as_json: of the verb.
    """
    from liveaction.archive.together import decompress_apart
    from liveaction.cli.progress import counted, stages
    from liveaction.codec.header import MAX_VOXELS
    from liveaction.codec.model import load

    chosen, device, dtype = model
    suffix, scale, fill, most, force = options
    with stages(console, quiet) as stage:
        stage("loading the model")
        loaded = load(chosen.folder, device=device, dtype=dtype)
    with (
        loaded.open_many(source, max_voxels=most or MAX_VOXELS) as items,
        counted(console, quiet) as count,
    ):
        done = decompress_apart(
            items, source, target, loaded, suffix=suffix, scale=scale, fill=fill, force=force, count=count
        )
    axes, spent = loaded.recipe.modality.axes, done.timings
    if as_json:
        lost = {name: [damage_fields(damage, axes) for damage in found] for name, found in done.damaged.items()}
        about = {"decode_seconds": spent.tensors, "entropy_decoding_seconds": spent.coding}
        print_json({"target": str(target), "items": done.items, **about, "damaged": lost, **chosen.fields()})
    else:
        say(f"{target}: {done.items} items ({pace_text(done.values, spent)})")
        for line in chosen.lines():
            say(line)
    for name, found in done.damaged.items():
        report_damage(found, axes, f"{source}: {name}", f"filled with {fill:g}")
    return bool(done.damaged)
