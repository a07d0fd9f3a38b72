"""Painting over a decoded picture with a local image-to-image pipeline of diffusers; what comes out is marked as such.

Nothing is downloaded, no code of the folder runs, and no pickle is read. diffusers and transformers, the extra
``enhance``, are imported when an :class:`Enhancer` is made, and not before.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.codec.device import choose_device
from liveaction.errors import FormatError, ShapeError, SpecError
from liveaction.files import file_digest
from liveaction.marking import marked
from liveaction.pipelines import INDEX, check_pipeline, load_pipeline, one_line_errors, pipeline_class
from liveaction.signal import Signal

STRENGTH, STEPS, SEED = 0.2, 20, 0
_MOST_SEED = 2**63
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_CELLS = 8  # of latents, whose number a network's levels divide


class Enhancer:
    """A picture to one that a pipeline painted over: of the same size and type, marked as synthesised.

    What it adds is made up. The same seed, folder, device and versions give the same picture.

    Args:
        folder: a local one with ``model_index.json`` and safetensors, as ``save_pretrained`` of an image-to-image
            pipeline of diffusers leaves it.
        strength: how much is made anew, above 0, at most 1.
        steps: of the sampler, for a strength of 1; ``int(steps * strength)`` are done.
        seed: non-negative.
        prompt: what the pipeline is told is there.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        SpecError: no such folder, a pipeline of another kind, or a setting out of its range.
        FormatError: the folder holds code or pickled weights, or cannot be loaded.
        MissingDependencyError: the extra ``enhance`` is not installed.

    Example:
        >>> import liveaction
        >>> model = liveaction.load("runs/rgb")
        >>> enhance = Enhancer("pipelines/img2img", strength=0.3)
        >>> picture = enhance(model.decompress("hat.lva"))
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        strength: float = STRENGTH,
        steps: int = STEPS,
        seed: int = SEED,
        prompt: str = "",
        device: str = "cpu",
    ) -> None:
        check_settings(strength, steps, seed)
        self.folder, self.strength, self.steps, self.seed, self.prompt = Path(folder), strength, steps, seed, prompt
        self.name = check_pipeline(self.folder)
        self.digest = file_digest(self.folder / INDEX)
        kind = pipeline_class(self.folder, self.name)
        self._takes = frozenset(inspect.signature(kind.__call__).parameters)
        if prompt and "prompt" not in self._takes:
            raise SpecError(f"--prompt: expected none, as {self.name} takes none, got {prompt!r}; leave it out")
        self._pipeline = load_pipeline(kind, self.folder, choose_device(device))

    @property
    def about(self) -> dict[str, Any]:
        """What was asked for, as JSON data: class and index digest of the pipeline, and all settings."""
        settings = {"strength": self.strength, "steps": self.steps, "seed": self.seed, "prompt": self.prompt}
        return {"pipeline": self.name, "model_index_sha256": self.digest, **settings}

    @property
    def words(self) -> str:
        """The same in a line."""
        said = f", prompt {self.prompt!r}" if self.prompt else ""
        return (
            f"decoded, then painted over by {self.name} ({INDEX} sha256 {self.digest}), strength {self.strength:g}, "
            f"steps {self.steps}, seed {self.seed}{said}"
        )

    def __call__(self, signal: Signal, stage: Callable[[str], None] = lambda text: None) -> Signal:
        """Paint over a picture.

        Args:
            signal: uint8 ``[3, Y, X]`` or ``[1, Y, X]``; grey is shown as red, green and blue, and comes back as luma.
            stage: is told of each step.

        Returns:
            The same shape and type; metadata with the mark.

        Raises:
            ShapeError: another kind of signal.
            FormatError: the pipeline fails, or gives something else than a picture.
        """
        check_picture(signal)
        rows, columns = signal.shape
        multiple = _CELLS * int(getattr(self._pipeline, "vae_scale_factor", 1))
        margins = [(0, -n % multiple) for n in (rows, columns)]
        pixels = np.pad(np.moveaxis(signal.values, 0, -1), [*margins, (0, 0)], mode="edge")
        made = self._run(np.repeat(pixels, 3 // pixels.shape[-1], axis=-1), stage)[:rows, :columns]
        if signal.values.shape[0] == 1:
            made = (made @ _LUMA)[..., np.newaxis]
        values = np.ascontiguousarray(np.moveaxis(np.rint(made * 255).clip(0, 255).astype(np.uint8), -1, 0))
        return replace(signal, values=values, metadata=marked(signal.metadata, self.words))

    def _run(self, pixels: NDArray[np.uint8], stage: Callable[[str], None]) -> NDArray[np.float64]:
        """The pipeline on ``[Y, X, 3]``; the same shape, values in 0 to 1."""
        from PIL import Image

        given: dict[str, Any] = {"image": Image.fromarray(pixels), "strength": self.strength, "output_type": "np"}
        more = {
            "prompt": self.prompt,
            "num_inference_steps": self.steps,
            "generator": torch.Generator("cpu").manual_seed(self.seed),
            "callback_on_step_end": _told(stage, int(self.steps * self.strength)),
        }
        given |= {key: value for key, value in more.items() if key in self._takes}
        with one_line_errors(self.folder, "a pipeline that runs"), torch.no_grad():
            found = self._pipeline(**given)
            made = np.asarray(found.images, np.float64)
        if any(getattr(found, "nsfw_content_detected", None) or ()):
            raise FormatError(
                f"{self.folder}: expected a picture, got a blank one from the pipeline's safety checker; change "
                "--strength, --prompt or --seed"
            )
        if made.shape != (1, *pixels.shape) or not np.isfinite(made).all():
            wanted = f"finite values {(1, *pixels.shape)}"
            raise FormatError(f"{self.folder}: expected {wanted} of the pipeline, got {made.shape}; take another one")
        pixels_made: NDArray[np.float64] = made[0]
        return pixels_made


def check_settings(strength: float, steps: int, seed: int) -> None:
    """Refuse settings out of their ranges.

    Raises:
        SpecError: one is.
    """
    if not 0 < strength <= 1:
        raise SpecError(f"--strength: expected more than 0 and at most 1, got {strength!r}")
    if int(steps * strength) < 1:
        raise SpecError(f"--strength: expected a step or more of {steps}, got {strength!r}; take {1 / steps:g} or more")
    if not 0 <= seed < _MOST_SEED:
        raise SpecError(f"--seed: expected 0 to 2**63 - 1, got {seed!r}")


def check_picture(signal: Signal) -> None:
    """Refuse what is no 8-bit picture in colour or in grey; values are not looked at.

    Raises:
        ShapeError: it is none.
    """
    shape, eight = signal.values.shape, signal.dtype == "uint8" == signal.values.dtype.name and not signal.bits
    if len(shape) != 3 or shape[0] not in (1, 3) or not eight or signal.axes != ("y", "x"):
        got = f"{signal.dtype} {shape} with axes {signal.axes}"
        raise ShapeError(f"--enhance: expected a picture, uint8 [3, Y, X] or [1, Y, X], got {got}; leave it out")


def _told(stage: Callable[[str], None], steps: int) -> Callable[..., dict[str, Any]]:
    """What a pipeline calls after each step."""

    def call(pipeline: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        stage(f"painting over, step {step + 1} of {steps}")
        return tensors

    return call
