"""Streams decoded at a scale: values, places, regions, masks, damage, and what is not decoded for it."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
import torch

from liveaction.codec.codec import build_codec
from liveaction.codec.model import open as open_view
from liveaction.codec.scaling import Scaling, halvings_of
from liveaction.codec.stream import compress, decompress, open_reader
from liveaction.coding.fast import FastDecoder
from liveaction.errors import FormatError, ShapeError, SpecError
from liveaction.recipe import load_recipe
from liveaction.signal import Signal
from liveaction.transforms.packet import WaveletPacket
from tests.core.test_sparse_streams import changed, model_of, signal_of

SCALES = ("1/2", "1/4", "1/8")
BANKS = {
    "packets": {"levels": 2, "continuation": 2},
    "short packets": {"levels": 1, "continuation": 0},
    "even filters": {"wavelet": "bior1.3", "levels": 3, "continuation": 0},
    "no packets": {"levels": 0, "continuation": 2},
    "lapped": {"levels": 0, "lapped": 8, "continuation": 1},
    "odd lapped": {"levels": 0, "lapped": 6, "continuation": 0},
    "network behind": {"levels": 2, "continuation": 1, "decoder": {"kind": "light", "depth": 1}},
    "predicted": {"levels": 2, "continuation": 2, "encoder": {"kind": "predicted", "width": 8}},
}
NATIVE = [name for name in BANKS if name != "network behind"]


def made(axes, bank="packets", **more):
    return model_of(axes, **{**BANKS[bank], **more})


def ramp_of(model, extents, slopes):
    places = np.meshgrid(*(np.arange(n) for n in extents), indexing="ij")
    values = sum(slope * place for slope, place in zip(slopes, places, strict=True))[None].astype(np.float32) - 0.5
    return Signal(values, model.recipe.modality.axes, "", (1.0,) * len(extents), "float32")


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("bank", BANKS)
@pytest.mark.parametrize("extents", [(65,), (1,), (7, 65), (40, 1), (17, 9, 13)], ids=str)
def test_a_constant_stays_what_it_is(bank, extents, scale):
    model = made(len(extents), bank)
    values = np.full((1, *extents), 0.3, np.float32)
    values[0, (0,) * len(extents)] = 0.30001  # no constant to the header
    data = compress(Signal(values, model.recipe.modality.axes, "", (1.0,) * len(extents), "float32"), model, step=1e-3)[
        0
    ]
    back, _ = decompress(data, model, scale=scale)
    factor = Fraction(scale).denominator
    assert back.shape == tuple(-(-n // factor) for n in extents)
    assert np.abs(back.values - 0.3).max() < 0.003


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("bank", NATIVE)
def test_samples_lie_where_the_reader_says(bank, scale):
    model = made(2, bank)
    slopes, extents = (0.004, -0.002), (96, 144)
    data = compress(ramp_of(model, extents, slopes), model, step=2e-4)[0]
    with open_reader(data, model, scale=scale) as reader:
        back, scaling = reader.read(), reader.scaling
    factor = Fraction(scale).denominator
    assert scaling.factors == (factor, factor)
    places = np.meshgrid(
        *(o + factor * np.arange(n) for o, n in zip(scaling.origin, back.shape, strict=True)), indexing="ij"
    )
    wanted = slopes[0] * places[0] + slopes[1] * places[1] - 0.5
    inside = (slice(16 // factor * 2, -16 // factor * 2),) * 2  # the ends are reflected
    off = (back.values[0] - wanted)[inside]
    assert abs(off.mean()) < 0.05 * slopes[0]  # a twentieth of a full sample
    loose = "lapped" in bank or bank == "no packets"  # whose chunks, reflected at their ends, are small
    assert np.abs(off).max() < (0.9 if loose else 0.1) * slopes[0]
    assert back.spacing == (float(factor),) * 2


@pytest.mark.parametrize("bank", NATIVE)
def test_low_passes_have_the_middle_of_their_samples(bank):
    """Packets of filters of odd length stand on samples, all else between them."""
    model = made(1, bank)
    data = compress(ramp_of(model, (64,), (0.01,)), model, step=0.01)[0]
    with open_reader(data, model, scale="1/2") as reader:
        odd = bank in ("packets", "short packets", "no packets", "predicted")
        assert reader.scaling.origin == ((0.0,) if odd else (0.5,))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("bank", BANKS)
def test_regions_have_the_samples_that_the_whole_has(small, bank, scale):
    model = made(2, bank)
    data = compress(signal_of(model, 1, (67, 131)), model, step=0.01)[0]
    whole, _ = decompress(data, model, scale=scale)
    ny, nx = whole.shape
    for region in (((0, ny), (0, nx)), ((1, ny), (nx // 2, nx)), ((ny - 1, ny), (0, 1)), ((2, 4), (3, 9))):
        part, _ = decompress(data, model, scale=scale, region=region)
        assert np.array_equal(part.values, whole.values[(slice(None), *(slice(*ends) for ends in region))])
    with pytest.raises(ShapeError, match="within"):
        decompress(data, model, scale=scale, region=((0, ny + 1), (0, nx)))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("bank", ["packets", "lapped", "odd lapped", "short packets", "network behind"])
def test_many_windows_give_what_one_gives(monkeypatch, bank, scale):
    from liveaction.codec import grid

    model = made(2, bank)
    signal = signal_of(model, 1, (130, 200), noise=0)
    monkeypatch.setattr(grid, "CHUNK_TOKENS", 16)
    data = compress(signal, model, step=0.01)[0]
    one, _ = decompress(data, model, scale=scale)
    monkeypatch.setattr(grid, "WINDOW_SAMPLES", 2000)
    layout = model.codec.layout((130, 200))
    assert layout.count_windows() > 4
    many, _ = decompress(changed(data, window=list(layout.window)), model, scale=scale)
    assert np.abs(many.values - one.values).max() < 0.01  # halos leave a little out


@pytest.mark.parametrize("scale", SCALES)
def test_means_are_those_of_the_whole(scale):
    """What a network has the last word on is averaged over boxes, ends included."""
    model = made(2, "network behind")
    data = compress(signal_of(model, 1, (35, 66)), model, step=0.01)[0]
    whole, small_one = (decompress(data, model, scale=each)[0].values for each in (1, scale))
    factor = Fraction(scale).denominator
    for y, x in ((0, 0), (1, 2), (small_one.shape[1] - 1, small_one.shape[2] - 1)):
        box = whole[0, y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
        assert abs(box.mean() - small_one[0, y, x]) < 1e-5


@pytest.mark.parametrize(("bank", "read"), [("packets", [4, 3, 2]), ("lapped", [3, 3, 2]), ("predicted", [4, 3, 2])])
def test_later_parts_are_not_decoded(monkeypatch, bank, read):
    model = made(2, bank)
    data = compress(signal_of(model, 1, (64, 64)), model, step=0.01)[0]
    parts = len(model.codec.chunks.rows)
    counted, plain = [], FastDecoder.next
    monkeypatch.setattr(FastDecoder, "next", lambda self: counted.append(1) or plain(self))
    with open_reader(data, model) as reader:
        chunks = reader.header.layout.chunks
        reader.read()
    assert len(counted) == parts * chunks
    for scale, wanted in zip(SCALES, read, strict=True):
        counted.clear()
        decompress(data, model, scale=scale)
        assert len(counted) == min(parts, wanted) * chunks


def test_time_and_bands_keep_their_samples():
    model = model_of(4)
    assert model.recipe.modality.axes[0] == "t"
    back, _ = decompress(compress(signal_of(model, 1, (3, 9, 8, 12)), model, step=0.02)[0], model, scale="1/4")
    assert back.shape == (3, 3, 2, 3) and back.spacing == (1.0, 4.0, 4.0, 4.0)
    model = model_of(1)
    assert decompress(compress(signal_of(model, 1, (33,)), model)[0], model, scale="1/4")[0].shape == (9,)


@pytest.mark.parametrize("bank", ["packets", "no packets", "lapped", "network behind"])
def test_boxes_are_missing_where_half_of_them_is(small, bank):
    model = made(2, bank)
    missing = np.zeros((1, 33, 21), bool)
    missing[:, 25:] = True
    missing[:, :2, :2] = True
    missing[:, 8:10, 8] = True
    signal = signal_of(model, 1, (33, 21), missing=missing)
    back, _ = decompress(compress(signal, model, step=0.02)[0], model, scale="1/2")
    wanted = np.zeros((1, 17, 11), bool)
    wanted[:, 13:], wanted[:, 12], wanted[:, 0, 0], wanted[:, 4, 4] = True, True, True, True
    assert np.array_equal(back.missing, wanted)
    assert (back.values[wanted] == -9).all() and (back.values[~wanted] > -1.5).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_own_bases_and_constants(channels):
    model = model_of(2, channels, "own", levels=1, continuation=2)
    signal = signal_of(model, channels, (40, 24), noise=0)
    whole, half = (decompress(compress(signal, model, step=0.01)[0], model, scale=s)[0].values for s in (1, "1/2"))
    assert half.shape == (channels, 20, 12) and np.abs(half - whole[:, ::2, ::2]).max() < 0.1
    flat = Signal(np.full((channels, 40, 24), 0.25, np.float32), signal.axes, "", (1.0, 1.0), "float32")
    assert np.abs(decompress(compress(flat, model)[0], model, scale="1/8")[0].values - 0.25).max() < 0.01


def test_rotated_channels_come_back_small():
    model = model_of(3, 3, "trained", levels=1, continuation=1)
    down, up = model.codec.encoder.down, model.codec.decoder.linear
    turns = torch.linalg.qr(torch.randn(8, 3, 3, generator=torch.Generator().manual_seed(1)))[0]
    for rotation in (down, up):
        rotation.start_at(turns, torch.rand(3, 8, generator=torch.Generator().manual_seed(2)))
    signal = signal_of(model, 3, (24, 24, 24), noise=0)
    data = compress(signal, model, step=0.005)[0]
    for scale, every in (("1/2", 2), ("1/4", 4)):
        back, _ = decompress(data, model, scale=scale)
        assert np.corrcoef(back.values.ravel(), signal.values[:, ::every, ::every, ::every].ravel())[0, 1] > 0.98


@pytest.mark.parametrize("name", ["ct_smoke", "rgb_smoke", "ct_light"])
@pytest.mark.parametrize("halvings", [1, 2])
def test_a_network_before_the_transform_gives_the_low_pass_of_the_whole(name, halvings):
    torch.manual_seed(0)
    codec = build_codec(load_recipe(name)).eval().requires_grad_(False)
    extents = (32, 40, 24)[: codec.axes]
    layout = codec.layout(extents)
    latents = torch.randn(1, codec.latents, *layout.grid)
    scaling = Scaling(codec, layout, (halvings,) * codec.axes)
    window = next(layout.windows())
    small_one = scaling.synthesise(latents, window, 1.0)
    full = codec.decode_window(latents, layout, window, 1.0)
    low = WaveletPacket(codec.packets.wavelet, (halvings,) * codec.axes, codec.spec.boundary)(full)
    wanted = low[:, :: 2 ** (halvings * codec.axes)] / 2 ** (halvings * codec.axes / 2)
    assert scaling.rest == (1,) * codec.axes and small_one.shape == wanted.shape
    assert (small_one - wanted).abs().max() < 1e-4 * wanted.abs().max()


def test_a_bounded_stream_is_read_without_what_is_left():
    model = made(2, "packets")
    signal = signal_of(model, 1, (64, 48))
    data = compress(signal, model, step=0.02, max_error=1e-3)[0]
    plain = compress(signal, model, step=0.02)[0]
    one, two = (decompress(each, model, scale="1/4")[0].values for each in (data, plain))
    assert np.abs(one - two).max() < 0.02
    with open_reader(data, model, scale=1) as reader:
        assert np.abs(reader.read().values - signal.values).max() <= 1e-3


def test_damage_stays_where_it_is(small):
    model = made(2, "packets")
    data = bytearray(compress(signal_of(model, 1, (67, 131)), model, step=0.01)[0])
    with open_reader(bytes(data), model) as reader:
        chunk, layout = reader.container.read(1), reader.header.layout
    data[bytes(data).index(chunk) + len(chunk) // 2] ^= 0xFF
    with pytest.raises(FormatError, match="chunk 1 holds y"):
        decompress(bytes(data), model, scale="1/4")
    with open_reader(bytes(data), model, scale="1/4", fill=0.75) as reader:
        back = reader.read().values
        ((y, x),) = [reader.damaged[1].samples]
    assert (y, x) == layout.samples(layout.chunk_box(1))
    hole = (slice(None), slice(y[0] // 4, -(-y[1] // 4)), slice(x[0] // 4, -(-x[1] // 4)))
    assert (back[hole] == 0.75).all() and (back == 0.75).sum() == back[hole].size


def test_views_give_views(tmp_path):
    model = made(2, "packets")
    signal = signal_of(model, 1, (65, 33))
    path = tmp_path / "a.lva"
    model.compress_file(signal, path, step=0.02)
    with open_view(path, model) as view, view.at("1/4") as quarter, quarter.at(0.5) as half:
        assert view.shape == (65, 33) and quarter.shape == (17, 9) and half.shape == (33, 17)
        assert np.array_equal(quarter[...], decompress(path, model, scale=Fraction(1, 4))[0].values[0])
        assert np.array_equal(half[3:9:2, -1], half[...][3:9:2, -1])
        again = pickle.loads(pickle.dumps(quarter))
        assert np.array_equal(again[...], quarter[...])
        again.close()
    with pytest.raises(ValueError, match="closed"):
        view.at("1/2")
    many = model.compress_many([signal, signal_of(model, 1, (9, 40))])
    with model.open_many(many) as items, items[1].at("1/2") as second:
        assert second.shape == (5, 20)


@pytest.mark.parametrize("scale", ["1/3", 2, 0, "1/16", "a", "1/0", float("nan"), None, "-1/2"])
def test_other_scales_are_refused(scale):
    with pytest.raises(SpecError, match=r"--scale: expected 1, 1/2, 1/4 or 1/8"):
        halvings_of(scale)
