"""Where training runs: the device that was asked for, or a refusal."""

import accelerate
import pytest
import torch

from liveaction.errors import SpecError, TrainingError
from liveaction.training.run import _accelerator


class Fake:
    """Accelerate's state: the first device of a process, whatever is asked for later."""

    def __init__(self, cpu):
        self.device = torch.device("cpu" if cpu else "cuda")


def test_the_index_of_a_device_is_heeded(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(accelerate, "Accelerator", Fake)
    assert _accelerator("cuda:1").device.type == "cuda" and chosen == [torch.device("cuda:1")]
    assert _accelerator("cpu").device.type == "cpu" and len(chosen) == 1
    with pytest.raises(SpecError, match="expected a CUDA device for 'cuda:2', got 2"):
        _accelerator("cuda:2")


def test_a_process_that_trained_elsewhere_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(accelerate, "Accelerator", lambda cpu: Fake(True))
    with pytest.raises(TrainingError, match="expected to train on cuda, got a process that has trained on cpu"):
        _accelerator("cuda")
