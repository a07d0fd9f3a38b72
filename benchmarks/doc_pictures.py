"""The pictures of the documentation, made by the kit itself: a phantom of every modality, coded by its smoke recipe.

python benchmarks/doc_pictures.py              # all, some ten minutes on 4 cores
python benchmarks/doc_pictures.py rgb video    # some
"""

import sys
import tempfile
from pathlib import Path

from liveaction.codec.model import load
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.training.run import train
from modalities import shrink

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
RECIPES = {
    "ct": "ct_smoke", "mri": "mri_smoke", "series": "series_smoke", "hyperspectral": "hyperspectral_smoke",
    "video": "video_smoke", "rgb": "rgb_smoke", "array_audio": "array_audio_smoke", "music": "music_smoke",
    "array": "array_smoke",
}  # fmt: skip


def main() -> None:
    """Train on phantoms, code one that was not among them, draw it."""
    PICTURES.mkdir(exist_ok=True)
    for name in sys.argv[1:] or RECIPES:
        recipe = load_recipe(RECIPES[name])
        modality = build_modality(recipe.modality)
        with tempfile.TemporaryDirectory() as folder:
            model = train(recipe, ["synthetic:4"], Path(folder) / "run").folder
            coder = load(model)
            signal = modality.synthetic(99)
            data = coder.compress(signal)
            back = coder.decompress(data)
            measured = modality.compare(signal, back)
            rate = f"{signal.native_bits / (8 * len(data)):.0f}:1, PSNR {measured['psnr_normalised']:.1f} dB"
            modality.preview(signal, back, PICTURES / f"{name}.png", f"{coder.recipe.name}, an unseen phantom: {rate}")
        shrink(PICTURES / f"{name}.png", 1000)
        print(PICTURES / f"{name}.png", flush=True)


if __name__ == "__main__":
    main()
