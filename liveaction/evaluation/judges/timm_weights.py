"""A classifier of timm with weights from a local file; nothing is ever downloaded."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.errors import SpecError, UnknownNameError, printable
from liveaction.evaluation.judges.base import Judge, require
from liveaction.files import file_digest
from liveaction.signal import Signal

_WANTED = "timm:NAME:WEIGHTS.safetensors with a local file, nothing is downloaded"


class TimmJudge(Judge):
    """A model of timm, its own preparation of pictures; of 1000 classes it says ImageNet's synset, else the number.

    Args:
        text: ``NAME:WEIGHTS.safetensors``.

    Raises:
        UnknownNameError: timm has no such model.
        SpecError: no weights are given, or they are not those of the model.
    """

    def __init__(self, text: str) -> None:
        import timm
        from timm.data import ImageNetInfo, resolve_model_data_config

        name, _, file = text.partition(":")
        path = Path(file)
        if not file or path.suffix != ".safetensors" or not path.is_file():
            raise SpecError(f"--judge timm:{text}: expected {_WANTED}, got {file or 'no weights'!r}")
        if not timm.is_model(name):
            raise UnknownNameError(f"--judge timm:{text}: expected a model of timm, got {name!r}; timm.list_models()")
        self._model = _loaded(name, path)
        self._data: dict[str, Any] = resolve_model_data_config(self._model)
        info = ImageNetInfo() if self._model.num_classes == 1000 else None
        self._names = [info.index_to_label_name(n) if info else str(n) for n in range(self._model.num_classes)]
        self.name = self.label = f"timm:{name}"
        self.library = f"{require('timm', self.name)}, weights {file_digest(path)[:16]}"

    def refuses(self, signal: Signal, modality: str) -> str | None:
        """All but pictures of three channels of unsigned integers."""
        if len(signal.axes) == 2 and signal.values.shape[0] == 3 and np.dtype(signal.dtype).kind == "u":
            return None
        return f"no colour picture of integers: {signal.values.shape[0]} channels of {signal.dtype}, axes {signal.axes}"

    def predict(self, signal: Signal) -> str:
        """The likeliest class."""
        with torch.inference_mode():
            return self._names[int(self._model(self._prepared(signal))[0].argmax())]

    def _prepared(self, signal: Signal) -> torch.Tensor:
        """``[1, 3, H, W]``: the shorter side resized, the middle cut out, mean and deviation as in training."""
        most = 2 ** (signal.bits or 8 * np.dtype(signal.dtype).itemsize) - 1
        values: NDArray[np.float32] = signal.filled().astype(np.float32) / most
        _, height, width = self._data["input_size"]
        scale = max(height / values.shape[1], width / values.shape[2]) / self._data["crop_pct"]
        size = [max(round(side * scale), least) for side, least in zip(values.shape[1:], (height, width), strict=True)]
        mode = self._data["interpolation"] if self._data["interpolation"] in ("bilinear", "bicubic") else "bicubic"
        x = torch.nn.functional.interpolate(torch.from_numpy(values)[None], size=size, mode=mode, antialias=True)
        top, left = (size[0] - height) // 2, (size[1] - width) // 2
        mean, std = (torch.tensor(self._data[key])[:, None, None] for key in ("mean", "std"))
        return (x[:, :, top : top + height, left : left + width].clamp(0, 1) - mean) / std


def _loaded(name: str, path: Path) -> Any:
    """The model with as many classes as its weights have, ready to be asked."""
    import timm
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
        plain = timm.create_model(name, pretrained=False)
        heads = plain.pretrained_cfg.get("classifier")
        last = weights.get(f"{heads}.bias") if isinstance(heads, str) else None
        model = plain if last is None else timm.create_model(name, pretrained=False, num_classes=len(last))
        model.load_state_dict(weights)
    except (SafetensorError, OSError, RuntimeError, KeyError) as error:
        raise SpecError(
            f"--judge timm:{name}: expected weights of this model in {path}, got {printable(error)[:160]!r}"
        ) from error
    return model.eval()
