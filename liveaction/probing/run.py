"""A study from beginning to end: inputs made, one network trained for every input, fold and seed, all of it kept.

OUT/models/CODEC_FOLD       codecs, each trained from items of its fold's training split
OUT/stores/                 what networks see, one of each codec, step and fold, or of samples
OUT/runs/INPUT/FOLD_SEED.json   one training and its test: what is there is not trained again
OUT/heads/INPUT_FOLD_SEED   with ``keep``: the trained networks, to be used as judges
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from liveaction.errors import SpecError
from liveaction.files import atomic_path
from liveaction.learning.dataset import LatentDataset, selection
from liveaction.learning.fit import fit_head, labels_of, predict, seeded
from liveaction.learning.heads import SignalHead
from liveaction.learning.inputs import InputSpec
from liveaction.learning.kept import Takes, save_head
from liveaction.learning.labels import LabelledItem
from liveaction.learning.macs import count_macs
from liveaction.learning.nets import token_net
from liveaction.learning.sources import fitted
from liveaction.learning.store import LatentStore
from liveaction.probing.folds import Division, divisions
from liveaction.probing.inputs import Inputs, ProbeInput
from liveaction.probing.protocol import BOUNDS, ProbeProtocol
from liveaction.probing.scores import class_scores, dice
from liveaction.probing.signals import Pairs, Target, digest_parts, each_of, means_of
from liveaction.profiling.circumstances import circumstances

Told = Callable[[str], None]
MOST_APART = 1.25
"""Times that multiply-accumulates of two inputs may differ, encoder included, and still count as equal compute."""


class Run(BaseModel):
    """One training and its test.

    Attributes:
        settings: digest of all that decides it.
        scores: ``accuracy``, ``macro_recall``, ``dice``, ``rmse`` of numbers, or measures of signals.
        right: of classes, whether each test item was told, in the order of ``tested``; ``each`` of signals, how
            close each came, by what inputs are compared by.
        macs, encoder_macs: multiply-accumulates per item of the network, and of what makes its input.
        bytes: per item as a stream, or as samples; ``values`` numbers that a network sees; ``reduction`` samples of
            each of them.
        seconds, cpu_seconds: of an epoch; ``items`` in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str
    words: str
    fold: str
    seed: int
    settings: str
    scores: dict[str, float]
    right: list[bool]
    each: list[float] = []
    tested: list[str]
    parameters: int
    macs: float
    encoder_macs: float
    bytes: float
    container: float
    values: int
    reduction: float
    seconds: float
    cpu_seconds: float
    items: int
    losses: list[float]
    circumstances: dict[str, Any]


