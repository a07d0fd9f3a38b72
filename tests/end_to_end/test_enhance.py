"""``decompress --enhance``: painted over by a local pipeline, marked, and measured by nobody who did not ask for it."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from liveaction import enhancing, pipelines
from liveaction.cli.main import app
from liveaction.codec.codec import build_codec
from liveaction.codec.weights import save_model
from liveaction.enhancing import Enhancer, check_picture, check_settings
from liveaction.errors import FormatError, LiveactionError, MissingDependencyError, ShapeError, SpecError
from liveaction.evaluation.parts import DataFile
from liveaction.evaluation.plan import plan_protocol
from liveaction.learning.labels import LabelledItem
from liveaction.marking import COMPOSITE, is_marked, is_marked_file, marked
from liveaction.pipelines import check_pipeline
from liveaction.probing.inputs import Inputs
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal

TINY = {"rgb": ["codec.levels=2", "codec.latent_channels=7"], "grey": ["codec.levels=2", "codec.latent_channels=7"]}
KINDS = {"rgb": (23, 37, 3), "grey": (23, 37)}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """An untrained model, a picture and its stream, of colours and of grey."""
    folder, rng = tmp_path_factory.mktemp("work"), np.random.default_rng(0)
    for name, shape in KINDS.items():
        torch.manual_seed(0)
        recipe = load_recipe(f"{name}_smoke", TINY[name])
        save_model(build_codec(recipe).eval(), recipe, folder / f"model_{name}")
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / f"{name}.png")
        assert call("compress", folder / f"{name}.png", folder / f"{name}.lva", "-m", folder / f"model_{name}")[0] == 0
        assert call("decompress", folder / f"{name}.lva", folder / f"{name}_plain.png", "-m", folder / f"model_{name}")
    return folder


def call(*words):
    """Exit status, standard output, the message of an error."""
    done = CliRunner().invoke(app, [*map(str, words), *([] if words[0] == "evaluate" else ["--quiet"])])
    assert isinstance(done.exception, None | SystemExit | LiveactionError), done.exception
    return done.exit_code, done.stdout, " ".join(str(done.exception if done.exception else "").split())


def index(folder, **fields):
    """A folder of a pipeline whose index says ``fields``, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = {"_class_name": "StubPipeline", "vae": ["diffusers", "AutoencoderKL"]} | fields
    (folder / "model_index.json").write_text(json.dumps(fields))
    return folder


class StubPipeline:
    """Shows what a pipeline is given, and makes noise of it, as its generator says."""

    vae_scale_factor = 2
    calls: list[SimpleNamespace]

    def __call__(self, prompt=None, image=None, strength=0.8, num_inference_steps=50, generator=None, output_type=""):
        given = np.asarray(image)
        self.calls.append(SimpleNamespace(given=given, prompt=prompt, strength=strength, steps=num_inference_steps))
        noise = torch.rand(given.shape, generator=generator).numpy()
        return SimpleNamespace(
            images=((1 - strength) * given / 255 + strength * noise)[None], nsfw_content_detected=None
        )


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """A folder that is loaded as a :class:`StubPipeline`, whose calls are kept."""
    pipeline = StubPipeline()
    pipeline.calls = []
    monkeypatch.setattr(enhancing, "pipeline_class", lambda folder, name: StubPipeline)
    monkeypatch.setattr(enhancing, "load_pipeline", lambda kind, folder, device: pipeline)
    return SimpleNamespace(folder=index(tmp_path / "stub"), calls=pipeline.calls, pipeline=pipeline)


