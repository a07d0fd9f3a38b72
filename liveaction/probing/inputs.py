"""What networks see: stores of every input of a protocol, for every fold; codecs are trained on its own items alone."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from liveaction.codec.model import load
from liveaction.errors import FormatError, SpecError
from liveaction.evaluation.baselines.registry import make_baseline
from liveaction.evaluation.coders import BaselineCoder
from liveaction.evaluation.item import Source
from liveaction.files import atomic_path
from liveaction.learning.labels import LabelledItem
from liveaction.learning.macs import encoder_macs_per_value
from liveaction.learning.making import Count, StoreOptions, make_store
from liveaction.learning.sources import Encoded, ItemSource, LatentSource, SampleSource, fitted, seen
from liveaction.learning.store import LatentStore
from liveaction.marking import refuse_marked
from liveaction.probing.folds import Division
from liveaction.probing.protocol import InputEntry, ProbeProtocol
from liveaction.probing.signals import Target
from liveaction.registry import build_modality
from liveaction.spec import Recipe
from liveaction.training.loop import Listener
from liveaction.training.result import complete_result
from liveaction.training.run import train

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality

Announce = Callable[[str, Recipe], Listener]


@dataclass(frozen=True)
class ProbeInput:
    """An input of one fold: its store, multiply-accumulates per value that making it takes, what it is in words."""

    name: str
    entry: InputEntry
    store: LatentStore
    encoder_macs: float
    words: str


@dataclass
class Inputs:
    """Makes the inputs of a protocol below a folder; what is there is not made again.

    Attributes:
        protocol: of the study.
        items: all of them, with their labels.
        out: folder of the study.
        count: is told of items that are encoded; ``announce`` of codecs that are trained.
    """

    protocol: ProbeProtocol
    items: list[LabelledItem]
    out: Path
    count: Count = lambda done, total, text: None
    announce: Announce | None = None
    device: str = "cpu"
    _models: dict[Path, Any] = field(default_factory=dict)

    @property
    def modality(self) -> "Modality":
        """Of the first codec beside the target's, which all read items with; a protocol without codecs has none.

        Raises:
            SpecError: there is no codec.
        """
        codecs = [name for name in self.protocol.codecs if name != self.protocol.target]
        if not codecs:
            raise SpecError("codecs: expected at least one, whose modality reads the items, got none")
        modality: Modality = build_modality(self.protocol.recipe(codecs[0]).modality)
        return modality

    def of(self, name: str, division: Division) -> ProbeInput:
        """An input in a fold.

        Raises:
            FormatError: an item cannot be read.
            SpecError: a baseline cannot code an item; a folder holds something else.
        """
        entry = self.protocol.inputs[name]
        source: ItemSource
        if entry.latents:
            model = self._model(entry.latents, division)
            source = LatentSource(model, entry.factor * model.codec.quantizer.step)
            place = f"{entry.latents}_x{entry.factor:g}_{division.name}"
            words = f"{model.recipe.name}, {source.channels} latents"
        elif entry.baseline:
            assert entry.value is not None
            source = BaselineSource(self.modality, entry.baseline, entry.value)
            place = f"{entry.baseline}_{entry.value:g}"
            words = f"decoded from {source.label} at {entry.value:g}"
        else:
            source = SampleSource(self.modality, entry.resample or 1)
            place = f"samples_1_{source.reduction}"
            words = "samples" if source.reduction == 1 else f"resampled by {source.reduction} per axis"
        task = self.protocol.items.task
        options = StoreOptions(None if task == "signal" else task, self.protocol.items.fit, self.protocol.views)
        store = make_store(self.items, source, self.out / "stores" / place, options, self.count)
        return ProbeInput(name, entry, store, macs_before(store), words)

    def target(self, division: Division) -> Target:
        """What networks predict in a fold of the task ``signal``.

        Raises:
            FormatError: a target cannot be read.
            SpecError: its codec maps values by what each signal holds, or has other tokens than the networks; a target
                is a picture that is marked as synthesised.
        """
        name, fit = self.protocol.target, self.protocol.items.fit
        paths = {item.name: Path(item.label) for item in self.items}
        refuse_marked("target", paths.values(), "leave it out")
        model = self._model(name, division)
        targets = [replace(item, path=paths[item.name], label="") for item in self.items]
        place = self.out / "stores" / f"target_{name}_{division.name}"
        store = make_store(targets, LatentSource(model), place, StoreOptions(None, fit), self.count)
        return Target.of(model, store, paths, division.learn, fit, self.protocol.network.token)

    def _model(self, codec: str, division: Division) -> Any:
        """The codec of a fold, trained from items of its training split that a seed draws."""
        folder = self.out / "models" / f"{codec}_{division.name}"
        if folder in self._models:
            return self._models[folder]
        entry = self.protocol.codecs[codec]
        recipe = self.protocol.recipe(codec)
        rng = np.random.default_rng([recipe.training.seed, len(division.learn)])
        chosen = sorted(rng.permutation(len(division.learn))[: entry.items].tolist())
        aimed = codec == self.protocol.target
        paths = {item.name: item.label if aimed else str(item.path) for item in self.items}
        learnt = [division.learn[place] for place in chosen]
        record = folder / "trained_on.json"
        if complete_result(folder, recipe) is None or not record.is_file() or json.loads(record.read_text()) != learnt:
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(record) as part:
                part.write_text(json.dumps(learnt, indent=1) + "\n")
            listener = self.announce(f"{codec} of {division.name}", recipe) if self.announce else None
            files = [paths[name] for name in learnt]
            classes = {item.path: item.label for item in self.items} if recipe.training.classes else None
            train(recipe, files, folder, resume=True, device=self.device, listener=listener, labels=classes)
        self._models[folder] = load(folder, device=self.device)
        return self._models[folder]


class BaselineSource(ItemSource):
    """Samples as another codec gives them back, and the bytes that it took."""

    kind = "samples"

    def __init__(self, modality: "Modality", name: str, value: float) -> None:
        self._samples = SampleSource(modality)
        self.coder, self.value = BaselineCoder(make_baseline(name), modality), value
        self.modality, self.channels, self.factors = modality, self._samples.channels, self._samples.factors
        self.step, self.dtype, self.exact = 1.0, "", self._samples.exact
        self.label = self.coder.baseline.label

    def about(self) -> dict[str, Any]:
        return super().about() | {"baseline": self.coder.codec, "value": self.value}

    def encode(self, path: Path, fit: Mapping[str, int], views: tuple[str, ...]) -> list[Encoded]:
        whole = fitted(self.modality.read(path), fit)
        found = []
        for view in views:
            signal = replace(seen(whole, view), missing=None)
            limits = self.modality.range_of(signal)
            source = Source(
                name=path.name, digest="", shape=signal.values.shape, axes=signal.axes, dtype=signal.dtype,
                bits=signal.bits or signal.native_bits // signal.values.size, unit=signal.unit, limits=limits,
            )  # fmt: skip
            reason = self.coder.refuses(signal, source)
            if reason is not None:
                raise SpecError(f"{path}: expected a signal that {self.label} codes, got one that it refuses: {reason}")
            data, _ = self.coder.encode(signal, source, self.value)
            values = self.coder.decode(data, signal, source)[0].values
            self.dtype = values.dtype.name
            found.append(Encoded(np.ascontiguousarray(values), values.shape, len(data), 0))
        return found


def macs_before(store: LatentStore) -> float:
    """Of making latents, per sample of each channel; resampling and other codecs are not counted.

    Raises:
        FormatError: the store's recipe is none.
    """
    if store.about.recipe is None:
        return 0.0
    try:
        recipe = Recipe.model_validate(store.about.recipe)
    except ValidationError as error:
        raise FormatError(f"{store.folder}: expected the recipe of its model, got another table") from error
    return encoder_macs_per_value(recipe, tuple(store.items[0].shape[1:]))