@dataclass(frozen=True)
class Study:
    """What is asked for: a protocol, its items, and where everything goes.

    Attributes:
        device: networks are trained on; ``keep`` their weights.
        tell: what is being done, in words.
    """

    protocol: ProbeProtocol
    items: list[LabelledItem]
    out: Path
    device: str = "cpu"
    keep: bool = False
    tell: Told = lambda text: None

    def run(self, inputs: Inputs) -> list[Run]:
        """All trainings of all inputs, folds and seeds.

        Raises:
            SpecError: inputs differ in compute by more than a quarter where they must not.
        """
        if self.keep and self.protocol.target:
            raise SpecError("--keep: expected a task whose networks are judges, got signal; leave it out")
        told = circumstances()
        runs: list[Run] = []
        for division in divisions(self.items, self.protocol.folds):
            target = inputs.target(division) if self.protocol.target else None
            first = len(runs)
            for name in self.protocol.inputs:
                runs += self._of(inputs.of(name, division), division, told, target)
            if target is not None:
                runs += self._bounds(runs[first], division, target, inputs)
        check_compute(runs, self.protocol.compute)
        return runs

    def _bounds(self, like: Run, division: Division, target: Target, inputs: Inputs) -> list[Run]:
        """What the codec of the target reaches alone, and what is there before anything is learnt."""
        names, paths = division.test, {item.name: item.path for item in self.items}
        self.tell(f"what the target's codec reaches alone, {division.name}")
        rows = target.alone(names), target.unlearnt(names, paths, inputs.modality)
        words = "the target coded and decoded", "the input taken for the target"
        none = {"parameters": 0, "macs": 0.0, "encoder_macs": 0.0, "seconds": 0.0, "cpu_seconds": 0.0, "losses": []}
        stored = {item.name: item.bytes for item in target.store.items}
        bits = fitted(inputs.modality.read(paths[names[0]]), self.protocol.items.fit).native_bits
        sizes = fmean(stored[name] for name in names), bits / 8
        return [
            like.model_copy(update=none | {
                "input": name, "words": said, "scores": means_of(row), "each": each_of(row), "bytes": size,
                "container": 0.0, "values": 0, "reduction": 0.0,
            })
            for name, said, row, size in zip(BOUNDS, words, rows, sizes, strict=True)
        ]  # fmt: skip

    def _of(self, given: ProbeInput, division: Division, told: dict[str, Any], target: Target | None) -> Iterator[Run]:
        learn, test = datasets(self.protocol, given, division)
        for seed in self.protocol.seeds:
            path = self.out / "runs" / given.name / f"{division.name}_seed{seed}.json"
            settings = _settings(self.protocol, given, division, seed, target)
            known = _known(path)
            lost = self.keep and not self._head(given, division, seed).is_dir()
            if known is None or known.settings != settings or lost:
                self.tell(f"{given.name}, {division.name}, seed {seed}")
                known = self._train(given, division, seed, learn, test, settings, told, target)
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(path) as part:
                    part.write_text(known.model_dump_json() + "\n")
            yield known

    def _head(self, given: ProbeInput, division: Division, seed: int) -> Path:
        return self.out / "heads" / f"{given.name}_{division.name}_seed{seed}"

    def _train(
        self, given: ProbeInput, division: Division, seed: int, drawn: LatentDataset, test: LatentDataset,
        settings: str, told: dict[str, Any], target: Target | None,
    ) -> Run:  # fmt: skip
        drawn.seed = seed
        learn: LatentDataset | Pairs = drawn if target is None else Pairs(drawn, target)
        options = network_options(self.protocol, given, learn.spec)
        net = seeded(lambda: token_net(learn.spec, **options), seed)
        if isinstance(net, SignalHead) and isinstance(learn, Pairs):
            net.start(learn.batches(self.protocol.training.batch))
        parts = self.protocol.training.epochs
        fitted = fit_head(
            net, learn, self.protocol.training, seed, self.device,
            lambda epoch, epochs, loss: self.tell(
                f"{given.name}, {division.name}, seed {seed}: epoch {epoch} of {parts}, loss {loss:.3f}"
            ),
        )  # fmt: skip
        outputs = predict(net, test if target is None else Pairs(test, target), device=self.device)
        place = self._head(given, division, seed)
        if place.is_dir():
            shutil.rmtree(place)  # of other settings, or half of it
        if self.keep:
            place.parent.mkdir(parents=True, exist_ok=True)
            save_head(place, net, learn.spec, options, takes_of(given))
        spec = learn.spec
        channels = given.store.items[0].shape[0]
        return Run(
            input=given.name, words=given.words, fold=division.name, seed=seed, settings=settings,
            **_tested(outputs, test, spec, division, target), tested=list(division.test),
            parameters=sum(each.numel() for each in net.parameters()), macs=count_macs(net, spec),
            encoder_macs=given.encoder_macs * prod(spec.samples) * channels, bytes=test.bytes_per_item(),
            container=_container(test), values=spec.values, reduction=channels * prod(spec.samples) / spec.values,
            seconds=fitted.seconds, cpu_seconds=fitted.cpu_seconds, items=len(learn), losses=list(fitted.losses),
            circumstances=told,
        )  # fmt: skip


def _tested(
    outputs: NDArray[np.float32], test: LatentDataset, spec: InputSpec, division: Division, target: Target | None
) -> dict[str, Any]:
    """What a test says: scores, and of every item whether it was told, or how close it came."""
    if target is not None:
        rows = target.scores(outputs, division.test)
        return {"scores": means_of(rows), "right": [], "each": each_of(rows)}
    labels = labels_of(test)
    return {"scores": scores_of(outputs, labels, spec), "right": right_of(outputs, labels, spec)}


def takes_of(given: ProbeInput) -> Takes:
    """What a network that learnt from an input takes."""
    about = given.store.about
    if about.kind == "latents":
        return Takes(kind="latents", modality=about.modality, model=about.model, step=about.step)
    return Takes(kind="samples", modality=about.modality, reduction=about.factors[0])


