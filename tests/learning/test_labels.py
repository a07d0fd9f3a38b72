"""Labels of items."""

import os
from pathlib import Path

import pytest

from liveaction.errors import FormatError, SpecError
from liveaction.learning.labels import class_names, labelled_items


def _paths(folder: Path, *names: str) -> list[Path]:
    return [folder / name for name in names]


def test_folders_are_classes_and_splits(tmp_path: Path) -> None:
    paths = _paths(tmp_path, "test/b/1.png", "train/a/2.png", "val/x/b/3.png")
    items = labelled_items(tmp_path, paths, "folders")
    assert [(item.name, item.label, item.split) for item in items] == [
        ("test/b/1.png", "b", "test"), ("train/a/2.png", "a", "train"), ("val/x/b/3.png", "b", "validation"),
    ]  # fmt: skip
    assert class_names(items) == ("a", "b")


def test_a_folder_without_a_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        FormatError, match=r"--labels folders: expected every item in a folder that names its class, got '1"
    ):
        labelled_items(tmp_path, _paths(tmp_path, "1.png"), "folders")


def test_a_split_below_a_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        FormatError, match=r"expected a split above the classes, got 'a/train/1.png', .* give a pattern"
    ):
        labelled_items(tmp_path, _paths(tmp_path, "a/train/1.png", "a/test/2.png"), "folders")


@pytest.mark.parametrize("labels", ["", "folders", "(?P<label>[0-9])"])
def test_names_that_are_no_text_are_refused(tmp_path: Path, labels: str) -> None:
    name = os.fsdecode(b"train/1/\xff.png")
    with pytest.raises(FormatError, match=r"expected names in UTF-8, got 'train/1/\\udcff.png'; rename it"):
        labelled_items(tmp_path, _paths(tmp_path, name), labels)


def test_names_of_many_digits_are_no_numbers(tmp_path: Path) -> None:
    items = labelled_items(tmp_path, _paths(tmp_path, "9" * 5000 + "/1.png", "²/2.png", "10/3.png"), "folders")
    assert class_names(items) == ("10", "9" * 5000, "²")


def test_a_table_that_is_not_there_says_what_else_there_is(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"folder: expected a readable CSV file .*; else say folders, or a pattern"):
        labelled_items(tmp_path, _paths(tmp_path, "a/1.png"), "folder")


def test_patterns_name_labels_and_groups(tmp_path: Path) -> None:
    items = labelled_items(tmp_path, _paths(tmp_path, "10_bo_1.wav", "9_al_0.wav"), r"(?P<label>\d+)_(?P<group>[a-z]+)")
    assert [(item.label, item.group) for item in items] == [("10", "bo"), ("9", "al")]
    assert class_names(items) == ("9", "10")  # by value


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"(?P<label>\d", "expected a regular expression"),
        (r"(?P<group>\d)", "expected the groups"),
        (r"(?P<label>\d)(?P<who>.)", "expected the groups"),
    ],
)
def test_wrong_patterns_are_refused(tmp_path: Path, pattern: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        labelled_items(tmp_path, _paths(tmp_path, "1a.wav"), pattern)


def test_an_item_without_a_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"in the name of every item, got 'a\.wav'"):
        labelled_items(tmp_path, _paths(tmp_path, "a.wav"), r"(?P<label>\d)")


def test_a_table_chooses_items(tmp_path: Path) -> None:
    table = tmp_path / "items.csv"
    table.write_text("path,label,split,group\nb.wav,1 2,test,x\n")
    (item,) = labelled_items(tmp_path, _paths(tmp_path, "a.wav", "b.wav"), str(table))
    assert (item.name, item.label, item.split, item.group) == ("b.wav", "1 2", "test", "x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,name\n", r"expected the columns path,label"),
        ("path,label\nc.wav,1\n", r"line 2: expected an item below the folder, got 'c\.wav'"),
        ("path,label\na.wav,1\na.wav,2\n", r"line 3: expected every item once"),
        ("path,label,split\na.wav,1,never\n", r"line 2: expected a split among"),
        ("path,label\na.wav\n", r"line 2: expected 2 fields"),
        ("path,label\n", r"expected a line for each item, got none"),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "items.csv").write_text(text)
    with pytest.raises(FormatError, match=words):
        labelled_items(tmp_path, _paths(tmp_path, "a.wav"), str(tmp_path / "items.csv"))


def test_classes_that_are_equal_numbers_have_an_order(tmp_path: Path) -> None:
    items = labelled_items(tmp_path, _paths(tmp_path, "1/a", "01/b", "001/c", "-3/d"), "folders")
    assert class_names(items) == ("-3", "001", "01", "1")


def test_groups_do_not_cross_splits(tmp_path: Path) -> None:
    paths = _paths(tmp_path, "train/a/bo.wav", "test/a/bo.wav")
    with pytest.raises(FormatError, match="expected every group in one split, got 'bo' in"):
        labelled_items(tmp_path, paths, r"(?P<split>[a-z]+)/(?P<label>[a-z])/(?P<group>[a-z]+)")
