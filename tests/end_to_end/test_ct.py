"""From scans to a model to a stream and back, through the command line; and every refusal on the way."""

import json
import os
import shutil
import subprocess
import sys

import nibabel
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.codec.chunks import unpack_coded
from liveaction.codec.grid import shape_of
from liveaction.codec.model import load
from liveaction.codec.stream import compress, decompress, open_reader
from liveaction.coding.container import ContainerReader
from liveaction.coding.entropy import ideal_bits
from liveaction.coding.fast import decode_chunk
from liveaction.errors import FormatError, IntegrityError, LiveactionError, SpecError, UnknownNameError
from liveaction.metrics import psnr
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.training.run import train


@pytest.fixture(scope="module")
def work(tmp_path_factory, small_phantoms):
    """Two models (KLTs of two sizes) and a phantom on disk."""
    folder = tmp_path_factory.mktemp("work")
    before = os.environ.get("LIVEACTION_CACHE")
    os.environ["LIVEACTION_CACHE"] = str(folder / "cache")
    klt = load_recipe("ct_klt", ["training.warm_crops=64", "training.crop=[32]"])
    train(klt, ["synthetic:2"], folder / "klt")
    train(klt.model_copy(update={"name": "other"}), ["synthetic:1:5"], folder / "other")
    modality = build_modality(klt.modality)
    modality.write(modality.synthetic(99, (160, 160, 96)), folder / "scan.nii.gz")
    yield folder
    os.environ.pop("LIVEACTION_CACHE")
    if before:
        os.environ["LIVEACTION_CACHE"] = before


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def refused(kind, words, *arguments):
    result = invoke(*arguments)
    assert isinstance(result.exception, kind), result.exception or result.output
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_scan_comes_back_with_its_geometry_and_close(work, tmp_path):
    stream, back, picture = tmp_path / "a.lva", tmp_path / "back.nii.gz", tmp_path / "p.png"
    there = invoke("compress", work / "scan.nii.gz", stream, "--model", work / "klt", "--json", "--quiet")
    assert there.exit_code == 0, there.exception
    report = json.loads(there.stdout)
    source = nibabel.load(work / "scan.nii.gz")
    assert report["bytes"] == stream.stat().st_size
    assert report["ratio"] == pytest.approx(np.prod(source.shape) * 2 / stream.stat().st_size)
    home = invoke("decompress", stream, back, "--model", work / "klt", "--against", work / "scan.nii.gz",
                  "--picture", picture, "--json", "--quiet")  # fmt: skip
    assert home.exit_code == 0, home.exception
    decoded = nibabel.load(back)
    assert np.array_equal(decoded.affine, source.affine)
    assert decoded.get_data_dtype() == source.get_data_dtype() and decoded.shape == source.shape
    report = json.loads(home.stdout)
    error = np.asarray(decoded.dataobj, dtype=float) - np.asarray(source.dataobj, dtype=float)
    assert report["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert report["max_error"] == np.abs(error).max()
    assert report["psnr_normalised"] > 38 and report["ssim"] > 0.9
    assert picture.read_bytes()[:4] == b"\x89PNG" and picture.stat().st_size > 100_000


def test_text_output_says_the_same(work, tmp_path):
    stream, back = tmp_path / "a.lva", tmp_path / "back.nii"
    said = invoke("compress", work / "scan.nii.gz", stream, "--model", work / "klt").stdout
    assert ":1 of int16" in said and "bits per element" in said
    said = invoke("decompress", stream, back, "--model", work / "klt", "--against", work / "scan.nii.gz").stdout
    assert "PSNR" in said and "peak to peak 2" in said and "HU" in said
    said = invoke("info", stream).stdout
    assert "native_dtype       int16" in said and "ratio" in said
    fields = json.loads(invoke("info", stream, "--json").stdout)
    assert fields["shape"] == [1, 160, 160, 96] and fields["recipe"] == "ct_klt"


def test_one_model_gives_many_rates(work):
    model = load(work / "klt")
    signal = model.modality.read(work / "scan.nii.gz")
    x = torch.from_numpy(signal.values.astype(np.float32))
    sizes, qualities = [], []
    for step in (0.8, 0.2, 0.05):
        data, _ = compress(signal, model, step=step)
        back, _ = decompress(data, model)
        sizes.append(len(data))
        qualities.append(psnr(x, torch.from_numpy(back.values.astype(np.float32)), 4095))
    assert sizes == sorted(sizes) and qualities == sorted(qualities)
    assert sizes[2] > 3 * sizes[0] and qualities[2] > qualities[0] + 4
    fine = invoke("compress", work / "scan.nii.gz", work / "q7.lva", "-m", work / "klt", "--quality", 7, "--json", "-q")
    assert json.loads(fine.stdout)["step"] == pytest.approx(0.1 * 0.125)


def test_a_file_is_within_2_percent_of_what_its_tables_promise(work, tmp_path):
    stream = tmp_path / "a.lva"
    invoke("compress", work / "scan.nii.gz", stream, "-m", work / "klt", "--quality", 6, "--coder", "fast")
    model = load(work / "klt")
    with open_reader(stream, model) as reader:
        chunks = [reader.container.read(number) for number in range(reader.layout.chunks)]
        shapes = [(model.codec.latents, *shape_of(reader.layout.chunk_box(number))) for number in range(len(chunks))]
    tables = model.codec.tables
    found = [decode_chunk(unpack_coded(d, "x"), [shape], tables, "x") for d, shape in zip(chunks, shapes, strict=True)]
    ideal = sum(ideal_bits(symbols, tables) for symbols in found)
    assert stream.stat().st_size > 100_000
    # header, index and checksums included; a state of 24 bits or more rounds a symbol by some 2**-11 of a bit
    assert 0.999 * ideal < 8 * stream.stat().st_size < 1.02 * ideal


def test_products_in_16_bits_cost_little_quality(work):
    scan, values = work / "scan.nii.gz", {}
    for dtype in ("float32", "bfloat16"):
        shared = ("-m", work / "klt", "--dtype", dtype, "--json", "-q")
        invoke("compress", scan, work / f"{dtype}.lva", *shared)
        said = invoke("decompress", work / f"{dtype}.lva", work / f"{dtype}.nii", "--against", scan, *shared)
        values[dtype] = json.loads(said.stdout)["psnr_normalised"], (work / f"{dtype}.nii").read_bytes()
    assert values["float32"][1] != values["bfloat16"][1]
    assert abs(values["float32"][0] - values["bfloat16"][0]) < 0.2
    words = "--dtype: expected float32 or bfloat16, got 'float16'"
    refused(SpecError, words, "compress", scan, work / "x.lva", "-m", work / "klt", "--dtype", "float16", "-q")


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 9), (8, 8, 8), (17, 33, 5)])
@pytest.mark.parametrize("kind", ["constant", "noise"])
def test_tiny_odd_and_constant_volumes(work, tmp_path, shape, kind):
    model = load(work / "klt")
    modality = model.modality
    rng = np.random.default_rng(0)
    values = np.full(shape, -321, np.int16) if kind == "constant" else rng.integers(-50, 50, shape).astype(np.int16)
    nibabel.Nifti1Image(values, np.diag([2.0, 2, 3, 1])).to_filename(tmp_path / "v.nii")
    signal = modality.read(tmp_path / "v.nii")
    for fast in (True, False):  # who weighs costs errs further here and there
        data, _ = compress(signal, model, fast=fast)
        back, _ = decompress(data, model)
        assert back.values.shape == signal.values.shape and back.values.dtype == signal.values.dtype
        most = (60 if fast else 120) if kind == "constant" else 200
        assert np.abs(back.values.astype(int) - signal.values).max() < most
    modality.write(back, tmp_path / "w.nii")
    assert np.array_equal(nibabel.load(tmp_path / "w.nii").affine, np.diag([2.0, 2, 3, 1]))