def texts(path):
    with Image.open(path) as image:
        return dict(image.text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_painted_over_and_marked(kind, work, stub, tmp_path):
    words = "decompress", work / f"{kind}.lva"
    more = "-m", work / f"model_{kind}", "--enhance", stub.folder
    code, said, _ = call(*words, tmp_path / "a.png", *more, "--prompt", "a hat", "--seed", 3)
    assert code == 0 and "a.png: synthesised, and marked so: decoded, then painted over by StubPipeline" in said
    plain, made = (np.asarray(Image.open(path)) for path in (work / f"{kind}_plain.png", tmp_path / "a.png"))
    assert plain.shape == made.shape == KINDS[kind] and plain.dtype == made.dtype and (plain != made).any()
    (seen,) = stub.calls
    assert (seen.prompt, seen.strength, seen.steps) == ("a hat", 0.2, 20)
    shown = plain if kind == "rgb" else np.repeat(plain[..., None], 3, -1)
    assert np.array_equal(seen.given, np.pad(shown, [(0, 9), (0, 11), (0, 0)], mode="edge"))  # to multiples of 16
    text = texts(tmp_path / "a.png")
    assert f"<Iptc4xmpExt:DigitalSourceType>{COMPOSITE}<" in text["XML:com.adobe.xmp"]
    digest = enhancing.file_digest(stub.folder / "model_index.json")
    for part in ("StubPipeline", digest, "strength 0.2", "steps 20", "seed 3", "prompt 'a hat'", COMPOSITE):
        assert part in text["Comment"]
    assert is_marked_file(tmp_path / "a.png") and not is_marked_file(work / f"{kind}_plain.png")


def test_one_seed_one_picture_and_json_says_what_was_done(work, stub, tmp_path):
    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        target = tmp_path / f"{name}.png"
        words = "-m", work / "model_rgb", "--enhance", stub.folder, "--strength", 0.5, "--seed", seed, "--json"
        code, said, _ = call("decompress", work / "rgb.lva", target, *words)
        told = json.loads(said)["synthesised"]
        assert code == 0 and (told["pipeline"], told["strength"], told["seed"]) == ("StubPipeline", 0.5, seed)
        made.append(target.read_bytes())
    assert made[0] == made[1] != made[2]


def test_a_region_of_a_stream_is_painted_over(work, stub, tmp_path):
    words = "-m", work / "model_rgb", "--enhance", stub.folder, "--region", "3:10,5:6"
    assert call("decompress", work / "rgb.lva", tmp_path / "a.png", *words)[0] == 0
    assert np.asarray(Image.open(tmp_path / "a.png")).shape == (7, 1, 3)


@pytest.mark.slow
def test_without_the_option_nothing_of_it_is_imported(work, tmp_path):
    code = (
        "import sys\nfrom liveaction.cli.main import app\ntry:\n    app(sys.argv[1:])\nfinally:\n"
        "    print('loaded:', *sorted({'diffusers', 'transformers', 'liveaction.enhancing'} & sys.modules.keys()))"
    )
    words = ["decompress", work / "rgb.lva", tmp_path / "a.png", "--model", work / "model_rgb", "--quiet"]
    done = subprocess.run([sys.executable, "-P", "-c", code, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1].split() == ["loaded:"], done.stderr
    assert (tmp_path / "a.png").read_bytes() == (work / "rgb_plain.png").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--enhance", "some/name"], "expected a local folder of a diffusers pipeline with model_index.json, got 'some/name'; nothing is downloaded"),  # noqa: E501
        (["--strength", "0.5"], "--strength: expected --enhance with it, got none"),
        (["--prompt", "a hat"], "--prompt: expected --enhance with it, got none"),
        (["--seed", "0"], "--seed: expected --enhance with it, got none"),
        (["--synthesised"], "--synthesised: expected --against with it, got none"),
        (["--enhance", "STUB", "--picture", "p.png"], "--picture: expected none with --enhance, got 'p.png'"),
        (["--enhance", "STUB", "--fill", "0"], "--fill: expected none with --enhance, got '0.0'"),
        (["--enhance", "STUB", "--strength", "0"], "--strength: expected more than 0 and at most 1, got 0.0"),
        (["--enhance", "STUB", "--strength", "0.04"], "--strength: expected a step or more of 20, got 0.04; take 0.05"),
        (["--enhance", "STUB", "--seed", "-1"], r"--seed: expected 0 to 2**63 - 1, got -1"),
        (["--enhance", "STUB", "--against", "rgb.png"], "--against: expected a decoded picture, got one of --enhance"),
    ],
)  # fmt: skip
def test_what_is_refused_before_any_work(words, message, work, stub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rgb.png").write_bytes((work / "rgb.png").read_bytes())
    words = [str(stub.folder) if word == "STUB" else word for word in words]
    code, _, said = call("decompress", work / "rgb.lva", "a.png", "-m", "no/model", *words)
    assert code == 1 and message in said and not Path("a.png").exists() and not stub.calls


def test_other_targets_folders_and_streams_of_many_are_refused(work, stub, tmp_path):
    more = "-m", work / "model_rgb", "--enhance", stub.folder
    said = call("decompress", work / "rgb.lva", tmp_path / "a.tif", *more)[2]
    assert "a.tif: expected a name ending in .png with --enhance, for its mark as synthesised, got 'a.tif'" in said
    assert "--enhance: expected one .lva file with it, got the folder" in call("decompress", work, tmp_path, *more)[2]
    said = call("decompress", work / "rgb.lva", tmp_path / "all", "--all", *more)[2]
    assert "--enhance: expected one item with it, got --all" in said
    inside = stub.folder / "model_index.png"
    assert "which lies in --enhance" in call("decompress", work / "rgb.lva", inside, *more)[2]
    assert not list(tmp_path.glob("*.tif")) and not inside.exists()


@pytest.mark.parametrize(
    ("values", "axes", "dtype", "bits"),
    [
        (np.zeros((3, 4, 5), np.uint16), ("y", "x"), "uint16", 0),
        (np.zeros((4, 4, 5), np.uint8), ("y", "x"), "uint8", 0),
        (np.zeros((1, 4, 5, 6), np.uint8), ("x", "y", "z"), "uint8", 0),
        (np.zeros((1, 9), np.uint8), ("t",), "uint8", 0),
        (np.zeros((3, 4, 5), np.uint8), ("y", "x"), "uint8", 7),
        (np.zeros((1, 4, 5), np.float32), ("y", "x"), "uint8", 0),
    ],
)
def test_what_is_no_picture_of_8_bits_is_refused(values, axes, dtype, bits):
    signal = Signal(values, axes, "", (1.0,) * len(axes), dtype, {}, bits)
    with pytest.raises(ShapeError, match=r"--enhance: expected a picture, uint8 .* got .* leave it out"):
        check_picture(signal)


def test_a_stream_of_16_bits_is_refused_before_it_is_decoded(work, stub, tmp_path):
    modality = build_modality(load_recipe("rgb_smoke").modality)
    values = np.arange(3 * 8 * 8, dtype=np.uint16).reshape(3, 8, 8)
    modality.write(Signal(values, ("y", "x"), "", (1.0, 1.0), "uint16"), tmp_path / "deep.png")
    assert call("compress", tmp_path / "deep.png", tmp_path / "deep.lva", "-m", work / "model_rgb")[0] == 0
    said = call("decompress", tmp_path / "deep.lva", tmp_path / "a.png", "-m", "no/model", "--enhance", stub.folder)[2]
    assert "--enhance: expected a picture, uint8 [3, Y, X] or [1, Y, X], got uint16 (3, 8, 8)" in said


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"_class_name": ["my_pipeline", "Mine"]}, "expected the name of a class of diffusers in _class_name"),
        ({"_class_name": "os.system"}, "expected the name of a class of diffusers in _class_name, got 'os.system'"),
        ({"unet": ["os.path", "join"]}, "expected .library, class. for 'unet', got .* code of a folder is not run"),
        ({"unet": ["os", "system"]}, "expected 'unet' of diffusers or transformers, got 'os'; no other is imported"),
        ({"unet": [None, "system"]}, "expected .library, class. for 'unet'"),
        ({"unet": ["diffusers"]}, "expected .library, class. for 'unet'"),
    ],
)
def test_an_index_that_names_code_is_refused(fields, message, tmp_path):
    with pytest.raises(FormatError, match=message):
        check_pipeline(index(tmp_path / "p", **fields))