def datasets(protocol: ProbeProtocol, given: ProbeInput, division: Division) -> tuple[LatentDataset, LatentDataset]:
    """To learn from, drawn at random, and to be tested on, as it is; scaled by statistics of the first."""
    store = given.store
    learn, test = (numbers_of(store, names) for names in (division.learn, division.test))
    crop = crop_of(protocol, store)
    augment = ["noise"] if given.entry.noise else []
    chosen = selection(store, learn)
    return (
        LatentDataset(store, chosen, crop, augment, random=True),
        LatentDataset(store, type(chosen)(tuple(test), chosen.statistics), crop, random=False),
    )


def numbers_of(store: LatentStore, names: tuple[str, ...]) -> list[int]:
    """Of items by name, in the order of the names."""
    known = {item.name: number for number, item in enumerate(store.items)}
    return [known[name] for name in names]


def crop_of(protocol: ProbeProtocol, store: LatentStore) -> list[int] | None:
    """Positions per axis of what a network sees; None where that is all.

    Raises:
        SpecError: the samples of a crop or of a token are no multiple of a position's.
    """
    if not protocol.crop:
        return None
    grid = store.uniform or (0,) * len(store.about.axes)
    found = []
    for axis, factor, whole in zip(store.about.axes, store.about.factors, grid, strict=True):
        samples = protocol.crop.get(axis, whole * factor)
        if samples % factor or samples < factor:
            raise SpecError(f"crop.{axis}: expected a multiple of {factor}, got {samples}")
        found.append(samples // factor)
    return found


def network_options(protocol: ProbeProtocol, given: ProbeInput, spec: InputSpec) -> dict[str, Any]:
    """Arguments of :func:`~liveaction.learning.nets.token_net`, so that all inputs have one grid of tokens.

    Raises:
        SpecError: a token's samples are no multiple of a position's.
    """
    patch = []
    for axis, factor in zip(spec.axes, spec.factors, strict=True):
        samples = protocol.network.token.get(axis, 1)
        if samples % factor:
            raise SpecError(f"network.token.{axis}: expected a multiple of {factor} for {given.name}, got {samples}")
        patch.append(samples // factor)
    network = protocol.network
    return {
        "widths": network.widths, "drop": network.drop, "patch": tuple(patch), "scale": given.entry.scale,
        "stem": given.entry.stem,
    }  # fmt: skip


def scores_of(outputs: NDArray[np.float32], labels: NDArray[np.generic], spec: InputSpec) -> dict[str, float]:
    """Of a test, by task."""
    if spec.task == "number":
        return {"rmse": float(np.sqrt(np.mean(np.square(outputs - np.asarray(labels, np.float32)))))}
    predicted = outputs.argmax(1)
    found = class_scores(predicted, labels, spec.outputs)
    return found | ({"dice": dice(predicted, labels, spec.outputs)} if spec.task == "map" else {})


def right_of(outputs: NDArray[np.float32], labels: NDArray[np.generic], spec: InputSpec) -> list[bool]:
    """Whether each item's class was told; of maps and numbers nothing."""
    return (outputs.argmax(1) == labels).tolist() if spec.task == "class" else []


def check_compute(runs: list[Run], compute: str) -> None:
    """Refuse to compare inputs whose networks, with the encoders in front, differ in compute.

    Raises:
        SpecError: they do, and ``compute`` is ``equal``.
    """
    totals = {run.input: run.macs + run.encoder_macs for run in runs if run.parameters}
    least, most = min(totals, key=totals.__getitem__), max(totals, key=totals.__getitem__)
    if compute == "equal" and totals[most] > MOST_APART * totals[least]:
        raise SpecError(
            f"compute: expected multiply-accumulates within a quarter of each other, got {totals[least]:.3g} of "
            f"{least} and {totals[most]:.3g} of {most}; change their networks, or set compute: any"
        )


def _container(data: LatentDataset) -> float:
    return sum(data.store.items[number].container for number in data.numbers) / len(data)


def _settings(protocol: ProbeProtocol, given: ProbeInput, division: Division, seed: int, target: Target | None) -> str:
    """A digest of what decides a training."""
    about = [
        given.entry.model_dump(mode="json"), protocol.network.model_dump(mode="json"), protocol.crop, seed,
        protocol.training.model_dump(mode="json"), division.learn, division.test, given.store.digest,
        *digest_parts(target),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _known(path: Path) -> Run | None:
    try:
        return Run.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None
