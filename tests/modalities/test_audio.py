"""Audio: what is written back equals what was read; what cannot be is refused or warned of in one line."""

import hashlib
import json
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from liveaction.errors import FormatError, LiveactionWarning, ShapeError, SpecError
from liveaction.modalities.audio.chunks import scan
from liveaction.modalities.audio.modality import Audio
from liveaction.modalities.audio.phantom import array_phantom, music_phantom
from liveaction.recipe import load_recipe
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

REAL = [
    ("array_audio/ami_mcwsj_array1_8ch_16k.flac", 8, 16, 16000),
    ("array_audio/cmu_kinect_4ch_16k.flac", 4, 16, 16000),
    ("array_audio/aria_gen1_glasses_7ch_48k.wav", 7, 24, 48000),
    ("array_audio/eigenscape_beach_em32_raw_32ch_48k.wav", 32, 24, 48000),
    ("array_audio/jsambisonics_hoa3_rec1_16ch_44k.wav", 16, 16, 44100),
    ("array_audio/batracker_playback_5ch_192k.flac", 5, 16, 192000),
    ("music/sonicpi_guit_em9.flac", 2, 16, 44100),
    ("music/encodec_test_48k.flac", 2, 16, 48000),
]
LIMITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
COMBINATIONS = [
    *((".wav", "WAV", s) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    *((".wav", c, s) for c in ("WAVEX", "RF64") for s in ("PCM_16", "PCM_24", "FLOAT")),
    *((".w64", "W64", s) for s in ("PCM_U8", "PCM_24", "PCM_32", "DOUBLE")),
    *((".flac", "FLAC", s) for s in ("PCM_S8", "PCM_16", "PCM_24")),
    *((".aiff", "AIFF", s) for s in ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
]


def _audio(channels: int = 3, **changes: Any) -> Audio:
    table = {"name": "array_audio", "axes": ("t",), "channels": channels, "range": "native", **changes}
    return Audio(ModalitySpec.model_validate(table))


def _file(path: Path, subtype: str = "PCM_16", channels: int = 3, frames: int = 1001, **form: Any) -> np.ndarray:
    """Noise over all that the subtype holds, both ends included; returns ``[C, T]`` as the file holds it."""
    rng = np.random.default_rng(0)
    if subtype in LIMITS:
        half = 2 ** (LIMITS[subtype] - 1)
        values = rng.integers(-half, half, (channels, frames))
        values[0, 0], values[-1, -1] = -half, half - 1
        wide = (values << (32 - LIMITS[subtype])).astype(np.int32)
        values = values + (128 if subtype == "PCM_U8" else 0)
    else:
        values = wide = rng.uniform(-1, 1, (channels, frames)).astype("float32" if subtype == "FLOAT" else "float64")
    rate = form.pop("rate", 16000)
    tags = form.pop("tags", {})
    with soundfile.SoundFile(path, "w", rate, channels, subtype, **form) as file:
        for name, text in tags.items():
            setattr(file, name, text)
        file.write(wide.T)
    return values


def _info(path: Path) -> tuple[Any, ...]:
    with soundfile.SoundFile(path) as file:
        return file.format, file.subtype, file.endian, file.samplerate, file.channels, file.frames


@pytest.mark.parametrize(("suffix", "container", "subtype"), COMBINATIONS, ids=["-".join(c[1:]) for c in COMBINATIONS])
def test_every_format_comes_back(tmp_path: Path, suffix: str, container: str, subtype: str) -> None:
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    there = _file(source, subtype, format=container, rate=22050)
    audio = _audio()
    signal = audio.read(source)
    np.testing.assert_array_equal(signal.values, there)
    dtype = {"PCM_S8": "int8", "PCM_U8": "uint8", "PCM_16": "int16", "FLOAT": "float32", "DOUBLE": "float64"}
    assert signal.dtype == signal.values.dtype.name == dtype.get(subtype, "int32")
    assert (signal.bits, signal.axes, signal.spacing) == (24 if subtype == "PCM_24" else 0, ("t",), (1 / 22050,))
    audio.write(replace(signal, metadata=json.loads(json.dumps(signal.metadata))), target)
    assert _info(source) == _info(target)
    np.testing.assert_array_equal(audio.read(target).values, there)
    assert audio.read(target).metadata == signal.metadata


@pytest.mark.parametrize(("container", "endian"), [("WAV", "BIG"), ("AIFF", "LITTLE")])
def test_byte_order_comes_back(tmp_path: Path, container: str, endian: str) -> None:
    suffix = f".{container.lower()}"
    there = _file(tmp_path / f"a{suffix}", format=container, endian=endian)
    signal = _audio().read(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(signal.values, there)
    _audio().write(signal, tmp_path / f"b{suffix}")
    assert _info(tmp_path / f"b{suffix}")[2] == endian
    assert (tmp_path / f"a{suffix}").read_bytes()[:4] == (tmp_path / f"b{suffix}").read_bytes()[:4]
    _audio().write(signal, tmp_path / "b.flac")  # where it has no meaning
    np.testing.assert_array_equal(_audio().read(tmp_path / "b.flac").values, there)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_tags_come_back(tmp_path: Path, suffix: str) -> None:
    tags = {"title": "Straße", "artist": "a", "comment": "c", "date": "2024", "software": "maker 3"}
    _file(tmp_path / f"a{suffix}", tags=tags)
    signal = _audio().read(tmp_path / f"a{suffix}")
    assert signal.metadata["tags"] == tags
    _audio().write(signal, tmp_path / f"b{suffix}")
    assert _audio().read(tmp_path / f"b{suffix}").metadata == signal.metadata


def test_what_a_container_cannot_keep_is_said(tmp_path: Path) -> None:
    _file(tmp_path / "a.wav", tags={"title": "x", "album": "y"})
    signal = _audio().read(tmp_path / "a.wav")
    with pytest.warns(LiveactionWarning, match=r"b.w64: tag 'title', tag 'album' of the source cannot .* to W64"):
        _audio().write(signal, tmp_path / "b.w64")
    with pytest.warns(LiveactionWarning, match=r"b.aiff: tag 'album' of the source cannot be written back to AIFF"):
        _audio().write(signal, tmp_path / "b.aiff")
    np.testing.assert_array_equal(_audio().read(tmp_path / "b.w64").values, signal.values)


def _chunk(name: str, content: bytes, order: Any = "little") -> bytes:
    return name.encode() + len(content).to_bytes(4, order) + content + bytes(len(content) % 2)


def _add(path: Path, more: bytes, order: Any = "little") -> None:
    """Put chunks at the end of a RIFF, RF64 or AIFF file."""
    data = path.read_bytes()
    data += bytes(len(data) % 2) + more
    path.write_bytes(data[:4] + (len(data) - 8).to_bytes(4, order) + data[8:] if data[:4] != b"RF64" else data)


BESIDE = {
    "bext": bytes(602) + b"x",
    "iXML": b"<a></a> ",
    "cue ": b"\1\0\0\0" + bytes(24),
    "LIST": b"adtllabl\4\0\0\0\1\0\0\0",
}


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
def test_other_chunks_of_wav_come_back(tmp_path: Path, container: str) -> None:
    there = _file(tmp_path / "a.wav", format=container)
    _add(tmp_path / "a.wav", b"".join(_chunk(*one) for one in BESIDE.items()))
    signal = _audio().read(tmp_path / "a.wav")
    assert [name for name, _ in signal.metadata["chunks"]] == list(BESIDE)
    _audio().write(replace(signal, metadata=json.loads(json.dumps(signal.metadata))), tmp_path / "b.wav")
    again = _audio().read(tmp_path / "b.wav")
    assert again.metadata == signal.metadata
    np.testing.assert_array_equal(again.values, there)
    data = (tmp_path / "b.wav").read_bytes()
    assert int.from_bytes(data[20:28] if container == "RF64" else data[4:8], "little") == len(data) - 8
    with pytest.warns(LiveactionWarning, match="b.flac: chunk 'bext', chunk 'iXML', chunk 'cue ', chunk 'LIST' of the"):
        _audio().write(signal, tmp_path / "b.flac")
    with pytest.warns(LiveactionWarning, match="region: chunks 'bext', 'iXML', 'cue ', 'LIST' of the whole left out"):
        part = _audio().cropped(signal.crop(slice(0, 9)), ((0, 9),), signal.shape)
    _audio().write(part, tmp_path / "c.wav")
    assert _audio().read(tmp_path / "c.wav").metadata["chunks"] == []
    assert _audio().cropped(signal, ((0, 1001),), signal.shape) is signal


def test_what_cannot_be_kept_is_said_when_it_is_read(tmp_path: Path) -> None:
    _file(tmp_path / "a.wav", tags={"title": "x"})
    _add(tmp_path / "a.wav", _chunk("LIST", b"INFO" + _chunk("IENG", b"somebody\0") + _chunk("INAM", b"x\0")))
    with pytest.warns(LiveactionWarning, match=r"a\.wav: 'INFO/IENG' will not be written back"):
        signal = _audio().read(tmp_path / "a.wav")
    with pytest.warns(LiveactionWarning, match="b.wav: chunk 'INFO/IENG' of the source cannot be written back to WAV"):
        _audio().write(signal, tmp_path / "b.wav")
    _file(tmp_path / "a.wav", endian="BIG")
    _add(tmp_path / "a.wav", _chunk("bext", bytes(602), "big"), "big")
    with pytest.warns(LiveactionWarning, match="'bext' will not be written back"):
        _audio().read(tmp_path / "a.wav")
    _file(tmp_path / "a.aiff", tags={"title": "x", "software": "maker"})
    _add(tmp_path / "a.aiff", _chunk("MARK", b"\0\1\0\1" + bytes(6), "big") + _chunk("NAME", b"other", "big"), "big")
    with pytest.warns(LiveactionWarning, match="'MARK' will not be written back"):
        _audio().read(tmp_path / "a.aiff")


def test_comments_and_pictures_of_flac_are_said_to_be_lost(tmp_path: Path) -> None:
    _file(tmp_path / "a.flac", tags={"title": "x", "software": "maker 3"})
    data = (tmp_path / "a.flac").read_bytes()
    comment = b"REPLAYGAIN_TRACK_GAIN=-3 dB"
    comments = bytes(4) + b"\1\0\0\0" + len(comment).to_bytes(4, "little") + comment
    blocks = b"".join(
        bytes([kind]) + len(body).to_bytes(3, "big") + body for kind, body in ((4, comments), (6, bytes(32)))
    )
    (tmp_path / "a.flac").write_bytes(data[:42] + blocks + data[42:])
    with pytest.warns(LiveactionWarning, match=r"'VORBIS_COMMENT/REPLAYGAIN_TRACK_GAIN', 'PICTURE' will not be"):
        _audio().read(tmp_path / "a.flac")


B_FORMAT = "0000002107d3118644c8c1ca000000"


@pytest.mark.parametrize(
    ("subtype", "bits", "guid"),
    [
        ("PCM_24", 20, ""),
        ("PCM_16", 16, "010000002107d3118644c8c1ca000000"),
        ("FLOAT", 32, "030000002107d3118644c8c1ca000000"),
    ],
    ids=["20-bits", "b-format", "b-format-floats"],
)
def test_valid_bits_and_guid_come_back(tmp_path: Path, subtype: str, bits: int, guid: str) -> None:
    _file(tmp_path / "a.wav", subtype, channels=4, format="WAVEX")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    place = data.index(b"fmt ") + 26
    data[place : place + 2] = bits.to_bytes(2, "little")
    if guid:
        data[place + 6 : place + 22] = bytes.fromhex(guid)
    (tmp_path / "a.wav").write_bytes(data)
    signal = _audio(4).read(tmp_path / "a.wav")
    assert (signal.metadata["guid"], signal.metadata["valid_bits"]) == (guid, bits if bits == 20 else 0)
    _audio(4).write(signal, tmp_path / "b.wav")
    assert (tmp_path / "b.wav").read_bytes() == bytes(data)
    assert _audio(2, options={"select": [0, 2]}).read(tmp_path / "a.wav").metadata["guid"] == ""


@pytest.mark.parametrize("container", ["WAVEX", "RF64"])
@pytest.mark.parametrize("mask", [0, 0x10F])
def test_the_loudspeaker_mask_comes_back(tmp_path: Path, container: str, mask: int) -> None:
    _file(tmp_path / "a.wav", channels=4, format=container)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    place = data.index(b"fmt ") + 28
    assert data[place] == 0x33  # libsndfile's guess for four channels
    data[place : place + 4] = mask.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(data)
    signal = _audio(4).read(tmp_path / "a.wav")
    assert signal.metadata["channel_mask"] == mask
    _audio(4).write(signal, tmp_path / "b.wav")
    assert (tmp_path / "b.wav").read_bytes() == bytes(data)
    assert _audio(2, options={"select": [0, 2]}).read(tmp_path / "a.wav").metadata["channel_mask"] == 0


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("WAV", "ULAW"), ("WAV", "IMA_ADPCM")],
)
def test_lossy_sources_are_16_bit_samples(tmp_path: Path, container: str, subtype: str) -> None:
    time = np.arange(30000) / 48000
    wave = np.stack([np.sin(2000 * time), np.cos(3000 * time)], 1)
    source = tmp_path / f"a.{container.lower()}"
    soundfile.write(source, wave, 48000, subtype, format=container)
    with pytest.warns(LiveactionWarning, match=rf"lossy audio \({subtype}\) is read as 16-bit samples"):
        signal = _audio(2).read(source)
    assert (signal.dtype, signal.metadata["lossy"]) == ("int16", subtype)
    decoded = soundfile.read(source)[0].T
    np.testing.assert_array_equal(signal.values, np.rint(decoded * 32768).clip(-32768, 32767))
    assert signal.values.max() > 30000
    for suffix in (".wav", ".flac"):
        _audio(2).write(signal, tmp_path / f"b{suffix}")
        np.testing.assert_array_equal(_audio(2).read(tmp_path / f"b{suffix}").values, signal.values)
    with pytest.raises(FormatError, match="lossy formats are read only"):
        _audio(2).write(signal, tmp_path / "b.ogg")


@pytest.mark.parametrize(
    ("subtype", "suffix", "words"),
    [
        ("FLOAT", ".flac", r"a container that holds FLOAT samples, got FLAC; take .wav, .wave, .rf64, .w64, .aif, "),
        ("PCM_32", ".flac", "PCM_32 samples, got FLAC"),
        ("PCM_U8", ".flac", "PCM_U8 samples, got FLAC"),
        ("PCM_16", ".mp3", r"expected a name ending in .wav, .*got 'b.mp3'"),
        ("PCM_16", ".txt", r"expected a name ending in .wav"),
    ],
)
def test_combinations_that_do_not_exist(tmp_path: Path, subtype: str, suffix: str, words: str) -> None:
    _file(tmp_path / "a.wav", subtype)
    with pytest.raises(FormatError, match=words) as caught:
        _audio().write(_audio().read(tmp_path / "a.wav"), tmp_path / f"b{suffix}")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_flac_has_at_most_eight_channels(tmp_path: Path) -> None:
    _file(tmp_path / "a.wav", channels=9)
    with pytest.raises(FormatError, match=r"at most 8 channels and 655350 Hz for FLAC, got 9 and 16000; take .wav"):
        _audio(9).write(_audio(9).read(tmp_path / "a.wav"), tmp_path / "b.flac")


def test_a_rate_that_libsndfile_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _file(tmp_path / "a.wav")

    def refuse(*args: Any) -> None:
        raise soundfile.LibsndfileError(1)

    signal = _audio().read(tmp_path / "a.wav")
    monkeypatch.setattr(soundfile, "SoundFile", refuse)
    with pytest.raises(FormatError, match=r"b.wav: expected WAV to take 3 channels of PCM_16 at 16000 Hz, got"):
        _audio().write(signal, tmp_path / "b.wav")
    assert not (tmp_path / "b.wav").exists()


def test_large_recordings_are_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = _file(tmp_path / "a.wav", "PCM_24", frames=5001)
    monkeypatch.setattr("liveaction.mapped.LARGE", 1000)
    monkeypatch.setattr("liveaction.modalities.audio.read.BLOCK", 777)
    monkeypatch.setattr("liveaction.modalities.audio.write.BLOCK", 1234)
    signal = _audio().read(tmp_path / "a.wav")
    assert isinstance(signal.values, np.memmap)
    np.testing.assert_array_equal(signal.values, there)
    _audio().write(signal, tmp_path / "b.wav")
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_more_than_4_gib_become_rf64_and_are_refused_as_aiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _file(tmp_path / "a.wav")
    signal = _audio().read(tmp_path / "a.wav")
    monkeypatch.setattr("liveaction.modalities.audio.write._LIMIT", 100)
    _audio().write(signal, tmp_path / "b.wav")
    assert _info(tmp_path / "b.wav")[0] == "RF64"
    with pytest.raises(FormatError, match="less than 4 GiB for AIFF"):
        _audio().write(signal, tmp_path / "b.aiff")


@pytest.mark.parametrize(("container", "subtype"), [(c, s) for _, c, s in COMBINATIONS if s in {"PCM_16", "PCM_24"}])
@pytest.mark.parametrize("keep", [0.3, 0.97])
def test_files_cut_short_are_refused(tmp_path: Path, container: str, subtype: str, keep: float) -> None:
    path = tmp_path / f"a.{container.lower().replace('wavex', 'wav')}"
    _file(path, subtype, format=container)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(FormatError, match=r"cut short|expected a whole audio file") as caught:
        _audio().read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data"), [("a.wav", b""), ("a.flac", b"hello\n" * 99), ("a.mp3", b""), ("a.ogg", b"OggS" + bytes(99))]
)
def test_what_is_no_audio_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FormatError, match="expected a whole audio file that libsndfile reads") as caught:
        _audio().read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_no_samples_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 3), np.int16), 16000)
    with pytest.raises(FormatError, match="at least one sample, got an empty recording; there is nothing to code"):
        _audio().read(tmp_path / "a.wav")