def test_a_folder_with_code_pickles_or_no_index_is_refused(tmp_path):
    folder = index(tmp_path / "p")
    (folder / "unet").mkdir()
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(FormatError, match="unet: expected safetensors, got other weights alone"):
        check_pipeline(folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    assert check_pipeline(folder) == "StubPipeline"
    (folder / "unet" / "config.json").write_text('{"auto_map": {"AutoModel": "somebody/hat--model.Model"}}')
    with pytest.raises(
        FormatError, match=r"expected weights and settings alone, got code, .*config.json.; it is not run"
    ):
        check_pipeline(folder)
    (folder / "unet" / "config.json").unlink()
    (folder / "unet" / "diffusers.py").write_text("raise SystemExit")
    with pytest.raises(
        FormatError, match=r"expected weights and settings alone, got code, .*diffusers.py.; it is not run"
    ):
        check_pipeline(folder)
    (folder / "model_index.json").write_text("{")
    with pytest.raises(FormatError, match="expected an index of a pipeline, got"):
        check_pipeline(folder)
    with pytest.raises(SpecError, match=r"expected a local folder .* got 'runwayml/stable'; nothing is downloaded"):
        check_pipeline(Path("runwayml/stable"))


def test_a_package_that_is_not_there_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(pipelines, "find_spec", lambda name: None if name == "transformers" else object())
    with pytest.raises(MissingDependencyError, match=r"got no transformers; pip install '.\[enhance\]'"):
        Enhancer(index(tmp_path / "p"))


def test_what_a_pipeline_gives_is_checked(stub, monkeypatch):
    picture = Signal(np.zeros((3, 5, 6), np.uint8), ("y", "x"), "", (1.0, 1.0), "uint8")
    gives = {
        "got a blank one from the pipeline's safety checker": {"nsfw_content_detected": [True]},
        "expected finite values .1, 16, 16, 3. of the pipeline, got .1, 2, 2, 3.": {"images": np.zeros((1, 2, 2, 3))},
        "expected finite values": {"images": np.full((1, 16, 16, 3), np.nan)},
    }
    for message, given in gives.items():
        made = SimpleNamespace(**{"images": np.zeros((1, 16, 16, 3)), **given})
        monkeypatch.setattr(
            StubPipeline, "__call__", lambda self, image=None, strength=0, output_type="", made=made: made
        )
        with pytest.raises(FormatError, match=message):
            Enhancer(stub.folder)(picture)

    def fails(self, image=None, strength=0, output_type=""):
        raise ZeroDivisionError("of\nits own")

    monkeypatch.setattr(StubPipeline, "__call__", fails)
    with pytest.raises(FormatError, match="expected a pipeline that runs, got ZeroDivisionError: of its own"):
        Enhancer(stub.folder)(picture)
    with pytest.raises(SpecError, match="--prompt: expected none, as StubPipeline takes none, got 'a hat'"):
        Enhancer(stub.folder, prompt="a hat")
    with pytest.raises(SpecError, match="--seed: expected 0 to"):
        check_settings(0.5, 20, 2**63)


def test_a_mark_joins_what_the_source_said():
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" Iptc4xmpExt:DigitalSourceType="http://x/digitalCapture" dc:title="hat"/>'
        "<Iptc4xmpExt:DigitalSourceType>http://x/digitalCapture</Iptc4xmpExt:DigitalSourceType>"
        "</rdf:RDF></x:xmpmeta>"
    )
    before = {"icc": "x", "text": {"XML:com.adobe.xmp": xmp, "Comment": "mine", "Author": "me"}}
    after = marked(before, "by me")
    text = after["text"]
    assert after["icc"] == "x" and text["Author"] == "me" and text["Comment"].startswith("mine\nSynthesised (http")
    assert text["Comment"].endswith("): by me") and before["text"]["Comment"] == "mine"
    packet = text["XML:com.adobe.xmp"]
    assert "digitalCapture" not in packet and 'dc:title="hat"' in packet and packet.count("DigitalSourceType>") == 2
    assert is_marked(after) and not is_marked(before) and not is_marked({"text": "no table"})


