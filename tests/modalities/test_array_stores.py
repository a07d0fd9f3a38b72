"""HDF5 and Zarr say truly what they hold: what is not stored, what lies elsewhere, what a written store still lists."""

import json
import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.modalities.array.modality import Array
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

RAW = np.random.default_rng(0).normal(0, 9, (6, 4, 5)).astype(np.float32)


def make(**options: Any) -> Array:
    return Array(ModalitySpec(name="array", axes=("z", "y", "x"), channels=1, range=(-90, 90), options=options))


def again(signal: Signal) -> Signal:
    """The signal with metadata that went through JSON, as in a stream."""
    return replace(signal, metadata=json.loads(json.dumps(signal.metadata, allow_nan=False)))


def region(modality: Array, signal: Signal, *box: tuple[int, int]) -> Signal:
    part = signal.crop(*(slice(*ends) for ends in box))
    return modality.cropped(part, box, signal.shape)


def virtual(path: Path, *sources: tuple[str, str]) -> Path:
    """A virtual dataset ``data`` of the whole of each source, one behind the other."""
    layout = h5py.VirtualLayout((6 * len(sources), 4, 5), "f4")
    for n, source in enumerate(sources):
        layout[6 * n : 6 * n + 6] = h5py.VirtualSource(*source, shape=(6, 4, 5))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("data", layout, fillvalue=-1)
    return path


def plain(path: Path, key: str = "a") -> Path:
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        file[key] = RAW
    return path


def refused(path: Path, words: str, **options: Any) -> None:
    with pytest.raises(FormatError, match=re.escape(words)) as caught:
        make(**options).read(path)
    assert "\n" not in str(caught.value)


# -- virtual datasets and links of HDF5


def test_a_virtual_dataset_is_read_from_files_beside_it(tmp_path: Path) -> None:
    one, two = plain(tmp_path / "one.h5"), plain(tmp_path / "below" / "two.h5", "scan/b")
    path = virtual(tmp_path / "v.h5", ("one.h5", "a"), ("below/two.h5", "/scan/b"))
    modality = make()
    signal = modality.read(path)
    np.testing.assert_array_equal(signal.values[0], np.concatenate([RAW, RAW]))
    assert modality.parts(path) == sorted([path, one, two])
    with pytest.warns(LiveactionWarning, match="without its being virtual"):
        modality.write(again(signal), tmp_path / "w.h5")
    np.testing.assert_array_equal(make().read(tmp_path / "w.h5").values, signal.values)
    shutil.copytree(tmp_path, tmp_path / "moved", ignore=shutil.ignore_patterns("moved"))
    absolute = virtual(tmp_path / "moved" / "v.h5", (str(tmp_path / "gone" / "one.h5"), "a"))
    np.testing.assert_array_equal(modality.read(absolute).values[0], RAW)  # written elsewhere, moved with its sources


def test_a_virtual_dataset_of_its_own_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["a"] = RAW
        layout = h5py.VirtualLayout((3, 4, 5), "f4")
        layout[:] = h5py.VirtualSource(file["a"])[::2]
        file.create_virtual_dataset("data", layout)
    np.testing.assert_array_equal(make(key="data").read(tmp_path / "v.h5").values[0], RAW[::2])


def test_a_virtual_dataset_without_its_source(tmp_path: Path) -> None:
    path = virtual(tmp_path / "v.h5", ("gone.h5", "a"))
    words = "expected the source 'gone.h5' of the virtual dataset 'data' in the folder of the file, got no such file"
    refused(path, words)
    assert make().parts(path) == [path]
    plain(tmp_path / "gone.h5", "other")
    refused(path, "expected a dataset 'a' with values in 'gone.h5', got none; copy them in")
    virtual(tmp_path / "gone.h5", ("v.h5", "data"))
    refused(virtual(tmp_path / "v.h5", ("gone.h5", "data")), "got a virtual one; copy them in")