STREAMED = [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
@pytest.mark.parametrize("said", STREAMED, ids=hex)
def test_streamed_wav_is_taken_up_to_its_end(tmp_path: Path, said: int, endian: Any, subtype: str) -> None:
    there = _file(tmp_path / "a.wav", subtype, endian=endian, frames=100)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    for at, value in ((4, min(said + 36, 2**32 - 1)), (data.index(b"data") + 4, said)):
        data[at : at + 4] = value.to_bytes(4, "little" if endian == "LITTLE" else "big")
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.warns(LiveactionWarning, match=r"a\.wav: the header does not say how long the recording is; taken up"):
        signal = _audio().read(tmp_path / "a.wav")
    np.testing.assert_array_equal(signal.values, there)
    (tmp_path / "a.wav").write_bytes(bytes(data[:-1]))  # ended in the middle of a sample
    with pytest.warns(LiveactionWarning, match="does not say how long the recording is"):
        np.testing.assert_array_equal(_audio().read(tmp_path / "a.wav").values, there[:, :99])


@pytest.mark.parametrize("said", [0, 2**62, 2**64 - 1], ids=hex)
def test_streamed_rf64_is_taken_up_to_its_end(tmp_path: Path, said: int) -> None:
    there = _file(tmp_path / "a.wav", format="RF64")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[20:44] = said.to_bytes(8, "little") * 3
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.warns(LiveactionWarning, match="does not say how long the recording is"):
        np.testing.assert_array_equal(_audio().read(tmp_path / "a.wav").values, there)


def test_lengths_beyond_4_gib_that_began_anew(tmp_path: Path) -> None:
    _file(tmp_path / "a.wav")
    with (tmp_path / "a.wav").open("r+b") as file:
        file.truncate(file.seek(0, 2) + 2**32)
    parts = scan(tmp_path / "a.wav")
    assert parts is not None and parts.streamed and parts.there == parts.samples.said + 2**32


def test_what_lies_behind_the_samples_is_said(tmp_path: Path) -> None:
    there = _file(tmp_path / "a.wav", frames=1000)
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data + bytes(500))  # padding
    np.testing.assert_array_equal(_audio().read(tmp_path / "a.wav").values, there)
    (tmp_path / "a.wav").write_bytes(data + b"TAG" + bytes(125))
    with pytest.warns(LiveactionWarning, match="128 bytes at its end are no part of the recording as the header says"):
        np.testing.assert_array_equal(_audio().read(tmp_path / "a.wav").values, there)


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_flac_whose_samples_are_others_is_refused(tmp_path: Path, subtype: str) -> None:
    there = _file(tmp_path / "a.flac", subtype)
    np.testing.assert_array_equal(_audio(2, options={"select": [2, 0]}).read(tmp_path / "a.flac").values, there[[2, 0]])
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[22:26] = (500).to_bytes(4, "big")  # fewer samples than there are
    (tmp_path / "a.flac").write_bytes(data)
    with pytest.raises(FormatError, match=r"a.flac: expected samples with the MD5 \w{32} as the header says, got"):
        _audio().read(tmp_path / "a.flac")
    data[26:42] = bytes(16)  # not known
    (tmp_path / "a.flac").write_bytes(data)
    np.testing.assert_array_equal(_audio().read(tmp_path / "a.flac").values, there[:, :500])


