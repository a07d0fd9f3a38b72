"""What this machine has, whether a codec runs on it, and where compiled kernels are kept."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

import liveaction
from liveaction.cli.printing import console
from liveaction.codec.codec import build_codec
from liveaction.recipe import load_recipe, recipe_names
from liveaction.registry import modality_names

PACKAGES = (
    "torch",
    "triton",
    "einops",
    "numpy",
    "numba",
    "PyWavelets",
    "monai",
    "nibabel",
    "pydicom",
    "timm",
    "accelerate",
)


def examine() -> dict[str, Any]:
    """Versions, devices, modalities, and one round trip of a tiny codec per device; a failure says so and why."""
    report: dict[str, Any] = {"liveaction": liveaction.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            report[name] = version(name)
        except PackageNotFoundError:
            report[name] = "not installed"
    report["modalities"] = ", ".join(modality_names())
    report["recipes"] = ", ".join(recipe_names())
    report["numba cache"] = cache_folders()
    report["cpu"] = f"{torch.get_num_threads()} threads; {_try('cpu')}"
    for index in range(torch.cuda.device_count()):
        device = f"cuda:{index}"
        report[device] = f"{torch.cuda.get_device_name(index)}; {_try(device)}"
    if not torch.cuda.is_available():
        report["cuda"] = "no device; everything runs on the CPU"
    return report


def cache_folders() -> str:
    """Where Numba keeps compiled kernels; what to do where it finds no folder to write to."""
    try:
        from liveaction.coding.rans_numba import encode
        from liveaction.kernels.activation_numba import affine
    except RuntimeError:
        return "failed: no folder to keep compiled kernels in can be written; set NUMBA_CACHE_DIR to one"
    return ", ".join(sorted({kernel.stats.cache_path for kernel in (encode, affine)}))


def kernels_can_be_kept() -> bool:
    """Whether there is a folder for compiled kernels; :func:`examine` says what to do where there is none."""
    return not cache_folders().startswith("failed")


def compile_all(quiet: bool) -> str:
    """Compile all that the shipped recipes need, with a bar; what it took."""
    from liveaction.cli.progress import counted
    from liveaction.codec.warm import kinds, warm

    with counted(console, quiet) as advance:
        seconds = warm(kinds(), lambda done, total, name: advance(done, total, f"compiling what {name} needs"))
    return f"all kernels, in {seconds:.1f} s" if seconds else "nothing; all kernels were there"


def _try(device: str) -> str:
    """Encode and decode a small ramp."""
    recipe = load_recipe("ct_smoke")
    codec = build_codec(recipe).to(device).eval()
    try:
        with torch.no_grad():
            x = torch.linspace(-1, 1, 17**3, device=device).reshape(1, 1, 17, 17, 17)
            y = codec.decode(codec.to_symbols(x), (17, 17, 17))
    except RuntimeError as error:
        return f"failed: {' '.join(str(error).split())[:200]}"
    return "codec runs" if bool(torch.isfinite(y).all()) else "failed: the codec gives NaN"
