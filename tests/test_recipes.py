"""Recipes: every shipped one is sound, and what is refused is refused in words that say where and what."""

import os
from operator import attrgetter
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from liveaction.errors import SpecError, UnknownNameError
from liveaction.evaluation.protocol import load_protocol
from liveaction.recipe import dump_recipe, load_plain, load_recipe, parse_recipe, recipe_names
from liveaction.registry import build_modality, modality_names
from liveaction.spec import CodecSpec, ModalitySpec

ROOT = Path(__file__).resolve().parents[1]

MINIMAL = """
name: small
modality: {name: ct, axes: [x, y, z], unit: HU, range: [-1024, 3071]}
codec: {levels: 2, latent_channels: 4}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A recipe file that states only what it must."""
    path = tmp_path / "small.yaml"
    path.write_text(MINIMAL, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", recipe_names())
class TestShipped:
    """What holds for every recipe in configs/."""

    def test_the_file_has_the_name(self, name: str) -> None:
        assert load_recipe(name).name == name

    def test_it_survives_dump_and_parse(self, name: str) -> None:
        recipe = load_recipe(name)
        assert parse_recipe(dump_recipe(recipe), "dumped") == recipe

    def test_it_survives_yaml(self, name: str, tmp_path: Path) -> None:
        recipe = load_recipe(name)
        path = tmp_path / "again.yaml"
        path.write_text(yaml.safe_dump(dump_recipe(recipe)), encoding="utf-8")
        assert load_recipe(path) == recipe

    def test_it_is_read_by_path_too(self, name: str) -> None:
        assert load_recipe(ROOT / "configs" / f"{name}.yaml") == load_recipe(name)

    def test_its_modality_is_installed(self, name: str) -> None:
        assert load_recipe(name).modality.name in modality_names()

    def test_it_says_what_it_is(self, name: str) -> None:
        assert load_recipe(name).description


def test_the_names_are_the_files() -> None:
    assert recipe_names() == sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
    assert {"ct_f8c8", "ct_smoke"} <= set(recipe_names())


def test_a_minimal_recipe_takes_the_defaults(small: Path) -> None:
    recipe = load_recipe(small)
    assert recipe.axes == 3
    assert recipe.hidden == 64
    assert recipe.codec.levels_per_axis(3) == (2, 2, 2)
    assert recipe.codec.wavelet == "bior4.4"
    assert recipe.training.start == "warm"


def test_levels_differ_per_axis() -> None:
    codec = CodecSpec(latent_channels=4, levels=(3, 3, 0))
    assert codec.levels_per_axis(3) == (3, 3, 0)
    assert codec.bands(3) == 64
    with pytest.raises(ValueError, match=r"^codec.levels: expected one number or one per axis \(2\), got \[3, 3, 0\]$"):
        codec.levels_per_axis(2)


def test_a_recipe_is_frozen(small: Path) -> None:
    recipe = load_recipe(small)
    with pytest.raises(ValidationError, match="frozen"):
        recipe.codec.quantizer.step = 0.1


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        pytest.param("codec.levels=3", "codec.levels", 3, id="number"),
        pytest.param("codec.levels=[3, 3, 1]", "codec.levels", (3, 3, 1), id="list"),
        pytest.param("codec.quantizer.step=0.25", "codec.quantizer.step", 0.25, id="new-table"),
        pytest.param("training.start=random", "training.start", "random", id="word"),
        pytest.param("codec.decoder.head_dim=null", "codec.decoder.head_dim", None, id="null"),
        pytest.param(" name =other", "name", "other", id="spaces"),
        pytest.param("description=a=b", "description", "a=b", id="equals-in-value"),
        pytest.param("codec.encoder={kind: linear, depth: 0}", "codec.encoder.kind", "linear", id="whole-table"),
    ],
)
def test_overrides(small: Path, override: str, key: str, value: object) -> None:
    assert attrgetter(key)(load_recipe(small, [override])) == value


