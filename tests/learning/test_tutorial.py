"""The commands of the tutorial, as they are printed, on pictures made here."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from liveaction.cli.main import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "learning.md"


@pytest.mark.slow
def test_the_tutorial_can_be_typed(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIVEACTION_CACHE", str(tmp_path / "cache"))
    (tmp_path / "pictures").symlink_to(pictures)
    section = PAGE.read_text().split("## Ten minutes")[1].split("\n## ")[0]
    block = re.search(r"^```sh\n(.*?)^```", section, re.M | re.S)
    assert block is not None
    lines = block[1].splitlines()
    assert len(lines) >= 4
    for line in lines:
        command, *arguments = shlex.split(line)
        assert command == "liveaction"
        result = CliRunner().invoke(
            app, [*arguments, *(["-q"] if arguments[0] != "latents" or len(arguments) > 2 else [])]
        )
        assert result.exit_code == 0, (line, result.output, result.exception)
    assert (tmp_path / "report" / "report.html").stat().st_size > 50_000
    assert (tmp_path / "report" / "heads" / "latents_own_seed0" / "head.safetensors").is_file()
