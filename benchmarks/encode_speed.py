"""Encode one CT-sized volume with our codecs and with the published package, side by side in one run.

    pip install --no-deps --target runs/rivals livecodec==0.0.1 tft==0.13.0
    PYTHONPATH=runs/rivals python benchmarks/encode_speed.py --extent 256

Both encoders are the published size for CT (J = 3, hidden width 512, 8 latents, depth 4, kernel size 1), float32, same
input, same threads, weights at random: the values do not change the work. Times are medians with least and greatest.
"""

import argparse
import sys

import torch
from record import save, seconds

from liveaction import build_codec, load_recipe


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extent", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    try:
        from livecodec.codec import AutoCodecND
    except ImportError:
        sys.exit("livecodec and tft are not on the path; see --help")
    torch.manual_seed(0)
    n = options.extent
    x = torch.rand(1, 1, n, n, n) * 2 - 1
    published = AutoCodecND(
        dim=3, input_channels=1, J=3, latent_dim=8, encoder_depth=4, encoder_kernel_size=1, decoder_depth=0
    ).eval()
    ours = {name: build_codec(load_recipe(name)).eval() for name in ("ct_f8c8", "paper_ct_f8c8", "ct_klt")}
    functions = {"livecodec": lambda: published.encode(x)}
    functions |= {name: (lambda codec=codec: codec.encode(x)) for name, codec in ours.items()}
    functions |= {"wavelets only, livecodec": lambda: published.wpt(x)}
    functions |= {"wavelets only, ct_f8c8": lambda: ours["ct_f8c8"].analyse(x)}
    with torch.no_grad():
        grid = (n // 8,) * 3
        assert published.encode(x).shape == ours["ct_f8c8"].encode(x).shape == (1, 8, *grid)
        times = seconds(functions, options.rounds)
    base = times["livecodec"]["median"]
    for name, t in times.items():
        ratio = (times["wavelets only, livecodec"] if name.startswith("wavelets") else times["livecodec"])["median"]
        t["mvoxel_per_second"] = n**3 / 1e6 / t["median"]
        t["times_as_fast"] = ratio / t["median"]
        print(f"{name:<28} {t['median'] * 1e3:8.1f} ms ({t['min'] * 1e3:.1f} to {t['max'] * 1e3:.1f})  "
              f"{t['mvoxel_per_second']:6.1f} MVoxel/s  {t['times_as_fast']:.2f}x")  # fmt: skip
    print(save(f"encode_speed_cpu_{n}", {"extent": n, "rounds": options.rounds, "base_seconds": base, "times": times}))


if __name__ == "__main__":
    main()
