"""Encode and decode beside the published package, in one run, on arrays of every published kind.

    pip install -e '.[parity]'
    python benchmarks/codec_speed.py                       # all cases, one and all threads; some 15 minutes
    python benchmarks/codec_speed.py --case ct --threads 4 --rounds 3

Both codecs have the same number of channels, levels, latents and blocks (encoder 4, decoder 8, kernel size 1); ours has
the default pieces (pointwise encoder, symmetric boundary, 32-wide heads). Weights are random: the values do not change
the work. The same input, the same threads, in turn; times are medians with least and greatest. All in float32, and ours
a second time with products of 16 bits, which the published package has no setting for. Decoding is measured on smaller
arrays, since the published decoder needs 20 to 70 times its output in memory.
"""

import argparse
import warnings
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from record import save, seconds

from liveaction import build_codec, load_recipe
from liveaction.profiling.ceilings import ceilings
from liveaction.profiling.measure import peak_memory

CPU = torch.device("cpu")
SHORT = "liveaction, bfloat16"

OURS = (
    "codec.boundary=symmetric", "codec.packet_order=level", "codec.compand=false",
    "codec.encoder={kind: pointwise, depth: 4}", "codec.decoder={kind: vit, depth: 8}",
    "codec.quantizer={kind: uniform, step: 0.4}",
)  # fmt: skip
# recipe, extents to encode, extents to decode
CASES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "ct": ("paper_ct_f8c8", (256, 256, 256), (128, 128, 128)),
    "hyperspectral": ("paper_hyperspectral_f8c8", (224, 256, 256), (112, 128, 128)),
    "video_8": ("paper_video_f8c12", (8, 1080, 1920), (8, 272, 480)),
    "video_48": ("paper_video_f8c12", (48, 480, 640), (48, 128, 160)),
    "array_audio": ("paper_array_audio_f128c28", (2**18,), (2**17,)),
    "rgb_4k": ("paper_rgb_f16c12", (2160, 3840), (512, 768)),
}


def codecs(name: str) -> tuple[Any, Any]:
    """The published codec and ours, of equal sizes."""
    from livecodec.codec import AutoCodecND

    recipe = load_recipe(name)
    torch.manual_seed(0)
    published = AutoCodecND(
        dim=recipe.axes, input_channels=recipe.modality.channels, J=recipe.codec.levels,
        latent_dim=recipe.codec.latent_channels, encoder_depth=4, encoder_kernel_size=1, decoder_depth=8,
    )  # fmt: skip
    return published.eval(), build_codec(load_recipe(name, OURS)).eval()


def compare(case: str, threads: int, rounds: int) -> dict[str, Any]:
    """One case: encode and decode, both codecs."""
    name, extents, small = CASES[case]
    published, ours = codecs(name)
    channels = ours.channels
    x = torch.rand(1, channels, *extents) * 2 - 1
    torch.set_num_threads(threads)
    row: dict[str, Any] = {"extents": extents, "channels": channels, "decode_extents": small, "threads": threads}
    bandwidth = ceilings(torch.float32, CPU).copy_gb_s * 1e9
    encoders = {"livecodec": lambda: published.encode(x), "liveaction": lambda: ours.encode(x)}
    encoders[SHORT] = _in_16_bits(ours, lambda: ours.encode(x))
    encoders["liveaction, wavelets only"] = lambda: ours.analyse(x)
    row["encode"] = _report(seconds(encoders, rounds), x.numel())
    moved = 4 * x.numel() * (1 + ours.latents * prod(f**-1 for f in ours.packets.factors) / channels)
    row["share_of_copy"] = moved / row["encode"]["liveaction"]["median"] / bandwidth
    row["copy_gb_per_second"] = bandwidth / 1e9
    row["encode_extra_bytes"] = {key: peak_memory(encoders[key], CPU) for key in ("livecodec", "liveaction")}
    x = x[(slice(None), slice(None), *(slice(0, n) for n in small))].contiguous()
    theirs, mine = published.encode(x), ours.quantize(ours.encode(x))
    decoders = {"livecodec": lambda: published.decode(theirs), "liveaction": lambda: ours.decode(mine, small)}
    decoders[SHORT] = _in_16_bits(ours, lambda: ours.decode(mine, small))
    row["decode"] = _report(seconds(decoders, max(2, rounds // 2)), x.numel())
    return row


def _in_16_bits(codec: Any, function: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        codec.compute_dtype = torch.bfloat16
        try:
            return function()
        finally:
            codec.compute_dtype = torch.float32

    return run


def _report(times: dict[str, dict[str, float]], samples: int) -> dict[str, dict[str, float]]:
    base = times["livecodec"]["median"]
    for name, t in times.items():
        t["msamples_per_second"] = samples / 1e6 / t["median"]
        t["times_as_fast"] = base / t["median"]
        print(f"  {name:<26} {t['median'] * 1e3:9.1f} ms ({t['min'] * 1e3:.1f} to {t['max'] * 1e3:.1f})  "
              f"{t['msamples_per_second']:7.1f} Msamples/s  {t['times_as_fast']:.2f}x", flush=True)  # fmt: skip
    return times


def scaling(rounds: int) -> list[dict[str, float]]:
    """Encoding cubes of growing extent with ``ct_f8c8``: nanoseconds per sample, and memory beyond the input."""
    codec = build_codec(load_recipe("ct_f8c8")).eval()
    rows = []
    for n in (64, 128, 256, 512):
        x = torch.rand(1, 1, n, n, n) * 2 - 1

        def encode(x: torch.Tensor = x) -> torch.Tensor:
            symbols: torch.Tensor = codec.to_symbols(x)
            return symbols

        t = seconds({"encode": encode}, rounds)["encode"]
        extra = peak_memory(encode, CPU) or 0
        rows.append({"extent": n, "ns_per_sample": t["median"] * 1e9 / n**3, "extra_bytes": extra} | t)
        print(f"  {n}^3: {t['median'] * 1e3:.1f} ms, {rows[-1]['ns_per_sample']:.2f} ns per sample, "
              f"{extra / 2**20:.0f} MiB beyond the input", flush=True)  # fmt: skip
    return rows


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, nargs="*", default=list(CASES), help="none: the growth alone")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, torch.get_num_threads()])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--name", default="codec_speed_cpu", help="of the record in results/")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows, every = {}, torch.get_num_threads()
    with torch.inference_mode():
        for case in options.case:
            for threads in options.threads:
                print(f"{case}, {threads} thread(s)", flush=True)
                rows[f"{case}, {threads} threads"] = compare(case, threads, options.rounds)
        torch.set_num_threads(every)
        grown = scaling(options.rounds)
    print(save(options.name, {"rounds": options.rounds, "rows": rows, "scaling": grown}))


if __name__ == "__main__":
    main()
