"""What is done is skipped, what is not ours stays, and what the manifest says of both."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from liveaction.archive.item import ArchiveItem, ArchiveTask, Job
from liveaction.archive.manifest import MANIFEST, Entry, Manifest, open_manifest
from liveaction.errors import FormatError, SpecError, WriteError
from liveaction.signal import Signal


@dataclass
class Writing(ArchiveTask):
    """Writes a text, whatever the source says; ``meanwhile`` happens before it is noted."""

    text: str
    meanwhile: Callable[[], None]

    def prepare(self):
        pass

    def parts(self, item):
        return [item.path]

    def read(self, item):
        return Signal(np.zeros((1, 1)), ("x",), "", (1.0,), "float64")

    def make(self, item, signal, part):
        part.write_text(self.text)
        self.meanwhile()
        return {"bytes": len(self.text)}


@dataclass
class Desk:
    """One item, worked on in this process."""

    source: Path
    target: Path
    manifest: Manifest

    def work(self, text="made", settings="float32", force=False, meanwhile=lambda: None):
        item = ArchiveItem(self.source, self.target, "a", "a.lva", 1)
        wanted = Entry("a", "a.lva", "ok", weights="w", dtype=settings)
        job = Job(item, self.manifest.history("a.lva"), wanted, force)
        return Writing(text, meanwhile).work(job, self.manifest.append)


@pytest.fixture
def desk(tmp_path):
    (tmp_path / "a").write_text("source")
    with open_manifest(tmp_path) as manifest:
        yield Desk(tmp_path / "a", tmp_path / "out" / "a.lva", manifest)


def test_an_item_is_skipped_only_where_nothing_has_changed(desk):
    assert desk.work().status == "ok" and desk.work("again").status == "skipped"
    assert desk.work("new settings", settings="bfloat16").status == "ok"
    assert desk.work("new settings", settings="bfloat16").status == "skipped"
    desk.source.write_text("another source")
    assert desk.work("another").status == "ok" and desk.target.read_text() == "another"
    assert desk.work("forced", force=True).status == "ok" and desk.target.read_text() == "forced"
    desk.target.unlink()
    assert desk.work("once more").status == "ok"
    desk.manifest.append(Entry("a", "a.lva", "failed"))
    assert desk.work("after a failure").status == "ok" and desk.target.read_text() == "after a failure"


def test_what_the_manifest_does_not_know_is_overwritten_by_force_alone(desk):
    desk.target.parent.mkdir()
    desk.target.write_text("theirs")
    desk.manifest.append(Entry("a", "a.lva", "failed"))  # a refusal gives no right to it
    with pytest.raises(SpecError, match=r"expected what manifest\.jsonl records, got one that it does not know"):
        desk.work()
    assert desk.target.read_text() == "theirs"
    assert desk.work(force=True).status == "ok" and desk.target.read_text() == "made"
    desk.target.write_text("damaged")
    with pytest.raises(SpecError, match="got another one; add --force"):
        desk.work()


def test_a_line_without_its_target_and_an_older_target_are_made_anew(desk):
    desk.work("one")
    desk.manifest.append(replace(desk.work("two", force=True), sha256="of a file that was never placed"))
    assert desk.target.read_text() == "two" and desk.work("three").status == "ok"
    assert desk.target.read_text() == "three"


def test_a_source_that_changes_meanwhile_is_refused(desk):
    with pytest.raises(FormatError, match="expected a source that stays as it is, got one that changes"):
        desk.work(meanwhile=lambda: desk.source.write_text("other words"))
    assert not desk.target.exists() and desk.manifest.history("a.lva").newest is None


def test_a_file_in_the_place_of_a_folder_is_said_in_one_line(desk):
    desk.target.parent.write_text("a file")
    with pytest.raises(WriteError, match=r"a\.lva: expected a place to write to, got File exists; choose another one"):
        desk.work()


@pytest.mark.parametrize("text", ['{"audio": "a.wav"}\n', "[1]\n", "words\n", '{"source": "a", "target": "b"}\n',
                                  '{"source": "a", "target": "b", "status": "odd"}\n'])  # fmt: skip
def test_a_manifest_of_somebody_else_is_refused_and_kept(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text + "rest")
    with pytest.raises(FormatError, match=r"manifest\.jsonl:1: expected"), open_manifest(tmp_path):
        pass
    assert (tmp_path / MANIFEST).read_text() == text + "rest"


def test_a_manifest_remembers_every_digest_and_its_newest_line(tmp_path):
    one = Entry("a", "a.lva", "ok", sha256="1", ratio=2.5)
    names = Entry("\udcff", "\udcff.lva", "failed", error="é")
    with open_manifest(tmp_path) as manifest:
        for entry in (one, Entry("a", "a.lva", "ok", sha256="2"), Entry("a", "a.lva", "failed"), names):
            manifest.append(entry)
    with (tmp_path / MANIFEST).open("ab") as file:
        file.write(b'{"source": "b"')
    with open_manifest(tmp_path) as manifest:
        assert manifest.history("a.lva").newest.status == "failed"
        assert manifest.history("a.lva").digests == {"1", "2"}
        assert manifest.history("\udcff.lva").newest == names and manifest.history("b").newest is None
        manifest.append(one)
    assert [json.loads(line)["target"] for line in (tmp_path / MANIFEST).read_bytes().splitlines()][-1] == "a.lva"