def test_a_damaged_mp3_is_not_said_to_be_missing(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", np.zeros((1000, 2)), 48000)
    (tmp_path / "a.mp3").write_bytes((tmp_path / "a.mp3").read_bytes()[:100])
    with pytest.raises(FormatError, match=r"a.mp3: expected a whole audio file that libsndfile reads, got: damage;"):
        _audio(2).read(tmp_path / "a.mp3")


@pytest.mark.parametrize("said", [6006, 6003])
def test_part_of_a_sample_is_said_to_be_left_out(tmp_path: Path, said: int) -> None:
    there = _file(tmp_path / "a.wav")
    data = (tmp_path / "a.wav").read_bytes()
    start = data.index(b"data") + 4
    whole = data[:start] + said.to_bytes(4, "little") + data[start + 4 : start + 4 + (6006 if said == 6006 else 6003)]
    (tmp_path / "a.wav").write_bytes(whole)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values = _audio().read(tmp_path / "a.wav").values
    np.testing.assert_array_equal(values, there[:, : 1001 if said == 6006 else 1000])
    words = "a.wav: 3 bytes at the end of the recording are less than one sample of all channels, and left out"
    assert any(words in str(one.message) for one in caught) == (said != 6006)


@pytest.mark.parametrize("said", [6006, 0])
def test_bw64_is_read_as_rf64(tmp_path: Path, said: int) -> None:
    there = _file(tmp_path / "a.rf64", format="RF64")
    data = bytearray((tmp_path / "a.rf64").read_bytes().replace(b"RF64", b"BW64", 1))
    data[28:36] = said.to_bytes(8, "little")
    (tmp_path / "a.wav").write_bytes(data + _chunk("axml", b"<a/>"))
    if said:
        signal = _audio().read(tmp_path / "a.wav")
        np.testing.assert_array_equal(signal.values, there)
        _audio().write(signal, tmp_path / "b.wav")
        assert _info(tmp_path / "b.wav")[0] == "RF64" and b"axml" in (tmp_path / "b.wav").read_bytes()
    else:
        with pytest.warns(LiveactionWarning, match=r"does not say how long"):
            np.testing.assert_array_equal(_audio().read(tmp_path / "a.wav").values[:, :1001], there)


@pytest.mark.parametrize("container", ["AIFF", "W64", "FLAC"])
def test_streams_of_other_formats_are_refused_with_a_way_out(tmp_path: Path, container: str) -> None:
    path = tmp_path / f"a.{container.lower()}"
    _file(path, format=container)
    data = bytearray(path.read_bytes())
    if container == "FLAC":
        data[21] &= 0xF0
        data[22:26] = bytes(4)
    elif container == "W64":
        place = data.index(b"data") + 16
        data[place : place + 8] = (24).to_bytes(8, "little")
    else:
        place = data.index(b"SSND") + 4
        data[place : place + 4] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"a header that says how long .*; convert it again, from file to file"):
        _audio().read(path)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, subtype: str, bad: float) -> None:
    values = _file(tmp_path / "a.wav", subtype)
    values[1, 7] = bad
    soundfile.write(tmp_path / "a.wav", values.T, 16000, subtype)
    with pytest.raises(FormatError, match=r"got 1 NaN or infinite, the first at \(1, 7\)"):
        _audio().read(tmp_path / "a.wav")


