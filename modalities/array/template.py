"""A commented recipe for an array: general, or filled in from a file."""

import json
from dataclasses import dataclass
from math import ceil, floor, isinf, isnan, log10, nan, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.modalities.array.hdf5_attributes import restore_value

_NAMES = ("t", "z", "y", "x")
_CHANNELS = {"c", "channel", "channels", "component", "components", "rgb"}
_LEVELS = {1: 4, 2: 2, 3: 2, 4: 1}  # of wavelet packets per axis, by the number of axes
_BLOCKS = {1: (32, 256), 2: (8,)}  # of lapped transforms to try beside them; on three axes 8 along the last two
_FEW = 16  # channels that one rotation per band is learnt for; more take a basis of each file's own

_TEXT = """\
# {title}
# liveaction check {name}.yaml --data FILE   says what it amounts to on a file of yours, and what it would cost
# liveaction train {name}.yaml --data FOLDER --out runs/{name}
name: {name}
description: {description}

modality:
  name: array
  axes: {axes}      # what is transformed, by names of your own;{axes_note}
  channels: {channels}      # components at one point;{channels_note}
  unit: "{unit}"      # of the values; shown in reports and pictures
  # What maps onto [-1, 1]: [low, high] in the unit, values outside are clipped; native, all that the integers of the
  # file can hold; or {{percentiles: [0.1, 99.9]}} of each file.
  range: {range}{range_note}
  options:
    # The axes as they are stored in the file, all of them. The channel axis is the one called {channel_axis}
    # (channel_axis: NAME calls it otherwise). An axis that is neither in axes nor the channel axis has extent 1.
    order: {order}{order_note}
{channel_line}    {key_line}
    {dtype_line}
    {no_data_line}
    # spacing: {spacing}      # distance between samples per transformed axis

codec:
  # Every coefficient of the transform is a latent: no network, nothing is lost but by rounding, and it is made in
  # seconds. Along each axis wavelet packets are taken (levels), or blocks of a lapped cosine transform.
  wavelet: bior6.8      # or bior4.4, shorter
  levels: {levels}      # halvings per axis: one number for all, or a list; 2**levels samples to a token
  continuation: {continuation}      # further levels of the lowest band alone, inside each chunk
{trees}  boundary: symmetric
  # basis none leaves channels as they are; trained rotates them within each band, as the training data have it; own
  # takes a basis of each file's own, also where channels is 0, for any number of them.
  encoder: {{kind: sparse, basis: {basis}}}
  decoder: {{kind: linear}}      # no network; see the end
  # step: larger gives smaller files. compress --quality 1..7 takes other steps from the same model.
  quantizer: {{kind: uniform, step: 0.1}}

training:
  steps: 0      # nothing is learnt step by step; rotations, the order of bands and entropy tables come from the data
  crop: {crop}      # extents of the crops that are measured, each a number or one per axis, multiples of 2**levels
  start: warm
  warm_crops: 64      # how many

# A network that makes more of the same latents: leave trees out, take basis none or trained, and
#   codec.decoder: {{kind: light, depth: 4}}      # light for CPUs; {{kind: vit, depth: 8}} is better and wants a GPU
#   training: {{steps: 3000, batch: 4, learning_rate: 0.002, validate_every: 250}}
# A codec of fewer latents than samples, with a network on both sides: liveaction new NAME --like array_smoke
"""