@pytest.fixture
def synthesised(work, stub, tmp_path):
    """A marked picture of the size of the plain one."""
    words = "-m", work / "model_rgb", "--enhance", stub.folder
    assert call("decompress", work / "rgb.lva", tmp_path / "made.png", *words)[0] == 0
    return tmp_path / "made.png"


def test_a_marked_picture_is_measured_only_where_that_is_asked_for(work, synthesised, tmp_path):
    stream, model = work / "rgb.lva", work / "model_rgb"
    refused = "--against: expected a picture as it was captured, got one marked as synthesised"
    decompress = "decompress", stream, tmp_path / "b.png", "-m", model, "--against", synthesised
    verify = "verify", stream, "-m", model, "--against", synthesised
    for words in (decompress, verify):
        code, _, said = call(*words)
        assert code == 1 and refused in said and said.endswith("or add --synthesised")
        code, said, _ = call(*words, "--synthesised")
        assert code == 0 and "PSNR" in said
    assert "--synthesised: expected --against" in call("verify", stream, "--synthesised")[2]


def test_measures_of_an_enhanced_picture_are_given_where_asked_for(work, stub, tmp_path):
    words = "-m", work / "model_rgb", "--enhance", stub.folder, "--against", work / "rgb.png", "--synthesised"
    code, said, _ = call("decompress", work / "rgb.lva", tmp_path / "a.png", *words)
    assert code == 0 and "PSNR" in said and "synthesised" in said


