"""A study as it is asked for: by a protocol, or of a store that is there."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from liveaction.errors import FormatError, SpecError
from liveaction.learning.fit import FitRules
from liveaction.learning.labels import TEST, LabelledItem, labelled_items
from liveaction.learning.store import LatentStore
from liveaction.probing.folds import Division
from liveaction.probing.inputs import Inputs, ProbeInput, macs_before
from liveaction.probing.prepare import prepare
from liveaction.probing.protocol import CodecEntry, FoldsTable, InputEntry, ItemsTable, NetworkTable, ProbeProtocol
from liveaction.registry import build_modality

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality

LATENTS = "latents"
"""What a store is called among the inputs of its own study."""
MOST_FOLDS = 5


def protocol_items(protocol: ProbeProtocol, data: Path, out: Path) -> list[LabelledItem]:
    """The items of a protocol, which are prepared first where it says so.

    Raises:
        FormatError: they are not there, or a label is missing.
        UnknownNameError: there is no such preparation.
    """
    folder = data / protocol.items.folder
    if not folder.exists():
        raise FormatError(f"--data {data}: expected the protocol's folder {protocol.items.folder!r} in it, got none")
    if protocol.items.prepare:
        folder = prepare(protocol.items.prepare, folder, out / "data")
    modality = Inputs(protocol, [], out).modality
    labels, task = protocol.items.labels, protocol.items.task
    table = folder / labels
    items = labelled_items(folder, modality.find(folder), str(table) if table.is_file() else labels)
    if task in ("map", "signal"):
        items = [replace(item, label=str(table.parent / item.label)) for item in items]
    lost = next((item for item in items if task == "signal" and not Path(item.label).exists()), None)
    if lost is not None:
        raise FormatError(f"{table}: expected the path of a target signal for {lost.name!r}, got {lost.label!r}")
    return items


@dataclass
class StoreInputs(Inputs):
    """Inputs of a study of a store: the store itself, and samples of the very items."""

    store: LatentStore | None = None

    @property
    def modality(self) -> "Modality":
        """As the store says."""
        assert self.store is not None
        return cast("Modality", build_modality(self.store.about.modality))

    def of(self, name: str, division: Division) -> ProbeInput:
        assert self.store is not None
        if name != LATENTS:
            return super().of(name, division)
        recipe = self.store.about.recipe
        words = f"{recipe['name'] if recipe else 'a store'}, {self.store.about.channels} latents"
        return ProbeInput(name, self.protocol.inputs[name], self.store, macs_before(self.store), words)


def store_protocol(
    store: LatentStore, against: Sequence[str], seeds: Sequence[int], widths: Sequence[int], training: FitRules,
    compute: Literal["equal", "any"],
) -> ProbeProtocol:  # fmt: skip
    """The protocol of a store beside ``samples`` and ``resampleN`` of its items.

    Raises:
        SpecError: no labels, or of one class; neither a split ``test`` nor groups; ``against`` is none of these.
    """
    about = store.about
    if about.task is None:
        raise SpecError(f"{store.folder}: expected a store with labels, got one without; make it with --labels")
    if about.task == "class" and len(about.names) < 2:
        raise SpecError(f"{store.folder}: expected at least two classes to tell apart, got {list(about.names)}")
    inputs = {LATENTS: InputEntry(latents=LATENTS)}
    for name in against:
        number = name.removeprefix("resample") if name != "samples" else "1"
        if not re.fullmatch(r"[1-9][0-9]{0,8}", number):
            raise SpecError(f"--against: expected samples or resampleN such as resample8, got {name!r}")
        inputs[name] = InputEntry(resample=int(number))
    return ProbeProtocol(
        name=re.sub(r"[^A-Za-z0-9_.-]", "_", store.folder.resolve().name) or "store",
        description=f"Learning from {store.folder}",
        items=ItemsTable(labels="store", task=about.task, fit=about.fit),
        folds=_folds(store), codecs={LATENTS: CodecEntry(recipe=str((about.recipe or {}).get("name", "samples")))},
        inputs=inputs, network=NetworkTable(token=_token(about.axes, about.factors, inputs), widths=tuple(widths)),
        training=training, seeds=tuple(seeds), reference=next((name for name in against), LATENTS), compute=compute,
        views=about.views,
    )  # fmt: skip


def store_items(store: LatentStore, data: Path | None) -> list[LabelledItem]:
    """The items of a store; with a folder, where their files lie.

    Raises:
        FormatError: one is not there.
    """
    items = []
    for item in store.items:
        path = Path(item.name) if data is None else data / item.name
        if data is not None and not path.exists():
            raise FormatError(f"--data {data}: expected the store's item {item.name!r} in it, got none")
        items.append(LabelledItem(item.name, path, item.label, item.split, item.group))
    return items


def _token(axes: Sequence[str], factors: Sequence[int], inputs: dict[str, InputEntry]) -> dict[str, int]:
    """Samples per token: as many as a position of the latents, or of the most that is resampled."""
    from math import lcm

    steps = [entry.resample or 1 for entry in inputs.values()]
    return {axis: lcm(factor, *steps) for axis, factor in zip(axes, factors, strict=True)}


def _folds(store: LatentStore) -> FoldsTable:
    if TEST in store.about.splits and len(store.about.splits) > 1:
        return FoldsTable(own=True)
    groups = {item.group for item in store.items}
    if len(groups) < 2 or "" in groups:
        raise SpecError(
            f"{store.folder}: expected items of a split test, or of several groups, got neither; labels name them by "
            "folders, (?P<split>...), (?P<group>...) or columns of a table"
        )
    return FoldsTable(count=min(MOST_FOLDS, len(groups)))