def test_a_ct_with_infinity_an_unreadable_file_and_an_empty_folder_are_refused(work, tmp_path):
    values = np.zeros((9, 9, 9), np.float32)
    values[1, 2, 3] = np.inf
    nibabel.Nifti1Image(values, np.eye(4)).to_filename(tmp_path / "inf.nii.gz")
    (tmp_path / "text.nii").write_text("hello")
    (tmp_path / "empty").mkdir()
    model = ("--model", work / "klt")
    refused(FormatError, "1 NaN or infinite", "compress", tmp_path / "inf.nii.gz", tmp_path / "a.lva", *model)
    refused(FormatError, "text.nii", "compress", tmp_path / "text.nii", tmp_path / "a.lva", *model)
    refused(FormatError, "empty", "train", "ct_klt", "--data", tmp_path / "empty", "--out", tmp_path / "run")
    assert not (tmp_path / "a.lva").exists() and not list(tmp_path.glob("*.part"))
    assert not (tmp_path / "run" / "config.json").exists()


def test_other_weights_are_refused(work, tmp_path):
    invoke("compress", work / "scan.nii.gz", tmp_path / "a.lva", "--model", work / "klt")
    command = ("decompress", tmp_path / "a.lva", tmp_path / "b.nii.gz", "--model", work / "other")
    refused(IntegrityError, "pass the model directory that compressed it", *command)
    assert not (tmp_path / "b.nii.gz").exists()