def test_the_last_override_wins(small: Path) -> None:
    assert load_recipe(small, ["codec.levels=3", "codec.levels=1"]).codec.levels == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("noequals", "--set: expected table.key=value, got 'noequals'", id="no-equals"),
        pytest.param("=3", "--set: expected table.key=value, got '=3'", id="no-key"),
        pytest.param("codec..levels=3", "--set: expected table.key=value, got 'codec..levels=3'", id="empty-part"),
        pytest.param("name.x=3", "--set name.x=3: expected 'name' to be a table", id="not-a-table"),
        pytest.param("codec.levels={", "--set codec.levels={: expected a YAML value, got while parsing", id="yaml"),
        pytest.param(
            "codec.levels=!!python/object/apply:os.getcwd []",
            "--set codec.levels=!!python/object/apply:os.getcwd []: expected a YAML value, got the tag "
            "'!!python/object/apply:os.getcwd', which asks for more than plain data; remove it",
            id="python-tag",
        ),
    ],
)
def test_bad_overrides(small: Path, override: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_recipe(small, [override])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


# the recipe's rules: overrides on the minimal recipe, then the message after the file's name
RULES = [
    # unknown keys
    (["codec.levls=3"], " [codec] levls: expected a known key, got 'levls'; did you mean levels?"),
    (["codec.encoder.kindd=1"], " [codec.encoder] kindd: expected a known key, got 'kindd'; did you mean kind?"),
    (["trainin.steps=3"], " trainin: expected a known key, got 'trainin'; did you mean training?"),
    (
        ["codec.quantizer.q=1"],
        " [codec.quantizer] q: expected a known key, got 'q'; did you mean bits, dead_zone, kind, step?",
    ),
    # wrong types
    (["codec=3"], " codec: input should be a valid dictionary or instance of CodecSpec, got 3"),
    (["codec.levels=x"], " [codec] levels: input should be a valid integer"),
    (["training.crop=50"], " [training] crop: input should be a valid tuple, got 50"),
    (["training.steps=1.5"], " [training] steps: input should be a valid integer, got a number with a fractional part"),
    (["modality.range=[1]"], " [modality.range] 1: field required"),
    (["codec.latent_channels=null"], " codec: latent_channels: expected a number for kind pointwise, got none"),
    # names and choices
    (["name=a/b"], " name: string should match pattern '^[A-Za-z0-9_.-]+$', got 'a/b'"),
    (["codec.boundary=zero"], " [codec] boundary: input should be 'symmetric', 'periodic' or 'folded', got 'zero'"),
    (["codec.compute_dtype=float16"], " [codec] compute_dtype: input should be 'float32' or 'bfloat16', got 'float16'"),
    (
        ["codec.encoder.kind=x"],
        " [codec.encoder] kind: input should be 'pointwise', 'paper', 'linear', 'sparse' or 'predicted', got 'x'",
    ),
    (["codec.encoder.projection=x"], " [codec.encoder] projection: input should be 'dense' or 'monarch', got 'x'"),
    (["codec.decoder.kind=x"], " [codec.decoder] kind: input should be 'vit', 'light', 'paper' or 'linear', got 'x'"),
    (
        ["codec.quantizer.kind=x"],
        " [codec.quantizer] kind: input should be 'uniform', 'laplace' or 'gaussian', got 'x'",
    ),
    (["training.start=cold"], " [training] start: input should be 'warm' or 'random', got 'cold'"),
    (["training.rate=x"], " [training] rate: input should be 'local', 'gaussian', 'channel' or 'global', got 'x'"),
    # limits
    (["modality.axes=[]"], " [modality] axes: tuple should have at least 1 item after validation"),
    (["modality.channels=-1"], " [modality] channels: input should be greater than or equal to 0, got -1"),
    (
        ["modality.channels=0"],
        ": modality.channels: expected at least 1, got 0; any number needs codec.encoder.basis own",
    ),
    (["modality.range=[3, 1]"], " [modality] range: expected [low, high] with low < high, got [3.0, 1.0]"),
    (["modality.range=[1, 1]"], " [modality] range: expected [low, high] with low < high, got [1.0, 1.0]"),
    (["modality.range=[-.inf, 1]"], " [modality.range] 0: input should be a finite number, got -inf"),
    (["codec.levels=true"], " [codec] levels: input should be a valid integer, got True"),
    (["codec.levels=-1"], " [codec] levels: input should be greater than or equal to 0, got -1"),
    (["codec.levels=13"], " [codec] levels: input should be less than or equal to 12, got 13"),
    (["codec.latent_channels=0"], " [codec] latent_channels: input should be greater than or equal to 1, got 0"),
    (["codec.encoder.depth=-1"], " [codec.encoder] depth: input should be greater than or equal to 0, got -1"),
    (["codec.decoder.depth=65"], " [codec.decoder] depth: input should be less than or equal to 64, got 65"),
    (["codec.decoder.head_dim=0"], " [codec.decoder] head_dim: input should be greater than or equal to 1, got 0"),
    (["codec.decoder.expansion=17"], " [codec.decoder] expansion: input should be less than or equal to 16, got 17"),
    (["codec.decoder.norm_eps=0"], " [codec.decoder] norm_eps: input should be greater than 0, got 0"),
    (["codec.quantizer.step=0"], " [codec.quantizer] step: input should be greater than 0, got 0"),
    (["codec.quantizer.step=.nan"], " [codec.quantizer] step: input should be a finite number, got nan"),
    (["training.batch=0"], " [training] batch: input should be greater than or equal to 1, got 0"),
    (["training.steps=-1"], " [training] steps: input should be greater than or equal to 0, got -1"),
    (["training.crop=[]"], " [training] crop: tuple should have at least 1 item after validation"),
    (["training.rate_weight=-1"], " [training] rate_weight: input should be greater than or equal to 0, got -1"),
    (["training.freeze_at=1.5"], " [training] freeze_at: input should be less than or equal to 1, got 1.5"),
    (["training.learning_rate=.inf"], " [training] learning_rate: input should be a finite number, got inf"),
    # what must fit together
    (["codec.levels=[1, 2]"], ": codec.levels: expected one number or one per axis (3), got [1, 2]"),
    (["codec.latent_channels=65"], ": codec.latent_channels: expected at most the hidden width 64, got 65"),
    (["training.crop=[48, 50]"], ": training.crop: expected multiples of the factors [4, 4, 4], got 50"),
    (["training.crop=[0]"], ": training.crop: expected multiples of the factors [4, 4, 4], got 0"),
    (
        ["codec.decoder.kind=linear", "codec.decoder.linear_path=false", "training.start=random"],
        " [codec] decoder: a linear decoder is its linear path; set linear_path to true",
    ),
]
NO_WARM_START = [
    (["codec.encoder.projection=monarch"], "codec.encoder.projection dense and codec.decoder.linear_path true"),
    (["codec.decoder.linear_path=false"], "codec.encoder.projection dense and codec.decoder.linear_path true"),
    (["codec.compand=true"], "codec.compand false and codec.quantizer.kind uniform"),
    (["codec.quantizer.kind=laplace"], "codec.compand false and codec.quantizer.kind uniform"),
]


@pytest.mark.parametrize(("overrides", "message"), RULES, ids=[rule[0][0] for rule in RULES])
def test_rules(small: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_recipe(small, overrides)
    assert str(caught.value).startswith(f"{small}{message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("overrides", "needs"), NO_WARM_START, ids=[rule[0][0] for rule in NO_WARM_START])
def test_a_warm_start_needs_a_linear_codec(small: Path, overrides: list[str], needs: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_recipe(small, overrides)
    expected = f"{small}: training.start: warm needs {needs}; change those, or set start to random"
    assert str(caught.value) == expected
    assert load_recipe(small, [*overrides, "training.start=random"]).training.start == "random"


def test_several_errors_are_counted(small: Path) -> None:
    with pytest.raises(SpecError, match=r"\(and 1 more\)$"):
        load_recipe(small, ["training.batch=0", "training.steps=-1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("- 1", "expected tables modality, codec and training, got list", id="list"),
        pytest.param("", "expected tables modality, codec and training, got NoneType", id="empty"),
        pytest.param("a: [", "expected YAML, got while parsing a flow node", id="broken"),
        pytest.param(
            "!!python/object/apply:os.getcwd []",
            "expected YAML, got the tag '!!python/object/apply:os.getcwd', which asks for more than plain data",
            id="python-tag",
        ),
        pytest.param(
            "name: !!python/name:os.getcwd", "expected YAML, got the tag '!!python/name:os.getcwd'", id="python-name"
        ),
    ],
)
def test_files_that_hold_no_recipe(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_table_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: x", encoding="utf-8")
    with pytest.raises(SpecError, match=r"bad\.yaml modality: field required \(and 1 more\)$"):
        load_recipe(path)


@pytest.mark.parametrize("name", ["nothing.yaml", "nothing.yml", "folder/nothing", "."])
def test_files_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError, match="expected a readable recipe file, got "):
        load_recipe(tmp_path / name)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "bytes.yaml"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(SpecError, match="expected a readable recipe file, got 'utf-8' codec can't decode"):
        load_recipe(path)


def test_a_name_that_is_not_shipped() -> None:
    expected = r"^recipe: expected a shipped recipe or a \.yaml file, got 'ct_f8c9'; did you mean ct_f8c8"
    with pytest.raises(UnknownNameError, match=expected):
        load_recipe("ct_f8c9")
    with pytest.raises(UnknownNameError, match=r"got 'zzz'; did you mean .*ct_smoke"):
        load_recipe("zzz")


def test_a_modality_that_is_not_installed() -> None:
    spec = ModalitySpec(name="ctt", axes=("x",), range=(0, 1))
    expected = r"^\[modality\] name: expected an installed modality, got 'ctt'; did you mean .*ct.*\?$"
    with pytest.raises(UnknownNameError, match=expected):
        build_modality(spec)


def test_plain_data_that_is_no_table() -> None:
    with pytest.raises(
        SpecError, match=r"^here: input should be a valid dictionary or instance of Recipe, got 'text'$"
    ):
        parse_recipe("text", "here")  # type: ignore[arg-type]


def test_a_key_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(TEXT_TWICE)
    with pytest.raises(SpecError, match="the key 'steps' twice in one table"):
        load_recipe(path)


TEXT_TWICE = """
name: twice
modality: {name: ct, axes: [x], range: [0, 1]}
codec: {latent_channels: 2}
training: {steps: 1, steps: 2}
"""


HOSTILE = [
    pytest.param("name: " + "1" * 4400, "which is no whole number of at most 1024 bits", id="digits"),
    pytest.param("name: 0x" + "f" * 300, "which is no whole number of at most 1024 bits", id="hexadecimal"),
    pytest.param("name: 1" + ":59" * 200, "which is no whole number of at most 1024 bits", id="sexagesimal"),
    pytest.param("name: !!int x", "'x', which is no whole number of at most 1024 bits", id="no-number"),
    pytest.param("name: !!float x", "a value that is not what its tag says: could not convert string", id="no-float"),
    pytest.param("name: !!bool x", "a value that is not what its tag says: 'x'", id="no-truth"),
    *(
        pytest.param(f"name: !!{tag} x", f"the tag '!!{tag}', which asks for more than plain data; remove it", id=tag)
        for tag in ("timestamp", "binary", "set", "omap", "pairs")
    ),
    pytest.param("a: {<<: [{x: 1}]}", "the tag '!!merge', which asks for more than plain data", id="merge"),
    pytest.param("[" * 5000, "maximum recursion depth exceeded", id="deep"),
    pytest.param("a: [" + "x," * 2**16 + "x]", "more than 65536 entries", id="many"),
    pytest.param(
        "a0: &a0 [x,x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1},*a{i - 1}]\n" for i in range(1, 40)),
        "expected at most 65536 entries, got more; aliases count each time they stand", id="aliases",
    ),
    pytest.param("a: &a [*a]", "expected at most 65536 entries, got more", id="itself"),
    pytest.param("? &a {*a : 1}\n: 1", "found unconstructable recursive node", id="its-own-key"),
    pytest.param("name: a\nname: b", "the key 'name' twice in one table", id="twice"),
    pytest.param('name: "\\ud800"', "expected text that UTF-8 can hold, got '\\ud800'; write it", id="surrogate"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), HOSTILE)
def test_yaml_that_is_hostile_is_one_short_line(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_plain(text, "x.yaml", "tables")
    said = str(caught.value)
    assert said.startswith("x.yaml: expected") and message in said and "\n" not in said and len(said) < 600


def test_dates_are_text_possible_or_not(small: Path) -> None:
    for date in ("2024-12-25", "2024-13-45"):
        assert load_recipe(small, [f"name={date}"]).name == date


def test_a_file_that_is_long_or_no_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    path.write_bytes(b"#" * (2**20 + 1))
    os.mkfifo(tmp_path / "pipe.yaml")
    for load in (load_recipe, load_protocol):
        for name, got in ((path, "more than 1048576 bytes"), (tmp_path / "pipe.yaml", "no regular file")):
            with pytest.raises(SpecError, match=rf"expected a readable (recipe|protocol) file, got {got}$"):
                load(str(name))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("name=0", " name: expected a text, got the number 0; quotes make it one, as in --set \"name='0'\""),
        ("modality.unit=no", " [modality] unit: expected a text, got the truth value False; quotes make it one"),
        ("modality.axes=[0]", " [modality.axes] 0: expected a text, got the number 0; quotes make it one"),
        ("training.seed=-1", " [training] seed: input should be greater than or equal to 0, got -1"),
        (f"training.seed={2**63}", f" [training] seed: input should be less than {2**63}, got {2**63}"),
        (f"training.steps=1{'0' * 300}", " [training] steps: input should be less than or equal to 1000000000000"),
        ('"\\e[31m"=1', " \"\\e[31m\": expected a known key, got '\"\\\\e[31m\"'"),
        ("name=[" + "x," * 2000 + "]", " name: input should be a valid string, got ['x', 'x', "),
    ],
)  # fmt: skip
def test_values_of_the_wrong_kind_are_told_with_what_to_write(small: Path, override: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_recipe(small, [override])
    said = str(caught.value)
    assert said.startswith(f"{small}{message}") and len(said) < 600 and said.isprintable()


def test_keys_that_move_the_cursor_do_not_reach_the_terminal() -> None:
    with pytest.raises(SpecError) as caught:
        parse_recipe({"\x1b[31m": 1}, "here")
    assert (
        str(caught.value).startswith("here \\x1b[31m: expected a known key, got ") and str(caught.value).isprintable()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("dtype: 0", "dtype: expected a text, got the number 0; quotes make it one, as in --set "
         "\"modality.options.dtype='0'\""),
        ("no_data: x", "no_data: expected a number or the word nan, got 'x'; change it in the recipe"),
        ("no_data: .nan", "no_data: expected a number or the word nan, got YAML's .nan; write nan"),
        ("spacing: 0", "spacing: expected a valid tuple, got 0; change it in the recipe"),
    ],
)  # fmt: skip
def test_options_have_one_way_out(options: str, message: str) -> None:
    spec = load_recipe("array_smoke", [f"modality.options={{{options}}}"]).modality
    with pytest.raises(SpecError) as caught:
        build_modality(spec)
    assert str(caught.value) == f"[modality.options] {message}"
