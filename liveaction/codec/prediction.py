"""The predict step of a sparse codec: each part of a chunk from what is decoded of those before it.

A chunk is climbed from its coarsest part on. What is decoded makes, by transforms that stop at the chunk's borders, a
signal that looks like the chunk at that fineness; a small network makes one twice as fine of it; and of that the bands
of the next part are what is predicted. Only what remains is quantised and coded. At the encoder, too, it is predicted
from what is decoded, so that errors do not add up.
"""

from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from liveaction.nn.band_rotation import BandRotation
from liveaction.nn.predict import Refiner
from liveaction.spec import CodecSpec
from liveaction.transforms.continuation import Continuation
from liveaction.transforms.octaves import Octaves
from liveaction.transforms.packet import WaveletPacket

Floats = NDArray[Any]


class Predictor(nn.Module):
    """Networks of the steps from each part of a chunk to the next, and the transforms between them.

    The finest step has a network of its own; of the coarser ones those that split the same axes share one.

    Args:
        spec: of the codec, with one tree.
        channels: C.
        axes: D.
        packets: the codec's transform.
        rotation: from its bands to latents.

    Attributes:
        steps: from each part to the next, from coarse to fine, 1 for every axis that it splits.
    """

    def __init__(
        self, spec: CodecSpec, channels: int, axes: int, packets: WaveletPacket, rotation: BandRotation
    ) -> None:
        super().__init__()
        self.channels = channels
        self.continuation = Continuation(spec.wavelet, spec.steps(axes))
        self.octaves = Octaves(packets)
        self.steps = spec.refinements(axes)
        coarse = list(dict.fromkeys(self.steps[:-1]))
        self.networks = nn.ModuleList(
            Refiner(channels, split, spec.encoder.width, spec.encoder.kernels) for split in [*coarse, *self.steps[-1:]]
        )
        self.which = [coarse.index(split) for split in self.steps[:-1]] + [len(coarse)]
        self._rotation = (rotation,)  # a part of the codec's, not of this module
        self._members = [torch.tensor(bands, device="cpu") for bands in self.octaves.members]

    @property
    def rotation(self) -> BandRotation:
        """From bands to latents."""
        return self._rotation[0]

    @property
    def octave_rows(self) -> list[int]:
        """Latents of each octave of the bands of tokens."""
        return [self.channels * len(bands) for bands in self._members]

    def rows(self) -> list[NDArray[np.int64]]:
        """The latent channels of each octave of the bands of tokens."""
        return [self.rotation.rows(bands).cpu().numpy() for bands in self._members]

    def refined(self, number: int, coarse: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """A signal one step finer: ``[B, C, *]`` and steps ``[B]`` to ``[B, C, *]``."""
        made: torch.Tensor = self.networks[self.which[number]](coarse, step)
        return made

    @property
    def macs(self) -> float:
        """Multiply-accumulates per sample of the networks; transforms inside chunks come on top."""
        total, positions = 0.0, 1.0 / prod(2 ** sum(step) for step in self.steps)
        for which, step in zip(self.which, self.steps, strict=True):
            network = self.networks[which]
            assert isinstance(network, Refiner)
            total += network.macs * positions / self.channels
            positions *= 2 ** sum(step)
        return total


class Prediction:
    """Chunks side by side that are decoded part after part.

    Args:
        predictor: of the codec.
        extents: of the chunks, in tokens.
        step: of the quantiser for each chunk, ``[B]``.
    """

    def __init__(self, predictor: Predictor, extents: tuple[int, ...], step: torch.Tensor) -> None:
        self.predictor, self.step = predictor, step
        shapes = predictor.continuation.shapes(extents)
        self._extents = [*shapes[2:], extents][: len(predictor.continuation.steps)]
        self._done, self._bands = 0, list[torch.Tensor]()
        self._coarse = torch.empty(0)

    def next(self) -> torch.Tensor:
        """What the parts so far say of the next one, ``[B, L_i, *c_i]``."""
        predictor, number = self.predictor, self._done - 1
        fine = predictor.refined(number, self._coarse, self.step)
        octave = number - len(predictor.continuation.steps)
        if octave < 0:
            fine = fine[(slice(None), slice(None), *(slice(n) for n in self._extents[number]))]
            found = predictor.continuation.details(fine.flatten(0, 1), predictor.steps[number])
            details: torch.Tensor = found.unflatten(0, fine.shape[:2]).flatten(1, 2)
            return details
        return predictor.rotation.to_rows(predictor.octaves.bands(fine, octave), predictor._members[octave])

    def put(self, part: torch.Tensor) -> None:
        """What is decoded of the next part, ``[B, L_i, *c_i]``."""
        predictor, number = self.predictor, self._done - 1
        octave = number - len(predictor.continuation.steps)
        self._done += 1
        if self._done > len(predictor.steps):  # nothing is predicted from the last part
            return
        if number < 0:
            self._coarse = part
        elif octave < 0:
            pair = [x.flatten(0, 1).cpu().numpy() for x in (self._coarse, part)]
            step = Continuation(predictor.continuation.wavelet, (predictor.steps[number],))
            joined = torch.from_numpy(step.join(pair, self._extents[number])).to(part.device)
            self._coarse = joined.unflatten(0, self._coarse.shape[:2])
        else:
            self._bands.append(predictor.rotation.from_rows(part, predictor._members[octave]))
            self._coarse = predictor.octaves.signal(self._bands)
        if octave == -1:
            self._bands = [self._coarse[:, :, None]]


class Chunk:
    """A chunk of one step that is coded or decoded part after part, as arrays.

    Args:
        predictor: of the codec; None predicts nothing.
        components: K that are coded side by side.
        extents: of the chunk, in tokens.
        step: of the quantiser.
        dtype: of what is put together.
    """

    def __init__(
        self,
        predictor: Predictor | None,
        components: int,
        extents: tuple[int, ...],
        step: float,
        dtype: type[np.float32] | type[np.float64] = np.float32,
    ) -> None:
        self.step, self._components, self._first, self._dtype = step, components, True, dtype
        self._prediction: Prediction | None = None
        if predictor is not None:
            device = next(predictor.parameters()).device
            self._prediction = Prediction(predictor, extents, torch.full((components,), step, device=device))

    def next(self) -> Floats | None:
        """What is predicted of the next part, ``[K L_i, *c_i]``; None where that is nothing."""
        if self._prediction is None or self._first:
            self._first = False
            return None
        with torch.no_grad():
            return self._prediction.next().flatten(0, 1).cpu().numpy()

    def put(self, symbols: NDArray[np.int32], guess: Floats | None) -> Floats:
        """The latents of a part: what was predicted of it, and its symbols."""
        with np.errstate(over="ignore", invalid="ignore"):  # of damaged bytes; what is not finite is refused later on
            latents: Floats = symbols.astype(self._dtype)
            latents *= self.step
            if guess is not None:
                latents += guess
        if self._prediction is not None:
            with torch.no_grad():
                part = torch.from_numpy(latents).unflatten(0, (self._components, -1))
                self._prediction.put(part.to(self._prediction.step.device))
        return latents