def test_the_channels_of_the_recipe_are_checked(tmp_path: Path) -> None:
    _file(tmp_path / "a.wav", channels=3)
    with pytest.raises(
        FormatError, match=r"expected 2 channels as the recipe has, got 3; .*--set modality.channels=3, or"
    ):
        _audio(2).read(tmp_path / "a.wav")
    with pytest.raises(
        FormatError, match=r"expected 7 channels .* got 3; .*modality.channels=3, and fewer codec.latent_channels"
    ):
        _audio(7).read(tmp_path / "a.wav")


def test_some_channels_are_taken_and_written(tmp_path: Path) -> None:
    there = _file(tmp_path / "a.wav", channels=5)
    audio = _audio(2, options={"select": [4, 1]})
    signal = audio.read(tmp_path / "a.wav")
    np.testing.assert_array_equal(signal.values, there[[4, 1]])
    audio.write(signal, tmp_path / "b.wav")
    np.testing.assert_array_equal(_audio(2).read(tmp_path / "b.wav").values, there[[4, 1]])
    with pytest.raises(FormatError, match=r"expected channels 0 to 4 in modality.options.select, got \[0, 5\]"):
        _audio(2, options={"select": [0, 5]}).read(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"options": {"selct": [0]}},
            r"^\[modality.options\] selct: expected a known key, got 'selct'; did you mean select",
        ),
        (
            {"options": {"select": [0, 1]}},
            r"^\[modality.options\] select: expected 3 different channels .* got \[0, 1\]",
        ),
        ({"options": {"select": [0, 1, 1]}}, "expected 3 different channels"),
        ({"options": {"select": [0, 1, -1]}}, r"^\[modality.options\] select.2: .*got -1"),
        ({"options": {"select": []}}, r"^\[modality.options\] select: .*got \[\]"),
        ({"axes": ("y", "x")}, r"array_audio: expected 1 axis"),
    ],
)
def test_recipes_that_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        _audio(**change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "bits", "limits"),
    [
        ("int8", 0, (-128, 128)),
        ("uint8", 0, (0, 256)),
        ("int16", 0, (-32768, 32768)),
        ("int32", 24, (-(2**23), 2**23)),
        ("int32", 0, (-(2**31), 2**31)),
        ("float32", 0, (-1, 1)),
    ],
)
def test_silence_is_zero(dtype: str, bits: int, limits: tuple[float, float]) -> None:
    silence = 128 if dtype == "uint8" else 0
    values = np.array([[silence, silence + 1, silence]], dtype=dtype)
    signal = Signal(values, ("t",), "", (1.0,), dtype, bits=bits)
    audio = _audio(1)
    assert audio.range_of(signal) == limits
    x = audio.normalise(values, limits)
    assert x[0, 0] == 0 == x[0, 2]
    if signal.native_bits < 3 * 32 or dtype == "float32":  # in float32, 24 bits below full scale are exact
        np.testing.assert_array_equal(audio.denormalise(x, dtype, limits), values)
    for percentiles, reach in (((0, 100), 1.0), ((0, 75), 0.5)):
        audio = _audio(1, range={"percentiles": percentiles})
        assert audio.range_of(signal) == (silence - reach, silence + reach)