@dataclass(frozen=True)
class Facts:
    """What a file says: names and extents of the stored axes, which is the channel axis, dtype, range, no data."""

    source: str
    order: tuple[str, ...]
    shape: tuple[int, ...]
    channel: str | None
    dtype: str
    limits: tuple[float, float]
    no_data: float | None
    key: str | None

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes to transform: all but the channels and those of extent 1."""
        sizes = dict(zip(self.order, self.shape, strict=True))
        found = tuple(name for name in self.order if name != self.channel and sizes[name] > 1)
        return found or tuple(name for name in self.order if name != self.channel)[-1:]

    @property
    def extents(self) -> tuple[int, ...]:
        """Of the transformed axes."""
        return tuple(self.shape[self.order.index(name)] for name in self.axes)

    @property
    def channels(self) -> int:
        """How many."""
        return 1 if self.channel is None else self.shape[self.order.index(self.channel)]


def gather_facts(source: Path, array: NDArray[Any], stored: dict[str, Any], key: str | None) -> Facts:
    """Look at an array as its format read it.

    Names are the file's where it has some (Zarr, scales and labels of HDF5), else t, z, y, x. No data are NaN where
    there are some, else the ``_FillValue`` or ``missing_value`` of its attributes where that occurs.
    """
    names = _stored_names(stored, array.ndim)
    if names is not None:
        channel = next((i for i, name in enumerate(names) if name.lower() in _CHANNELS), None)
    else:
        channel = _channel_axis(array.shape)
        plain = [n for i, n in enumerate(array.shape) if i != channel]
        given = _NAMES[-len(plain) :] if len(plain) <= 4 else tuple(f"a{i}" for i in range(len(plain)))
        rest = iter(given)
        names = tuple("c" if i == channel else next(rest) for i in range(array.ndim))
    sample = array.reshape(-1)[:: max(1, array.size // 2**24)]  # enough to know the range
    no_data = next((mark for mark in (nan, *_said_missing(stored)) if _equal(sample, mark).any()), None)
    there = sample[np.isfinite(sample)] if no_data is None else sample[np.isfinite(sample) & ~_equal(sample, no_data)]
    limits = _outward(float(there.min()), float(there.max())) if there.size else (0.0, 1.0)
    kept = None if stored.get("key") in (None, "") or (key is None and not stored.get("others")) else stored["key"]
    label = None if channel is None else names[channel]
    return Facts(source.name, names, array.shape, label, array.dtype.name, limits, no_data, kept)


def array_recipe(name: str, facts: Facts | None) -> str:
    """The text of a recipe for the modality ``array``; general where there are no facts."""
    known = facts or Facts("", ("z", "y", "x"), (256, 256, 256), None, "float32", (0.0, 1.0), None, None)
    levels = choose_levels(known.extents)
    said = f"{known.source} is {' x '.join(map(str, known.shape))} {known.dtype}"
    channel = known.channel or "c"
    return _TEXT.format(
        name=name,
        title=f"Arrays like {known.source}" if facts else "Any array in npy, npz, HDF5 or Zarr",
        description=f"arrays like {known.source}, {known.dtype}" if facts else "arrays of my own",
        axes=_listed(known.axes),
        axes_note=f" {said}" if facts else " one to four, the last varying fastest as a rule",
        channels=known.channels,
        channels_note=_channels_note(facts),
        unit="",
        range=f"[{_number(known.limits[0])}, {_number(known.limits[1])}]",
        range_note=f"      # a little more than the least and the largest value of {known.source}" if facts else "",
        channel_axis=channel,
        channel_line=f"    channel_axis: {channel}\n" if channel != "c" else "",
        order=_listed(known.order),
        order_note="      # names are guesses; change them at will, here and in axes" if facts else "",
        key_line=f"key: {known.key}      # the array in the file"
        if known.key
        else "# key: /scan/raw      # which array, where an npz, HDF5 or Zarr holds several",
        dtype_line=f"dtype: {known.dtype}      # files of another dtype are refused"
        if facts
        else "# dtype: float32      # files of another dtype are refused",
        no_data_line=f"no_data: {_number(known.no_data)}      # is where nothing was measured; it comes back as it was"
        if known.no_data is not None
        else "# no_data: -9999      # where nothing was measured (or nan); counts for nothing, comes back exactly",
        spacing=json.dumps([1.0] * len(known.axes)),
        levels=_short(levels),
        continuation=2 if len(known.axes) > 1 else 4,
        trees=_trees_lines(known.extents, levels),
        basis="none" if known.channels == 1 else "trained" if known.channels <= _FEW else "own",
        crop=json.dumps([list(choose_crop(known.channels, known.extents, levels))]),
    )


def choose_levels(extents: tuple[int, ...]) -> tuple[int, ...]:
    """Levels per axis: two as a rule, fewer where not four tokens would be left."""
    return tuple(max(0, min(_LEVELS.get(len(extents), 1), (n // 4).bit_length() - 1)) for n in extents)


def _trees_lines(extents: tuple[int, ...], levels: tuple[int, ...]) -> str:
    """Further trees, each with what it is for: other levels, lapped blocks, none along the first axis."""
    count, found = len(extents), []
    if count > 1 and any(level > 1 for level in levels):
        finer = tuple(min(level, 1) for level in levels)
        found.append((f"levels: {_short(finer)}, continuation: 3", "fine structure"))
    for block in _BLOCKS.get(count, (8,) if count == 3 else ()):
        lapped = tuple(block if n >= 2 * block and axis >= count - 2 else 0 for axis, n in enumerate(extents))
        left = tuple(0 if width else min(level, 1) for width, level in zip(lapped, levels, strict=True))
        if any(lapped):
            found.append(
                (f"levels: {_short(left)}, lapped: {_short(lapped)}, continuation: 1", "textures, oscillations")
            )
    if count > 1 and levels[0] and any(levels[1:]):
        steps = json.dumps([[0] + [1] * (count - 1)] * 2)
        flat = _short((0, *levels[1:]))
        found.append((f"levels: {flat}, continuation: {steps}", "little in common along the first axis"))
    if not found:
        return ""
    head = "  trees:      # of these and of the one above compress takes the one that costs a file least\n"
    return head + "".join(f"    - {{{table}}}      # {note}\n" for table, note in found)


def _short(values: tuple[int, ...]) -> str:
    return json.dumps(list(values)) if len(set(values)) > 1 else str(values[0])


def choose_crop(channels: int, extents: tuple[int, ...], levels: tuple[int, ...]) -> tuple[int, ...]:
    """Extents of training crops: about 2**17 values, no longer than the file, multiples of 2**levels."""
    crop = [2**level for level in levels]
    while True:
        short = [a for a, n in enumerate(extents) if 2 * crop[a] <= max(n, 2 ** levels[a])]
        if not short or 2 * channels * prod(crop) > 2**17:
            return tuple(crop)
        crop[min(short, key=lambda a: crop[a] / extents[a])] *= 2


def _channels_note(facts: Facts | None) -> str:
    if facts is None:
        return " colours, sensors, polarisations"
    if facts.channel is None:
        return " no axis looks like channels; name one in order if it is"
    return f" axis {facts.channel} is the short one; if it is an axis like the others, name it in axes"


def _channel_axis(shape: tuple[int, ...]) -> int | None:
    """The first or last axis where it is at most 16 long, and every other longer than one is four times as long."""
    for axis in (len(shape) - 1, 0):
        others = [n for i, n in enumerate(shape) if i != axis and n > 1]
        if len(shape) > 1 and 1 < shape[axis] <= 16 and others and min(others) >= 4 * shape[axis]:
            return axis
    return None


def _said_missing(stored: dict[str, Any]) -> list[float]:
    """Numbers that attributes of an array say stand where nothing was measured, as NetCDF and xarray write them."""
    tables = [stored.get("attributes", {}).get(stored.get("key"), {})]
    tables += [document.get("attributes", document) for document in stored.get("documents", {}).values()]
    found = [table[name] for table in tables for name in ("_FillValue", "missing_value") if name in table]
    plain = [restore_value(value) if isinstance(value, dict) and "base64" in value else value for value in found]
    flat = [number for value in plain for number in np.ravel(value).tolist()]
    return [float(number) for number in flat if isinstance(number, int | float)]


def _equal(values: NDArray[Any], mark: float) -> NDArray[np.bool_]:
    """Where a mark stands; NumPy compares integers with numbers beyond them rightly."""
    if isnan(mark):
        return np.asarray(np.isnan(values))
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            near = values.dtype.type(mark)
        return np.asarray((values == near) & np.isfinite(near))
    return np.asarray(values == (int(mark) if mark.is_integer() else mark))


def _stored_names(stored: dict[str, Any], ndim: int) -> tuple[str, ...] | None:
    """Axis names that a Zarr store or an HDF5 file holds, where they are whole and differ."""
    own = stored.get("attributes", {}).get(stored.get("key"), {})
    labels = own.get("DIMENSION_LABELS", {}).get("texts", [""] * ndim)
    scales = {scale["axis"]: scale["key"].split("/")[-1] for scale in stored.get("scales", ())}
    named = {"dimension_names": [label or scales.get(axis, "") for axis, label in enumerate(labels)]}
    for document in [*stored.get("documents", {}).values(), named]:
        names = document.get("dimension_names") or document.get("_ARRAY_DIMENSIONS") or ()
        words = [name for name in names if isinstance(name, str) and name.isidentifier()]
        if len(words) == len(names) == len(set(names)) == ndim:
            return tuple(words)
    return None


def _outward(low: float, high: float) -> tuple[float, float]:
    """The two, moved apart to numbers of few digits."""
    if isinf(high - low):
        return low, high
    if low == high:
        step = max(1.0, abs(low) * 2.0**-10)
        return low - step, high + step
    power = floor(log10(high - low)) - 1
    unit = 10.0**power
    least, largest = (round(bound * unit, max(0, -power)) for bound in (floor(low / unit), ceil(high / unit)))
    return min(least, low), max(largest, high)


def _number(value: float) -> str:
    """A number in 15 digits, or in as many as it takes, as YAML has it: ``1.0e+17``."""
    short = f"{value:.15g}"
    short = short if float(short) == value else repr(value)
    return short.replace("e", ".0e") if "e" in short and "." not in short else short


def _listed(names: tuple[str, ...]) -> str:
    words = {"yes", "no", "on", "off", "null", "true", "false"}  # YAML reads these otherwise
    return f"[{', '.join(json.dumps(name) if name.lower() in words else name for name in names)}]"
