"""What an evaluation measures: from a protocol, whose models are trained on the way, or from models that are there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from liveaction.errors import SpecError, escaped
from liveaction.evaluation.baselines.registry import baseline_names, make_baseline
from liveaction.evaluation.coders import BaselineCoder, Coder, ModelCoder
from liveaction.evaluation.judges.judging import Judging, plan_judging
from liveaction.evaluation.judges.labels import FOLDERS, ORIGINAL
from liveaction.evaluation.measures import JUDGED, MAIN, MEASURES
from liveaction.evaluation.protocol import Protocol
from liveaction.evaluation.run import Settings
from liveaction.evaluation.sources import Subject, check_captured, files_below, find_subjects, protocol_subjects
from liveaction.evaluation.training import Announce, Trained, train_models

CURVE = "liveaction"
"""Of models that are not given another."""


@dataclass(frozen=True)
class Plan:
    """Codecs and signals, and what the report is about: Bjontegaard deltas against ``reference`` on ``measure``.

    ``against`` are further curves that deltas are taken against; ``judging`` is who judges, if anybody does.
    """

    coders: list[Coder]
    subjects: list[Subject]
    title: str
    description: str
    reference: str
    measure: str
    against: tuple[str, ...] = ()
    judging: Judging | None = None


def plan_protocol(
    protocol: Protocol,
    data: Path,
    out: Path,
    settings: Settings,
    measure: str = "",
    announce: Announce | None = None,
    synthesised: bool = False,
) -> Plan:
    """The plan of a protocol; its models are trained into ``out`` unless they are there.

    Args:
        data: the folder of the protocol's files.
        measure: instead of the protocol's.
        announce: is told of trainings.
        synthesised: measure pictures that are marked as synthesised, too.

    Raises:
        UnknownNameError: no baseline has such a name.
        SpecError: as :func:`train_models`, no such measure, or a picture that is marked as synthesised.
        FormatError: a file is not there, or cannot be read.
    """
    chosen = _measure(measure or protocol.measure)
    rivals = {name: make_baseline(name, settings.threads) for name in protocol.baselines}  # a wrong name ends it early
    check_captured((file for entry in protocol.coded for file in files_below(data / entry.path)), synthesised)
    models = [_coder(protocol, m, data, settings) for m in train_models(protocol, data, out, settings.device, announce)]
    subjects = protocol_subjects(data, protocol.coded, models[0].modality)
    coders: list[Coder] = [*models]
    for name, rival in rivals.items():
        given = protocol.baselines[name]
        for reader, labels in _readers(models, subjects):
            coders.append(BaselineCoder(rival, reader.modality, given.values if given else None, labels))
    reference = protocol.reference or _first_reference(coders)
    judging = plan_judging(_below(data, protocol.judge), _below(data, protocol.labels), subjects)
    return Plan(coders, subjects, protocol.name, protocol.description, reference, chosen, protocol.against, judging)


def plan_models(
    models: Sequence[str],
    data: Sequence[Path],
    baselines: Sequence[str],
    factors: Sequence[float],
    settings: Settings,
    reference: str = "",
    measure: str = "",
    judge: str = "",
    labels: str = "",
    synthesised: bool = False,
) -> Plan:
    """The plan of models that are there.

    Args:
        models: model directories, as ``CURVE=MODEL`` where not all of them are one family.
        data: files and folders to measure on.
        baselines: names, or ``all``.
        factors: multiples of the trained quantiser step.
        reference: a curve; the first baseline's where empty, or the first curve.
        measure: a key of :data:`MEASURES`; PSNR where empty.
        judge, labels: as :func:`~liveaction.evaluation.judges.judging.plan_judging` has them.
        synthesised: measure pictures that are marked as synthesised, too.

    Raises:
        UnknownNameError: no baseline has such a name.
        SpecError: a directory holds no model; no such reference or measure; a picture that is marked as synthesised.
        FormatError: nothing to measure on.
    """
    chosen = _measure(measure or MAIN)
    names = baseline_names() if list(baselines) == ["all"] else baselines
    rivals = [make_baseline(name, settings.threads) for name in names]
    coders: list[Coder] = []
    for text in models:
        curve, _, folder = text.rpartition("=")
        path = Path(folder)
        name = escaped(path.resolve().name)
        coders.append(ModelCoder(path, curve or CURVE, name, factors, device=settings.device, dtype=settings.dtype))
    modality = coders[0].modality
    coders += [BaselineCoder(rival, modality) for rival in rivals]
    curves = [coder.curve for coder in coders]
    if reference and reference not in curves:
        raise SpecError(f"--reference: expected one of the curves {sorted(set(curves))}, got {reference!r}")
    about = f"{', '.join(models)} on {', '.join(map(str, data))}"
    subjects = find_subjects(modality, data)
    check_captured((file for subject in subjects for file in modality.parts(subject.path)), synthesised)
    judging = plan_judging(judge, labels, subjects)
    return Plan(coders, subjects, "Evaluation", about, reference or _first_reference(coders), chosen, judging=judging)


def _coder(protocol: Protocol, model: Trained, data: Path, settings: Settings) -> ModelCoder:
    """A model, for what its fold codes."""
    entry = protocol.codecs[model.codec]
    coder = ModelCoder(
        model.folder, entry.curve, model.codec, entry.factors, model.seed, settings.device, settings.dtype, entry.coder
    )
    if model.fold.name:
        found = protocol_subjects(data, model.fold.code, coder.modality)
        coder.only = frozenset(subject.label for subject in found)
    return coder


def _readers(models: Sequence[Coder], subjects: Sequence[Subject]) -> list[tuple[Coder, frozenset[str]]]:
    """Codecs whose modalities read the signals for baselines: of each signal the first one that codes it.

    They differ where files have other numbers of channels. Of one that codes all signals the labels are all of them.
    """
    found: list[tuple[Coder, set[str]]] = []
    for subject in subjects:
        first = next(model for model in models if model.only is None or subject.label in model.only)
        known = next((labels for coder, labels in found if coder.modality.spec == first.modality.spec), None)
        if known is None:
            found.append((first, {subject.label}))
        else:
            known.add(subject.label)
    return [(coder, frozenset(labels)) for coder, labels in found]


def _first_reference(coders: Sequence[Coder]) -> str:
    return next((coder.curve for coder in coders if coder.kind == "baseline"), coders[0].curve)


def _below(data: Path, text: str) -> str:
    """A judge or labels of a protocol: what comes last is below the data folder where such a thing is there."""
    before, colon, last = text.rpartition(":")
    known = not last or last in (FOLDERS, ORIGINAL) or not (data / last).exists()
    return text if known else f"{before}{colon}{data / last}"


def _measure(name: str) -> str:
    known = sorted(set(MEASURES) - set(JUDGED))  # a judge's scores are told over all items, whatever this is
    if name not in known:
        raise SpecError(f"--measure: expected one of {', '.join(known)}, got {name!r}")
    return name
