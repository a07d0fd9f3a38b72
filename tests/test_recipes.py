"""Recipes: every shipped one is sound, and what is refused is refused in words that say where and what."""

from operator import attrgetter
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from liveaction.errors import SpecError, UnknownNameError
from liveaction.recipe import dump_recipe, load_recipe, parse_recipe, recipe_names
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
    (["codec.latent_channels=null"], " [codec] latent_channels: input should be a valid integer, got None"),
    # names and choices
    (["name=a/b"], " name: string should match pattern '^[A-Za-z0-9_.-]+$', got 'a/b'"),
    (["codec.boundary=zero"], " [codec] boundary: input should be 'symmetric', 'periodic' or 'folded', got 'zero'"),
    (["codec.compute_dtype=float16"], " [codec] compute_dtype: input should be 'float32' or 'bfloat16', got 'float16'"),
    (["codec.encoder.kind=x"], " [codec.encoder] kind: input should be 'pointwise', 'paper' or 'linear', got 'x'"),
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
    (["modality.channels=0"], " [modality] channels: input should be greater than or equal to 1, got 0"),
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
    (["training.crop=[48, 50]"], ": training.crop: expected multiples of 2**levels [2, 2, 2], got 50"),
    (["training.crop=[0]"], ": training.crop: expected multiples of 2**levels [2, 2, 2], got 0"),
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
