"""The options of every verb, frozen: a new one is a decision, not an accident."""

import pytest
import typer
from typer.testing import CliRunner

from liveaction.cli.main import app

OPTIONS = {
    "recipes": {"--json"},
    "new": {"--like", "--data", "--key", "--force"},
    "check": {"--shape", "--channels", "--data", "--set", "--quiet", "--json"},
    "train": {
        "--data", "--out", "--val", "--steps", "--set", "--start-from", "--labels", "--resume", "--skip-bad",
        "--device", "--quiet",
    },
    "compress": {
        "--model", "--step", "--quality", "--target-size", "--target-ratio", "--target-psnr", "--target-error",
        "--max-error", "--series", "--strip-metadata", "--fast", "--coder", "--together", "--device", "--dtype",
        "--jobs", "--force", "--quiet", "--json",
    },
    "decompress": {
        "--model", "--region", "--scale", "--thumbnails", "--fill", "--against", "--picture", "--suffix", "--all",
        "--item", "--enhance", "--strength", "--prompt", "--seed", "--synthesised", "--to", "--template",
        "--max-voxels", "--device", "--dtype", "--jobs", "--force", "--quiet", "--json",
    },
    "evaluate": {
        "--data", "--out", "--protocol", "--baselines", "--factors", "--reference", "--measure",
        "--threads", "--repeats", "--judge", "--labels", "--synthesised", "--device", "--dtype", "--list", "--quiet",
        "--json",
    },
    "latents": {
        "--model", "--labels", "--task", "--fit", "--views", "--step", "--int8", "--fast", "--export", "--device",
        "--force", "--quiet", "--json",
    },
    "probe": {
        "--out", "--protocol", "--data", "--against", "--seeds", "--epochs", "--batch", "--learning-rate", "--widths",
        "--compute", "--keep", "--device", "--list", "--quiet", "--json",
    },
    "freeze": {"--data", "--skip-bad", "--quiet"},
    "info": {"--json"},
    "verify": {"--model", "--against", "--synthesised", "--max-voxels", "--device", "--quiet", "--json"},
    "models": {"--json"},
    "models show": {"--json"},
    "models add": {"--name", "--default", "--quiet", "--json"},
    "models get": {"--revision", "--digest", "--name", "--default", "--quiet", "--json"},
    "models push": {"--public", "--revision", "--message", "--quiet", "--json"},
    "models card": {"--out", "--force"},
    "models remove": {"--force", "--json"},
    "doctor": {"--warm", "--json"},
    "import-livecodec": {"--modality", "--force", "--quiet"},
    "import-walloc": {"--config", "--modality", "--force", "--quiet"},
    "profile kernels": {
        "--op", "--shape", "--dtype", "--providers", "--device", "--threads", "--backward", "--rounds", "--out",
        "--trace", "--tune", "--quiet", "--json",
    },
    "profile codec": {
        "--shape", "--dtype", "--device", "--threads", "--backward", "--rounds", "--out", "--trace", "--quiet",
        "--json",
    },
}  # fmt: skip


def _commands(group, prefix=""):
    """All verbs by name; those of a sub-command as ``group verb``."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield f"{prefix}{name}", command
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


COMMANDS = dict(_commands(typer.main.get_command(app)))


def test_the_verbs():
    assert set(COMMANDS) == set(OPTIONS)


@pytest.mark.parametrize("verb", OPTIONS)
def test_the_options_of_a_verb(verb):
    options = {
        max(p.opts, key=len) for p in COMMANDS[verb].params if p.param_type_name == "option" and p.name != "help"
    }
    assert options == OPTIONS[verb]


@pytest.mark.parametrize("verb", OPTIONS)
def test_help_shows_an_example(verb):
    said = CliRunner().invoke(app, [*verb.split(), "--help"], env={"COLUMNS": "200"})
    assert said.exit_code == 0 and f"liveaction {verb}" in said.stdout and "Example" in said.stdout
