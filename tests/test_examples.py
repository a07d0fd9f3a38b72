"""Python examples run as they are printed: in the README, in the docs, in the docstrings of the public names."""

import doctest
import re
from pathlib import Path

import pytest

import liveaction
from liveaction.learning.labels import LabelledItem
from liveaction.learning.making import make_store
from liveaction.learning.sources import LatentSource

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
EXAMPLES = [
    pytest.param(block, id=f"{name}-{number}")
    for name in TEXTS
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.M | re.S))
]
PUBLIC = sorted({*liveaction.__all__} - {"__version__"})


@pytest.fixture(scope="module")
def shelf(tmp_path_factory, small_phantoms, dicom_series):
    """What the examples speak of: a model in ``runs/ct``, scans, a DICOM series, a stream, a store."""
    folder = tmp_path_factory.mktemp("shelf")
    recipe = liveaction.load_recipe("ct_smoke", ["training.steps=0"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVEACTION_CACHE", str(folder / "cache"))
        liveaction.train(recipe, "synthetic:1", folder / "runs" / "ct", device="cpu")
    modality = liveaction.build_modality(recipe.modality)
    scan = modality.synthetic(7, (48, 56, 48))
    (folder / "scans").mkdir()
    for name in ("scan.nii.gz", "new_scan.nii.gz", "scans/a.nii.gz"):
        modality.write(scan, folder / name)
    dicom_series(folder / "series", 16)
    model = liveaction.load(folder / "runs" / "ct", device="cpu")
    for name in ("scan.lva", "new_scan.lva"):
        model.compress_file(scan, folder / name)
    items = [
        LabelledItem(f"{number}", folder / "scan.nii.gz", "abc"[number % 3], "test" if number > 3 else "train")
        for number in range(6)
    ]
    make_store(items, LatentSource(model), folder / "store")
    return folder


@pytest.fixture
def here(shelf, tmp_path, monkeypatch):
    """A folder of its own in which everything of the shelf lies."""
    for path in shelf.iterdir():
        if path.name not in ("runs", "cache"):
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "ct").symlink_to(shelf / "runs" / "ct")
    monkeypatch.setenv("LIVEACTION_CACHE", str(shelf / "cache"))
    monkeypatch.setenv("LIVEACTION_MODELS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("block", EXAMPLES)
def test_examples_of_the_documents_run(block, here):
    exec(compile(block, "example", "exec"), {"__name__": "example"})


def test_there_are_examples():
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_shows_an_example_that_runs(name, here):
    found = [
        test for test in doctest.DocTestFinder(recurse=False).find(getattr(liveaction, name), name) if test.examples
    ]
    assert found, f"liveaction.{name}: no example in its docstring"
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in found:
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)