@pytest.mark.filterwarnings("ignore:.*the text 'Comment'")  # of TIFF
def test_a_marked_picture_is_compressed_and_its_mark_travels(work, synthesised, tmp_path):
    model = "-m", work / "model_rgb"
    for more in ([], ["--strip-metadata"]):
        assert call("compress", synthesised, tmp_path / "made.lva", *model, *more, "-f")[0] == 0
        for target in ("back.png", "back.tif"):
            assert call("decompress", tmp_path / "made.lva", tmp_path / target, *model, "-f")[0] == 0
            assert is_marked_file(tmp_path / target)
        refused = "--against: expected a stream of a picture as it was captured, got one marked as synthesised"
        words = "-m", work / "model_rgb", "--against", work / "rgb.png"
        assert refused in call("decompress", tmp_path / "made.lva", tmp_path / "c.png", *words)[2]
        assert refused in call("verify", tmp_path / "made.lva", *words)[2]


@pytest.mark.slow
def test_evaluations_leave_marked_pictures_out(work, synthesised, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for path in (work / "rgb.png", synthesised):
        (data / path.name).write_bytes(path.read_bytes())
    words = "evaluate", work / "model_rgb", "--data", data, "--out", tmp_path / "report", "--repeats", 1
    code, _, said = call(*words)
    assert code == 1 and "--data: expected a picture as it was captured, got one marked as synthesised" in said
    assert "made.png" in said and not (tmp_path / "report").exists()
    code, said, _ = call(*words, "--factors", "1", "--synthesised", "--json", "--quiet")
    assert code == 0 and json.loads(said)["items"] == 2


def test_protocols_and_studies_leave_marked_pictures_out(synthesised, tmp_path):
    protocol = SimpleNamespace(measure="psnr_normalised", baselines={}, coded=[DataFile(path="made.png")])
    with pytest.raises(SpecError, match=r"--data: expected a picture as it was captured, got one marked .*made.png"):
        plan_protocol(protocol, tmp_path, tmp_path / "report", settings=None)
    items = [LabelledItem(name="a", path=tmp_path / "a.png", label=str(synthesised))]
    study = SimpleNamespace(items=items, protocol=SimpleNamespace(target="rgb", items=SimpleNamespace(fit={})))
    with pytest.raises(SpecError, match=r"target: expected a picture as it was captured, got one marked .*made.png"):
        Inputs.target(study, None)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A random pipeline of diffusers, image to image, and one from text, as their ``save_pretrained`` leave them."""
    reason = "the extra enhance is not installed"
    diffusers = pytest.importorskip("diffusers", reason=reason)
    transformers = pytest.importorskip("transformers", reason=reason)
    folder = tmp_path_factory.mktemp("pipelines")
    torch.manual_seed(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = folder / "vocabulary"
    vocabulary.mkdir()
    (vocabulary / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (vocabulary / "merges.txt").write_text("#version: 0.2\n")
    text = transformers.CLIPTextConfig(
        bos_token_id=0, eos_token_id=1, pad_token_id=1, hidden_size=8, intermediate_size=16, num_attention_heads=2,
        num_hidden_layers=1, vocab_size=len(words), max_position_embeddings=8, projection_dim=8,
    )  # fmt: skip
    parts = {
        "vae": diffusers.AutoencoderKL(
            block_out_channels=[4, 8], down_block_types=["DownEncoderBlock2D"] * 2,
            up_block_types=["UpDecoderBlock2D"] * 2, latent_channels=4, norm_num_groups=2,
        ),
        "unet": diffusers.UNet2DConditionModel(
            block_out_channels=(4, 8), layers_per_block=1, sample_size=8, in_channels=4, out_channels=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), norm_num_groups=2, attention_head_dim=2,
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=8,
        ),
        "text_encoder": transformers.CLIPTextModel(text),
        "tokenizer": transformers.CLIPTokenizer.from_pretrained(vocabulary, model_max_length=8),
        "scheduler": diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
        "safety_checker": None, "feature_extractor": None, "requires_safety_checker": False,
    }  # fmt: skip
    for name, kind in (
        ("image", diffusers.StableDiffusionImg2ImgPipeline),
        ("text", diffusers.StableDiffusionPipeline),
    ):
        kind(**parts).save_pretrained(folder / name, safe_serialization=True)
    return folder


@pytest.fixture
def no_network(monkeypatch):
    """Every socket that would be opened fails, loopback as well, and hub libraries are not told to stay offline."""
    import socket

    import huggingface_hub.constants as constants

    def refuse(*args, **rest):
        raise RuntimeError("the network is asked")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_pipeline_of_diffusers_paints_over(kind, tiny, work, no_network, tmp_path):
    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        target = tmp_path / f"{name}.png"
        words = "-m", work / f"model_{kind}", "--enhance", tiny / "image", "--strength", 0.5, "--seed", seed
        code, said, error = call("decompress", work / f"{kind}.lva", target, *words)
        assert code == 0 and "painted over by StableDiffusionImg2ImgPipeline" in said, error
        made.append(np.asarray(Image.open(target)))
        assert "StableDiffusionImg2ImgPipeline" in texts(target)["Comment"] and is_marked_file(target)
    plain = np.asarray(Image.open(work / f"{kind}_plain.png"))
    assert all(one.shape == KINDS[kind] and one.dtype == np.uint8 and (one != plain).any() for one in made)
    assert np.array_equal(made[0], made[1]) and (made[0] != made[2]).any()


@pytest.mark.slow
def test_the_steps_of_a_pipeline_are_told(tiny):
    told = []
    picture = Signal(np.full((3, 7, 9), 90, np.uint8), ("y", "x"), "", (1.0, 1.0), "uint8")
    Enhancer(tiny / "image", strength=0.5, steps=4)(picture, told.append)
    assert told == ["painting over, step 1 of 2", "painting over, step 2 of 2"]


@pytest.mark.slow
def test_a_pipeline_of_another_kind_or_a_broken_one_is_refused(tiny, tmp_path):
    with pytest.raises(
        SpecError, match=r"expected an image-to-image pipeline of diffusers, .* StableDiffusionPipeline"
    ):
        Enhancer(tiny / "text")
    for name in ("AutoencoderKL", "NoSuchPipeline", "StableDiffusionInpaintPipeline"):
        with pytest.raises(SpecError, match=f"expected an image-to-image pipeline .* got {name}"):
            Enhancer(index(tmp_path / "p", _class_name=name))
    bare = index(tmp_path / "bare", **json.loads((tiny / "image" / "model_index.json").read_text()))
    with pytest.raises(FormatError, match="bare: expected a pipeline that loads, got") as raised:
        Enhancer(bare)
    assert "\n" not in str(raised.value)