def test_no_source_is_taken_from_elsewhere(tmp_path: Path) -> None:
    plain(tmp_path / "secret.h5")
    here = tmp_path / "here"
    here.mkdir()
    (here / "link.h5").symlink_to(tmp_path / "secret.h5")
    for name in ("../secret.h5", str(tmp_path / "secret.h5"), "link.h5"):
        path = virtual(here / "v.h5", (name, "a"))
        refused(
            path, f"expected the source {name!r} of the virtual dataset 'data' in the folder of the file, got one els"
        )
    with h5py.File(here / "bridge.h5", "w") as file:
        file["a"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "a")
        file.create_dataset("raw", (6, 4, 5), "f4", external=[(str(tmp_path / "secret.h5"), 0, 480)])
    refused(virtual(here / "v.h5", ("bridge.h5", "a")), "expected a dataset 'a' with values in 'bridge.h5', got none")
    refused(
        virtual(here / "v.h5", ("bridge.h5", "raw")), "expected 'raw' to hold its values, got a list of other files"
    )


def test_a_virtual_dataset_that_is_not_covered_says_so(tmp_path: Path) -> None:
    plain(tmp_path / "one.h5")
    layout = h5py.VirtualLayout((9, 4, 5), "f4")
    layout[:6] = h5py.VirtualSource("one.h5", "a", shape=(6, 4, 5))
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_virtual_dataset("data", layout, fillvalue=-1)
    with pytest.warns(
        LiveactionWarning, match=r"all 180 values of 'data', got 120; the others read as the fill value -1"
    ):
        signal = make().read(tmp_path / "v.h5")
    np.testing.assert_array_equal(signal.values[0], np.concatenate([RAW, np.full((3, 4, 5), -1)]))
    unlimited = h5py.VirtualLayout((6, 4, 5), "f4", maxshape=(None, 4, 5))
    source = h5py.VirtualSource("one.h5", "a", shape=(6, 4, 5), maxshape=(None, 4, 5))
    unlimited[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    with h5py.File(tmp_path / "u.h5", "w") as file:
        file.create_virtual_dataset("data", unlimited)
    refused(
        tmp_path / "u.h5", "expected the virtual dataset 'data' to map parts of arrays of (6, 4, 5), got other parts"
    )


def test_links_of_hdf5_are_named(tmp_path: Path) -> None:
    plain(tmp_path / "far.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["far"] = h5py.ExternalLink("far.h5", "/a")
    words = "expected 'far' to be a dataset of this file, got a link to '/a' of the file 'far.h5'; take that file"
    refused(tmp_path / "a.h5", words)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["scan"], file["near"] = RAW, h5py.SoftLink("/scan")
    refused(tmp_path / "a.h5", words, key="far")
    refused(tmp_path / "a.h5", "got a link to '/scan'; name that in modality.options.key", key="near")
    signal = make(key="scan").read(tmp_path / "a.h5")
    with pytest.warns(LiveactionWarning, match=r"b\.h5: written without the link far, the link near"):
        make().write(signal, tmp_path / "b.h5")


# -- chunks that are not there


@pytest.mark.parametrize("chunks", [None, (2, 4, 5)])
def test_hdf5_says_how_much_was_never_written(tmp_path: Path, chunks: Any) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("raw", (6, 4, 5), "f4", chunks=chunks, fillvalue=7)
        if chunks:
            data[2:4] = 1
    words = "all 3 chunks of 'raw', got 1" if chunks else "all 120 values of 'raw', got 0"
    with pytest.warns(LiveactionWarning, match=rf"a\.h5: expected {words}; the others read as the fill value 7\.0"):
        make().read(tmp_path / "a.h5")


def test_an_hdf5_dataset_without_values_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = h5py.Empty("f4")
    refused(tmp_path / "a.h5", "expected values in 'raw', got a dataset without any; take another", key="raw")


def test_hdf5_filters_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", data=RAW, chunks=(6, 4, 5), compression="lzf")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code != h5py.h5z.FILTER_LZF)
    refused(tmp_path / "a.h5", "expected filters that are installed, got 'lzf' on 'raw'; write it again with gzip")


@pytest.mark.parametrize("suffix", [".zarr", ".zarr.zip"])
@pytest.mark.parametrize(
    ("more", "place", "words"),
    [
        ({"zarr_format": 2}, "1.0.0", "2 chunks of 'scan', got 1"),
        ({"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}}, "1/0/0", "2 chunks of 'scan'"),
        ({"zarr_format": 3}, "c/1/0/0", "2 chunks of 'scan', got 1"),
        ({"zarr_format": 3, "chunk_key_encoding": {"name": "default", "separator": "."}}, "c.1.0.0", "2 chunks of"),
        ({"zarr_format": 3, "chunk_key_encoding": {"name": "v2", "separator": "."}}, "1.0.0", "2 chunks of 'scan'"),
        ({"zarr_format": 3, "chunks": (1, 4, 5), "shards": (3, 4, 5)}, "c/1/0/0", "2 shards of 'scan', got 1"),
    ],
)  # fmt: skip
def test_zarr_says_how_much_is_not_there(tmp_path: Path, suffix: str, more: Any, place: str, words: str) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, name="scan", data=RAW, fill_value=2, **{"chunks": (3, 4, 5), **more})
    np.testing.assert_array_equal(make().read(path).values[0], RAW)
    (path / "scan" / place).unlink()
    if suffix.endswith("zip"):
        path = Path(shutil.make_archive(str(path), "zip", path))
    with pytest.warns(LiveactionWarning, match=rf"{suffix}: expected all {words}.* read as the fill value 2"):
        signal = make().read(path)
    assert (signal.values[0, 3:] == 2).all()


def test_an_empty_shard_is_not_there(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=RAW, chunks=(1, 4, 5), shards=(3, 4, 5))
    (tmp_path / "a.zarr" / "c/0/0/0").write_bytes(b"")
    with pytest.warns(LiveactionWarning, match="expected all 2 shards of the array, got 1"):
        make().read(tmp_path / "a.zarr")


def test_chunks_are_counted_by_the_files_there_are(tmp_path: Path) -> None:
    """A GiB of declared chunks of one value takes no time."""
    zarr.create_array(tmp_path / "a.zarr", shape=(1000, 1000, 1000), chunks=(1, 1, 1), dtype="int8")[0, 0, 0] = 1
    with (
        warnings.catch_warnings(),
        pytest.raises(LiveactionWarning, match="all 1000000000 chunks of the array, got 1;"),
    ):
        warnings.simplefilter("error", LiveactionWarning)
        from liveaction.modalities.array.zarr import Zarr

        Zarr().read(tmp_path / "a.zarr", None)


# -- codecs, links and texts of Zarr


def _consolidated(path: Path, version: int, compressor: Any) -> None:
    """A harmless array, and a consolidated copy of its metadata that names another codec."""
    zarr.create_array(path, name="a", data=RAW, zarr_format=version)
    zarr.consolidate_metadata(path)
    name = ".zmetadata" if version == 2 else "zarr.json"
    document = json.loads((path / name).read_text())
    if version == 2:
        document["metadata"]["a/.zarray"].update(compressor)
    else:
        document["consolidated_metadata"]["metadata"]["a"]["codecs"].append(compressor)
    (path / name).write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("version", "compressor"),
    [
        (2, {"compressor": {"id": "pickle"}}), (2, {"filters": [{"id": "delta"}, {"id": "pickle", "protocol": 5}]}),
        (3, {"name": "numcodecs.pickle", "configuration": {}}),
        (3, {"name": "sharding_indexed", "configuration": {"codecs": [{"name": "numcodecs.pickle"}]}}),
        (3, "numcodecs.Pickle"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_consolidated_metadata_name_no_pickle(tmp_path: Path, version: int, compressor: Any) -> None:
    _consolidated(tmp_path / "a.zarr", version, compressor)
    refused(tmp_path / "a.zarr", "expected a codec of numbers, got '")
    refused(Path(shutil.make_archive(str(tmp_path / "b.zarr"), "zip", tmp_path / "a.zarr")), "which runs what it reads")


def test_an_array_beside_the_one_read_names_no_pickle(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", zarr_format=2)
    for name in ("scan", "deep/other"):
        group.create_array(name, data=RAW)
    document = tmp_path / "a.zarr" / "deep/other/.zarray"
    document.write_text(json.dumps({**json.loads(document.read_text()), "filters": [{"id": "pickle"}]}))
    refused(tmp_path / "a.zarr", "got 'pickle' in deep/other/.zarray, which runs what it reads; recode it", key="scan")


def test_a_store_is_read_by_its_documents_not_by_copies(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", name="a", data=RAW, zarr_format=2, fill_value=0)
    zarr.consolidate_metadata(tmp_path / "a.zarr")
    document = json.loads((tmp_path / "a.zarr" / ".zmetadata").read_text())
    document["metadata"]["a/.zarray"]["shape"] = [3, 4, 5]
    (tmp_path / "a.zarr" / ".zmetadata").write_text(json.dumps(document))
    np.testing.assert_array_equal(make().read(tmp_path / "a.zarr").values[0], RAW)


def test_a_store_without_links_to_folders(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=RAW, chunks=(3, 4, 5))
    (tmp_path / "a.zarr" / "c/1").rename(tmp_path / "moved")
    (tmp_path / "a.zarr" / "c/1").symlink_to(tmp_path / "moved")
    refused(tmp_path / "a.zarr", "expected a store without links to folders, got '1'; copy what it leads to")


@pytest.mark.parametrize("version", [2, 3])
def test_attributes_that_are_no_json_come_back(tmp_path: Path, version: int) -> None:
    odd = {"_FillValue": float("nan"), "limits": [0.0, float("-inf"), 1e300], "deep": {"a": [{"b": float("inf")}]}}
    zarr.create_array(tmp_path / "a.zarr", name="a", data=RAW, zarr_format=version, attributes=odd)
    signal = again(make().read(tmp_path / "a.zarr"))
    assert len(signal.metadata["stored"]["numbers"]) == 3
    make().write(signal, tmp_path / "b.zarr")
    assert str(dict(zarr.open_array(tmp_path / "b.zarr", path="a").attrs)) == str(odd)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"note": "\ud800"}, "no Unicode text, in metadata.stored.documents.zarr.json.attributes.note; change it"),
        ({"\udfff": 1}, r"the key '\udfff', which is no Unicode text, in metadata.stored.documents"),
        ({"a": [1, ["x\udc80"]]}, "no Unicode text, in metadata.stored.documents.zarr.json.attributes.a.1.0; change"),
        ({"long": "x" * (15 << 20)}, "expected at most 15728640 bytes as JSON, got 1572"),
        ({"long": "x" * (15 << 20)}, "of which metadata.stored.documents.zarr.json.attributes.long takes 15728642; ch"),
        ({"large": 10**4200}, "got an integer of more than 4000 digits in metadata.stored"),
    ],
)  # fmt: skip
def test_attributes_that_no_stream_can_hold(tmp_path: Path, attributes: Any, words: str) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=RAW)
    document = tmp_path / "a.zarr" / "zarr.json"
    document.write_text(json.dumps({**json.loads(document.read_text()), "attributes": attributes}))
    refused(tmp_path / "a.zarr", words)


@pytest.mark.parametrize("depth", [250, 900, 20000])
def test_attributes_that_are_nested_deep(tmp_path: Path, depth: int) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=RAW)
    document = tmp_path / "a.zarr" / "zarr.json"
    nested = "[" * depth + "]" * depth
    document.write_text(document.read_text().replace('"attributes": {}', f'"attributes": {{"a": {nested}}}'))
    with pytest.raises(
        FormatError, match=r"got more than 200 objects and lists .* in metadata.stored|Recurs"
    ) as caught:
        make().read(tmp_path / "a.zarr")
    assert "\n" not in str(caught.value)


def test_hdf5_texts_of_any_bytes_come_back(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("raw", data=RAW)
        data.attrs.create("unit", b"\xb5m", dtype=h5py.string_dtype())
        data.attrs.create("both", np.array([b"\xb5m", b"a"], object), dtype=h5py.string_dtype())
    make().write(again(make().read(tmp_path / "a.h5")), tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["raw"].attrs["unit"] == "\udcb5m" and list(file["raw"].attrs["both"]) == ["\udcb5m", "a"]


# -- what a region still has


def _image(path: Path, version: int) -> Path:
    """An OME-Zarr image of two levels, the second half as fine along y and x."""
    levels = []
    for n, step in enumerate((1, 2)):
        scale = [{"type": "scale", "scale": [2.0, 0.5 * step, 0.5 * step]}]
        moved = [{"type": "translation", "translation": [0.0, 0.25, 0.25]}] if n else []
        levels.append({"path": str(n), "coordinateTransformations": scale + moved})
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    about: dict[str, Any] = {"multiscales": [{"version": "0.4", "axes": axes, "datasets": levels}], "omero": {"id": 1}}
    group = zarr.open_group(path, zarr_format=version, attributes=about if version == 2 else {"ome": about})  # type: ignore[arg-type]
    group.create_array("0", data=RAW)
    group.create_array("1", data=RAW[:, ::2, ::2])
    return path


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("level", [0, 1])
def test_ome_zarr_comes_back_valid(tmp_path: Path, version: int, level: int) -> None:
    modality = make(key=level)
    signal = again(modality.read(_image(tmp_path / "a.zarr", version)))
    for box, first in ((None, None), (((1, 4), (0, 2), (1, 3)), [2.0, 0.0, 0.5] if level == 0 else [2.0, 0.25, 1.25])):
        part = signal if box is None else region(modality, signal, *box)
        with pytest.warns(LiveactionWarning, match=f"written without the array {1 - level}"):
            modality.write(part, tmp_path / "b.zarr")
        group = zarr.open_group(tmp_path / "b.zarr", mode="r")
        about: Any = group.attrs.asdict() if version == 2 else group.attrs["ome"]
        (image,) = about["multiscales"]
        (there,) = image["datasets"]
        assert there["path"] == str(level) and about["omero"] == {"id": 1} and len(image["axes"]) == 3
        np.testing.assert_array_equal(group[there["path"]][...], part.values[0])  # type: ignore[index]
        steps = {step["type"]: step[step["type"]] for step in there["coordinateTransformations"]}
        assert steps["scale"] == [2.0, 0.5 * (level + 1), 0.5 * (level + 1)]
        assert steps.get("translation") == (first or ([0.0, 0.25, 0.25] if level else None))
    assert signal.metadata == again(modality.read(tmp_path / "a.zarr")).metadata  # nothing changed in place


def test_ome_zarr_lists_of_other_images_go(tmp_path: Path) -> None:
    plate = {"plate": {"name": "p", "wells": [{"path": "A/1"}, {"path": "A/2"}]}}
    group = zarr.open_group(tmp_path / "a.zarr", zarr_format=2, attributes=plate)
    well = group.create_group("A/1", attributes={"well": {"images": [{"path": "0"}, {"path": "10"}]}})
    _image(tmp_path / "a.zarr" / "A/1/0", 2)
    labels = well["0"].create_group("labels", attributes={"labels": ["cells"]})  # type: ignore[union-attr]
    labels.create_array("cells/0", data=RAW)
    for key, wells, images, levels in (
        ("A/1/0/0", ["A/1"], ["0"], ["0"]),
        ("A/1/0/labels/cells/0", ["A/1"], ["0"], None),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            make().write(make(key=key).read(tmp_path / "a.zarr"), tmp_path / "b.zarr")
        made = zarr.open_group(tmp_path / "b.zarr", mode="r")
        assert [entry["path"] for entry in made.attrs["plate"]["wells"]] == wells  # type: ignore[index, call-overload, union-attr]
        assert [entry["path"] for entry in made["A/1"].attrs["well"]["images"]] == images  # type: ignore[index, call-overload, union-attr]
        scales: Any = made["A/1/0"].attrs.get("multiscales")
        assert (scales and [entry["path"] for entry in scales[0]["datasets"]]) == levels


def test_hdf5_scales_of_axes_come_back(tmp_path: Path) -> None:
    places = np.arange(6) * 0.5 + 3
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("scan", data=RAW)
        file["time"] = places
        file["time"].make_scale("time of day")
        file["time"].attrs["units"] = "s"
        data.dims[0].attach_scale(file["time"])
        data.dims[0].label = "t"
        file["same"] = np.arange(4.0)
        file["same"].make_scale("")
        data.dims[1].attach_scale(file["same"])
        data.attrs["CLASS"] = file.attrs["NAME"] = "mine"  # last: HDF5 attaches to such a dataset 19 times in 20
    modality = make()
    signal = again(modality.read(tmp_path / "a.h5"))  # one array beside its scales, so no key is asked for
    for part, wanted in ((signal, places), (region(modality, signal, (2, 5), (0, 4), (1, 3)), places[2:5])):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            modality.write(part, tmp_path / "b.h5")
        with h5py.File(tmp_path / "b.h5") as file:
            data = file["scan"]
            np.testing.assert_array_equal(data[...], part.values[0])
            ((name, scale),) = data.dims[0].items()
            assert (name, data.dims[0].label, scale.attrs["units"], scale.name) == ("time of day", "t", "s", "/time")
            np.testing.assert_array_equal(scale[...], wanted)
            assert len(data.dims[1]) == 1 and len(data.dims[2]) == 0
            assert data.attrs["CLASS"] == file.attrs["NAME"] == "mine"
    bad = {**signal.metadata["stored"], "scales": [{**signal.metadata["stored"]["scales"][0], "axis": 1}]}
    with pytest.raises(FormatError, match=r"expected a scale of 4 values, got shape \(6,\)"):
        modality.write(replace(signal, metadata={**signal.metadata, "stored": bad}), tmp_path / "c.h5")


# -- advice that works


def test_the_advice_for_what_is_not_finite_works(tmp_path: Path) -> None:
    odd = RAW.copy()
    odd[1, 2, 3] = np.inf
    np.save(tmp_path / "inf.npy", odd)
    words = "replace them in the source, with NaN for instance, and say no_data: nan in modality.options"
    refused(tmp_path / "inf.npy", words)
    refused(tmp_path / "inf.npy", "replace them in the source, with nan for instance, as no_data says", no_data="nan")
    refused(tmp_path / "inf.npy", "replace them in the source, with -9.0 for instance, as no_data says", no_data=-9)
    np.save(tmp_path / "nan.npy", np.where(np.isinf(odd), np.nan, odd))
    refused(tmp_path / "nan.npy", "replace them in the source, or say no_data: nan in modality.options")
    signal = make(no_data="nan").read(tmp_path / "nan.npy")
    assert signal.missing is not None and np.argwhere(signal.missing).tolist() == [[0, 1, 2, 3]]
    np.save(tmp_path / "nine.npy", np.where(np.isinf(odd), -9, odd))
    assert make(no_data=-9).read(tmp_path / "nine.npy").missing is not None


def test_a_level_may_be_named_by_its_number(tmp_path: Path) -> None:
    np.testing.assert_array_equal(make(key=0).read(_image(tmp_path / "a.zarr", 3)).values[0], RAW)
