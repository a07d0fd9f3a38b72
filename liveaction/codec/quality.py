"""How fine a stream is: its quantiser step, as a number or as a quality from 1 to 7."""

from math import inf

from liveaction.codec.bound import check_error
from liveaction.codec.target import Target
from liveaction.errors import SpecError, printable
from liveaction.spec import CodecSpec

QUALITIES = {1: 8.0, 2: 4.0, 3: 2.0, 4: 1.0, 5: 0.5, 6: 0.25, 7: 0.125}
"""``--quality`` to a multiple of the step of quality 4."""

COMMON_STEP = 0.1
"""The step of quality 4 of all uniform quantisers: transforms keep the scale of signals in [-1, 1], so that equal steps
round models of one modality alike, whatever steps they were trained with."""

STEPS = 2.0**-100, 2.0**100
"""The least and the largest step: latents over it, and symbols times it, are float32."""


def check_rate(
    step: float | None, quality: int | None, target: Target | None = None, max_error: float | None = None
) -> None:
    """Refuse what :func:`choose_step` would refuse, where the model is not loaded yet.

    Raises:
        SpecError: two of them are given, beside ``max_error`` a target, or one is out of its range.
    """
    if max_error is not None:
        check_error(max_error)
        if target is not None:
            raise SpecError(f"--max-error, {target.option}: expected one of them, got both")
    if step is not None and quality is not None:
        raise SpecError("--step, --quality: expected one of them, got both")
    if target is not None and (step is not None or quality is not None):
        other = "--quality" if step is None else "--step"
        raise SpecError(f"{other}, {target.option}: expected one of them, got both")
    if step is not None:
        check_step(step, "--step")
    if quality is not None and (isinstance(quality, bool) or not isinstance(quality, int) or quality not in QUALITIES):
        raise SpecError(f"--quality: expected a number from {min(QUALITIES)} to {max(QUALITIES)}, got {quality!r}")


def choose_step(spec: CodecSpec, step: float | None = None, quality: int | None = None) -> float:
    """The quantiser step of a stream, in latent units.

    Args:
        spec: of the codec, whose quantiser's step it is where neither of the others is given.
        step: a step of one's own; a larger one gives fewer bits.
        quality: 1 small .. 7 fine, each a factor of two from its neighbours; 4 is :data:`COMMON_STEP`, or, where
            latents are companded and steps not comparable, the codec's own.

    Raises:
        SpecError: both ``step`` and ``quality`` are given, or one is out of its range.
    """
    check_rate(step, quality)
    own, comparable = spec.quantizer.step, spec.quantizer.kind == "uniform" and not spec.compand
    if quality is not None:
        step = (COMMON_STEP if comparable else own) * QUALITIES[quality]
    if step is None or not comparable:
        check_step(own if step is None else step, "[codec.quantizer] step")
    return float(own if step is None else step)


def check_step(step: object, where: str) -> None:
    """Refuse a quantiser step that is no positive number, or one that float32 latents cannot be divided by.

    Raises:
        SpecError: it is; ``where`` stands first in the message.
    """
    if isinstance(step, bool) or not isinstance(step, int | float) or not 0 < step < inf:
        raise SpecError(f"{where}: expected a positive number, got {printable(repr(step))[:40]}")
    least, most = STEPS
    if not least <= step <= most:
        raise SpecError(f"{where}: expected a number from {least:.2g} to {most:.2g}, got {step:.3g}")