def test_damaged_and_truncated_streams_are_refused(work, tmp_path):
    model = load(work / "klt")
    signal = model.modality.read(work / "scan.nii.gz")
    data, _ = compress(signal, model, step=1.6)
    rng = np.random.default_rng(0)
    for cut in [0, 7, 8, 29, 30, 500, len(data) // 2, len(data) - 1, *rng.integers(0, len(data), 20)]:
        with pytest.raises(FormatError):
            decompress(data[:cut], model)
    for position in [*range(40), *rng.integers(0, len(data), 40)]:
        broken = bytearray(data)
        broken[position] ^= 1 << int(rng.integers(0, 8))
        with pytest.raises(FormatError):
            decompress(bytes(broken), model)
    with pytest.raises(FormatError, match="something was appended"):
        decompress(data + b"x", model)
    (tmp_path / "cut.lva").write_bytes(data[:-5])
    command = ("decompress", tmp_path / "cut.lva", tmp_path / "b.nii.gz", "--model", work / "klt")
    refused(FormatError, "the file is cut short", *command)
    refused(FormatError, "the file is cut short", "info", tmp_path / "cut.lva")


def test_a_region_is_a_volume_in_its_place(work, tmp_path):
    stream, whole, part = tmp_path / "a.lva", tmp_path / "whole.nii", tmp_path / "part.nii"
    model = ("-m", work / "klt", "-q")
    invoke("compress", work / "scan.nii.gz", stream, *model)
    invoke("decompress", stream, whole, *model)
    said = invoke("decompress", stream, part, *model, "--region", "20:100,:,-30:-2", "--against", work / "scan.nii.gz",
                  "--json")  # fmt: skip
    assert said.exit_code == 0, said.exception
    whole, part = nibabel.load(whole), nibabel.load(part)
    assert np.array_equal(np.asarray(part.dataobj), np.asarray(whole.dataobj)[20:100, :, 66:94])
    assert np.allclose(part.affine @ [0, 0, 0, 1], whole.affine @ [20, 0, 66, 1])
    original = np.asarray(nibabel.load(work / "scan.nii.gz").dataobj, float)[20:100, :, 66:94]
    assert json.loads(said.stdout)["max_error"] == np.abs(original - np.asarray(part.dataobj)).max()
    for region in ("20:100", "1:2,3:4,5:5", "a:b,:,:", "1:2:3,:,:", "0,0,0"):
        refused(SpecError, "--region: expected a range", "decompress", stream, tmp_path / "no.nii", *model,
                "--region", region)  # fmt: skip


def test_a_damaged_chunk_is_named_and_the_rest_comes_back(work, tmp_path):
    stream, good, back = tmp_path / "a.lva", tmp_path / "good.nii", tmp_path / "back.nii"
    invoke("compress", work / "scan.nii.gz", stream, "-m", work / "klt")
    invoke("decompress", stream, good, "-m", work / "klt")
    assert "all whole; not decoded" in invoke("verify", stream).stdout
    said = invoke("verify", stream, "-m", work / "klt", "--against", work / "scan.nii.gz")
    assert said.exit_code == 0 and "decodes with this model" in said.stdout and "PSNR" in said.stdout
    with stream.open("rb") as file:
        container = ContainerReader(file, "x")
        chunks, entry = container.chunks, container.entries[0]
    data = bytearray(stream.read_bytes())
    data[entry.offset + entry.length // 2] ^= 4
    stream.write_bytes(data)
    assert chunks > 1
    said = invoke("verify", stream)
    assert said.exit_code == 1 and "1 damaged" in said.stdout
    assert "chunk 0 is damaged, samples x 0:128, y 0:128, z 0:96" in said.stderr
    report = json.loads(invoke("verify", stream, "-m", work / "klt", "--json", "-q").stdout)
    assert report["damaged"][0]["samples"] == {"x": [0, 128], "y": [0, 128], "z": [0, 96]}
    refused(IntegrityError, "(chunk 0 holds x 0:128, y 0:128, z 0:96; --fill VALUE decodes the rest)", "decompress",
            stream, back, "-m", work / "klt")  # fmt: skip
    assert not back.exists()
    said = invoke("decompress", stream, back, "-m", work / "klt", "--fill", "-2000")
    assert said.exit_code == 3 and "filled with -2000" in said.stderr
    good, back = (np.asarray(nibabel.load(path).dataobj).astype(float) for path in (good, back))
    assert (back[:128, :128, :96] == -2000).all() and np.abs(back - good)[157:].max() == 0  # wavelets reach 28
    # what is whole elsewhere is read as if nothing had happened
    part = tmp_path / "part.nii"
    said = invoke("decompress", stream, part, "-m", work / "klt", "--region", "150:160,150:160,:", "--fill", "0")
    assert said.exit_code == (3 if "filled" in said.stderr else 0)
    refused(UnknownNameError, "expected a known model of weights", "verify", stream, "--against", work / "scan.nii.gz")


def test_freezing_anew_changes_the_tables_alone(work, tmp_path):
    shutil.copytree(work / "klt", tmp_path / "model")
    stream = tmp_path / "a.lva"
    invoke("compress", work / "scan.nii.gz", stream, "-m", tmp_path / "model")
    before = load(tmp_path / "model")
    assert invoke("freeze", tmp_path / "model", "--data", "synthetic:1:5", "-q").exit_code == 0
    after = load(tmp_path / "model")
    assert after.digest == before.digest and after.codec.tables[0].digest != before.codec.tables[0].digest
    refused(IntegrityError, "pass the model directory as it was before liveaction freeze", "decompress", stream,
            tmp_path / "b.nii", "-m", tmp_path / "model")  # fmt: skip
    (tmp_path / "model" / "entropy.safetensors").unlink()
    refused(FormatError, "liveaction freeze", "compress", work / "scan.nii.gz", tmp_path / "c.lva", "-m",
            tmp_path / "model")  # fmt: skip
    assert invoke("freeze", tmp_path / "model", "--data", "synthetic:1:5", "-q").exit_code == 0
    assert load(tmp_path / "model").codec.tables[0].digest == after.codec.tables[0].digest


def test_a_model_directory_is_checked(work, tmp_path):
    refused(FormatError, "expected a model directory", "compress", work / "scan.nii.gz", tmp_path / "a.lva",
            "--model", tmp_path)  # fmt: skip
    shutil.copytree(work / "klt", tmp_path / "copy")
    weights = tmp_path / "copy" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(IntegrityError, match="the file was changed"):
        load(tmp_path / "copy")
    weights.write_bytes(content[:100])
    with pytest.raises(FormatError, match="expected the weights of recipe"):
        load(tmp_path / "copy")
    config = json.loads((tmp_path / "copy" / "config.json").read_text())
    (tmp_path / "copy" / "config.json").write_text(json.dumps(config | {"format": 9}))
    with pytest.raises(FormatError, match="expected model format 1, got 9"):
        load(tmp_path / "copy")


def test_outputs_are_not_overwritten_unasked(work, tmp_path):
    (tmp_path / "a.lva").write_text("mine")
    command = ("compress", work / "scan.nii.gz", tmp_path / "a.lva", "--model", work / "klt")
    refused(SpecError, "add --force", *command)
    assert (tmp_path / "a.lva").read_text() == "mine"
    assert invoke(*command, "--force").exit_code == 0
    refused(SpecError, "expected an existing folder", *command[:2], tmp_path / "no" / "a.lva", *command[3:])
    refused(SpecError, "expected one of them, got both", *command, "--force", "--step", 1, "--quality", 3)
    refused(SpecError, "--step: expected a positive", *command, "--force", "--step", 0)
    refused(SpecError, "--device: expected auto, cpu, cuda or cuda:N", *command, "--force", "--device", "tpu")


def test_an_error_is_one_line_and_exit_1_a_usage_error_exit_2():
    done = subprocess.run([sys.executable, "-m", "liveaction", "check", "ct_f8c9"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("liveaction: recipe: expected a shipped recipe") and "ct_f8c8" in done.stderr
    done = subprocess.run([sys.executable, "-m", "liveaction", "compress"], capture_output=True, text=True)
    assert done.returncode == 2
    done = subprocess.run(
        [sys.executable, "-m", "liveaction", "--traceback", "check", "ct_f8c9"], capture_output=True, text=True
    )
    assert done.returncode == 1 and "Traceback" in done.stderr


def test_recipes_check_and_doctor():
    names = [row["name"] for row in json.loads(invoke("recipes", "--json").stdout)]
    assert {"ct_f8c8", "ct_f8c64", "ct_light", "ct_smoke", "ct_klt", "paper_ct_f8c8"} <= set(names)
    assert "as published" in invoke("recipes").stdout
    said = invoke("check", "ct_f8c8", "--shape", "512,512,300").stdout
    assert "8 x 64 x 64 x 38 tokens" in said and "206,856" in said
    refused(SpecError, "expected extents such as", "check", "ct_f8c8", "--shape", "a,b")
    refused(SpecError, "expected 3 positive extents", "check", "ct_f8c8", "--shape", "8,8")
    refused(LiveactionError, "expected a known key", "check", "ct_f8c8", "--set", "codec.level=3")
    said = invoke("doctor")
    assert said.exit_code == 0 and "codec runs" in said.stdout


@pytest.mark.slow
def test_real_ct_both_ways(data_dir, work, tmp_path):
    """A NIfTI scan and a DICOM series of scanners that the phantoms know nothing of."""
    for name, bound in (("totalsegmentator_example_abdomen_3mm.nii.gz", 33), ("lung_dx_A0001_dicom", 35)):
        stream, back = tmp_path / "a.lva", tmp_path / "b.nii.gz"
        source = data_dir / "ct" / name
        assert invoke("compress", source, stream, "-m", work / "klt", "--quality", 6, "-f").exit_code == 0
        home = invoke("decompress", stream, back, "-m", work / "klt", "--against", source, "-f", "--json", "-q")
        assert home.exit_code == 0, home.exception
        assert json.loads(home.stdout)["psnr_normalised"] > bound