def test_24_bits_come_back_from_the_native_range_exactly() -> None:
    values = np.concatenate([np.arange(-(2**23), 2**23, 4099), [2**23 - 1]]).astype(np.int32)[None]
    audio, limits = _audio(1), (-(2.0**23), 2.0**23)
    np.testing.assert_array_equal(audio.denormalise(audio.normalise(values, limits), "int32", limits), values)
    high = audio.denormalise(audio.normalise(values, limits) * 0 + 1, "int32", limits)
    assert (high == 2**23 - 1).all()  # what 24 bits hold


def test_values_beyond_the_subtype_are_cut_on_writing(tmp_path: Path) -> None:
    _file(tmp_path / "a.wav", "PCM_24", channels=1, frames=4)
    signal = _audio(1).read(tmp_path / "a.wav")
    values = np.array([[1e12, -1e12, 1.6, -0.4]])
    _audio(1).write(replace(signal, values=values), tmp_path / "b.wav")
    assert _audio(1).read(tmp_path / "b.wav").values.tolist() == [[2**23 - 1, -(2**23), 2, 0]]


def test_floats_beyond_full_scale_are_said_to_be_clipped(tmp_path: Path) -> None:
    values = _file(tmp_path / "a.wav", "FLOAT")
    values[0, 5] = -2.5
    soundfile.write(tmp_path / "a.wav", values.T, 16000, "FLOAT")
    signal = _audio().read(tmp_path / "a.wav")
    with pytest.warns(LiveactionWarning, match=r"clipped, the peak is 2.5; set range to \[-3, 3\]"):
        assert _audio().range_of(signal) == (-1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _audio(range=[-4, 4]).range_of(signal) == (-4, 4)
        assert _audio(range={"percentiles": [0, 100]}).range_of(signal) == (-2.5, 2.5)


def test_compare_says_what_counts_for_audio(tmp_path: Path) -> None:
    signal = _audio(4).synthetic(0, (8000,))
    rng = np.random.default_rng(0)
    values = (signal.values + rng.integers(-50, 50, signal.values.shape)).astype(np.int16)
    report = _audio(4).compare(signal, replace(signal, values=values))
    assert 10 < report["si_sdr_worst"] <= report["si_sdr"] < 40
    assert 0 < report["level_error_db"] < 3
    assert 0 < report["phase_error_degrees"] < 20
    silent = signal.values.copy()
    silent[2] = 0
    report = _audio(4).compare(replace(signal, values=silent), replace(signal, values=values))
    assert report["si_sdr_worst"] > 10  # a silent channel has no ratio
    assert _audio(4).compare(signal, signal)["si_sdr"] == math.inf
    one = _audio(1).synthetic(0, (100,))
    assert "level_error_db" not in _audio(1).compare(one, one)
    with pytest.raises(ShapeError):
        _audio(4).compare(signal, signal.crop(slice(0, 9)))


@pytest.mark.parametrize(("channels", "samples"), [(1, 1), (2, 40), (6, 70001)])
@pytest.mark.parametrize("alone", [False, True])
def test_previews_are_drawn(tmp_path: Path, channels: int, samples: int, alone: bool) -> None:
    audio = _audio(channels)
    signal = audio.synthetic(0, (samples,))
    near = replace(signal, values=(signal.values // 64 * 64).astype(np.int16))
    audio.preview(None if alone else signal, near, tmp_path / "a.png", "title")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ShapeError, match="expected a reconstruction of shape"):
        audio.preview(replace(signal, values=np.zeros((channels, samples + 1), np.int16)), near, tmp_path / "b.png")


def test_previews_of_every_dtype(tmp_path: Path) -> None:
    for subtype in ("PCM_U8", "PCM_24", "DOUBLE"):
        _file(tmp_path / "a.wav", subtype)
        signal = _audio().read(tmp_path / "a.wav")
        _audio().preview(signal, signal, tmp_path / "a.png")


def test_phantoms_are_the_same_everywhere() -> None:
    digests = [hashlib.sha256(make(7, 3, 20000).tobytes()).hexdigest()[:16] for make in (array_phantom, music_phantom)]
    assert digests == ["f6daa75f3df5e4eb", "f42b1b472a9015c1"]


@pytest.mark.parametrize("channels", [1, 2, 7])
def test_phantoms_of_any_number_of_channels(channels: int) -> None:
    for make in (array_phantom, music_phantom):
        values = make(0, channels, 30000)
        assert values.shape == (channels, 30000) and values.dtype == np.int16
        assert (np.abs(values).max(1) > 1000).all()


def test_microphones_hear_the_same_with_delays() -> None:
    """Neighbours on the ring correlate more, at their best lag, than microphones across it."""
    values = array_phantom(2, 8, 40000).astype(np.float64)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    assert 0.3 < values[0] @ values[1] < 0.99
    lags = range(-12, 13)
    across = [float(values[0, 20:-20] @ np.roll(values[4], lag)[20:-20]) for lag in lags]
    assert max(across) > values[0] @ values[4]


@pytest.mark.parametrize("name", ["array_audio_smoke", "array_audio_light", "music_smoke", "music_light"])
@pytest.mark.parametrize("channels", [1, 2, 4, 5, 7, 8, 16])
def test_recipes_take_any_number_of_channels(name: str, channels: int) -> None:
    import torch

    from liveaction.codec.codec import build_codec

    overrides = [f"modality.channels={channels}"]
    if channels < min(4, load_recipe(name).modality.channels):
        overrides.append("codec.latent_channels=32")
    recipe = load_recipe(name, overrides)
    with torch.device("meta"):
        assert build_codec(recipe).channels == channels


@pytest.mark.parametrize("name", ["array_audio_f128c28", "paper_array_audio_f128c28", "music_f512c16"])
def test_shipped_recipes_make_audio(name: str) -> None:
    assert len(Audio(load_recipe(name).modality).spec.axes) == 1


def test_nothing_found(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for path, words in (
        (tmp_path / "nowhere", "no such path"),
        (tmp_path, "other files only"),
        (tmp_path / "notes.txt", "a file named 'notes.txt'"),
    ):
        with pytest.raises(FormatError, match=words):
            _audio().find(path)
    _file(tmp_path / "a.WAV", format="WAV")
    assert _audio().find(tmp_path) == [tmp_path / "a.WAV"]
    with pytest.raises(FormatError, match="expected one audio file, got a folder"):
        _audio().read(tmp_path)


@pytest.mark.parametrize("metadata", [{}, {"rate": 0, "subtype": "PCM_16"}, {"rate": 16000, "subtype": "VORBIS"}])
def test_metadata_that_describe_no_recording(tmp_path: Path, metadata: dict[str, Any]) -> None:
    signal = Signal(np.zeros((1, 3), np.int16), ("t",), "", (1.0,), "int16", metadata)
    with pytest.raises(FormatError, match="expected metadata with a rate and a subtype among"):
        _audio(1).write(signal, tmp_path / "a.wav")
    with pytest.raises(ShapeError, match=r"expected values \[C, T\]"):
        _audio(1).write(replace(signal, values=np.zeros((1, 0), np.int16)), tmp_path / "a.wav")


@pytest.mark.parametrize(("name", "channels", "bits", "rate"), REAL, ids=[Path(case[0]).stem for case in REAL])
def test_real_files_come_back(data_dir: Path, tmp_path: Path, name: str, channels: int, bits: int, rate: int) -> None:
    source, target = data_dir / name, tmp_path / Path(name).name
    audio = _audio(channels)
    signal = audio.read(source)
    assert (signal.bits or 8 * signal.values.itemsize, signal.metadata["rate"]) == (bits, rate)
    assert np.abs(signal.values.astype(np.int64)).max() < 2 ** (bits - 1)
    audio.write(signal, target)
    assert _info(source) == _info(target)
    again = audio.read(target)
    np.testing.assert_array_equal(again.values, signal.values)
    assert again.metadata == signal.metadata
