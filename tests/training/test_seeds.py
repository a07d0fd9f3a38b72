"""Seeds of training: no two uses draw the same, and recorded runs can be made again."""

import re
from pathlib import Path

import numpy as np

import liveaction.training
from liveaction.training.seeds import CropWord, NoiseWord, torch_seed

SOURCES = {path.name: path.read_text() for path in Path(liveaction.training.__file__).parent.glob("*.py")}


def test_words_are_unique_and_stay():
    for words in (CropWord, NoiseWord):
        assert len(words) == len(words.__members__) == len({int(word) for word in words})
    assert {word.name: int(word) for word in CropWord} == {
        "TRAINING": 0, "WARM_START": 1, "VALIDATION": 2, "TABLES": 3, "GAINS": 6, "STEP": 7,
    }  # fmt: skip
    assert {word.name: int(word) for word in NoiseWord} == {"QUANTISER": 3, "STEPS": 4}


def test_every_word_has_one_use_and_every_seed_a_word():
    code = "".join(text for name, text in SOURCES.items() if name != "seeds.py")
    used = re.findall(r"\b(?:CropWord|NoiseWord)\.\w+", code)
    assert sorted(used) == sorted(f"{type(word).__name__}.{word.name}" for word in (*CropWord, *NoiseWord))
    assert {name for name, text in SOURCES.items() if "SeedSequence" in text} == {"seeds.py"}
    drawing = {name for name, text in SOURCES.items() if "default_rng" in text}  # seeded by the key given
    assert drawing - {"freeze.py"} == {"behind.py", "data.py"}


def test_crops_of_two_uses_differ_under_one_seed():
    drawn = {int(np.random.default_rng([word, 5, 7]).integers(1 << 62)) for word in CropWord}
    assert len(drawn) == len(CropWord)


def test_the_seed_of_noise_is_the_recorded_one():
    assert torch_seed(NoiseWord.QUANTISER, 0, 0, 0) == int(np.random.SeedSequence([3, 0, 0, 0]).generate_state(1)[0])
    assert len({torch_seed(NoiseWord.QUANTISER, 0, step, rank) for step in range(50) for rank in range(4)}) == 200
