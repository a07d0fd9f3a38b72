"""Networks of timm and MONAI that take latents, or values on a small grid, as they are."""

import warnings
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn

from liveaction.codec.tensors import UNREADABLE
from liveaction.errors import FormatError, LiveactionWarning, SpecError, UnknownNameError, printable
from liveaction.learning.heads import shuffle
from liveaction.learning.inputs import InputSpec
from liveaction.learning.stem import Scale, Scaling, axes_of
from liveaction.transforms.window import pad_to_multiple

FAMILIES = ("vision_transformer", "swin_transformer", "convnext", "resnet")
LEAST = 4
"""Positions along an axis that a network of convolutions keeps, where the grid has them and no cost is asked for."""
_OUT = "take a ViT, Swin, ConvNeXt or ResNet of timm, or token_net"


class Adapted(nn.Module):
    """Scaling, then somebody's network: ``[B, L, *G]`` to ``[B, K]``, or to ``[B, K, *]`` where labels are maps.

    Attributes:
        net: the network.
        unused: weights of a file that did not fit, by name.
    """

    def __init__(
        self, scaling: Scaling, net: nn.Module, multiples: tuple[int, ...] = (), factors: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        self.scaling, self.net, self.multiples, self.factors = scaling, net, multiples, factors
        self.unused: tuple[str, ...] = ()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Values to classes or numbers."""
        grid, x = x.shape[2:], self.scaling(x)
        y = self.net(pad_to_multiple(x, self.multiples) if self.multiples else x)
        if isinstance(y, tuple):  # MONAI's ViT gives its hidden states, too
            y = y[0]
        if self.factors:
            y = shuffle(y[(slice(None), slice(None), *(slice(0, n) for n in grid))], self.factors)
        found: torch.Tensor = y
        return found


def adapt_timm(
    name: str,
    spec: InputSpec,
    classes: int | None = None,
    cost_of: int | None = None,
    pretrained: str | Path | None = None,
    scale: Scale = "one",
    **options: Any,
) -> Adapted:
    """A network of timm for a grid of latents; nothing is downloaded.

    ViT and Swin take one position per token. Of ConvNeXt and ResNet the strides that come first are taken out: that of
    the stem, and as many as it takes for 4 positions to be left at the end. Weights keep their shapes, but the stem's.

    Args:
        name: as timm knows it.
        spec: of the inputs, of two axes.
        classes: outputs; those of the spec where None.
        cost_of: extent in pixels: strides are taken out up to the stage at which a picture of it stands on the grid, so
            that from there on the network costs what that picture would. ConvNeXt and ResNet alone.
        pretrained: a safetensors file of the network for pictures; what does not fit is left as it starts, with a
            warning, and named in ``unused``.
        scale: as of :class:`liveaction.learning.stem.Scaling`.
        options: timm's own.

    Raises:
        UnknownNameError: timm has no such network.
        SpecError: another family, a grid of other axes, labels that are maps, or options that do not fit.
        FormatError: the file is none of weights.
    """
    if axes_of(spec) != 2 or spec.task == "map":
        raise SpecError(
            f"adapt_timm: expected a grid of two axes and one label per item, got {spec.axes} and task {spec.task!r}; "
            "take monai_net or token_net"
        )
    family = _family(name)
    if family in ("vision_transformer", "swin_transformer"):
        if cost_of is not None:
            raise SpecError(f"cost_of: expected a ConvNeXt or ResNet, got {name!r}; leave it out")
        options = {"img_size": tuple(spec.grid), "patch_size": 1} | options
    elif family == "convnext":
        options = {"patch_size": 1} | options
    net = _created(name, spec, classes or spec.outputs, options)
    if family in ("convnext", "resnet"):
        _keep_grid(net, family, min(spec.grid), cost_of)
    adapted = Adapted(Scaling(spec, scale), net)
    if pretrained is not None:
        adapted.unused = _load(net, Path(pretrained))
    return adapted


def _family(name: str) -> str:
    """The module of timm that a network is in.

    Raises:
        UnknownNameError, SpecError: as :func:`adapt_timm`.
    """
    import timm

    if not timm.is_model(name):
        near = timm.list_models(f"*{name}*")[:5]
        raise UnknownNameError(f"adapt_timm: expected a network of timm, got {name!r}; close ones are {near}")
    family = timm.model_entrypoint(name).__module__.rsplit(".", 1)[-1]
    if family not in FAMILIES:
        raise SpecError(f"adapt_timm: expected a family that takes latents, got {name!r} of {family}; {_OUT}")
    return str(family)


def _created(name: str, spec: InputSpec, classes: int, options: dict[str, Any]) -> nn.Module:
    import timm

    try:
        net: nn.Module = timm.create_model(name, False, in_chans=spec.channels, num_classes=classes, **options)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise SpecError(
            f"adapt_timm: expected options that {name!r} takes on a grid of {spec.grid}, got {options}: "
            f"{printable(error)[:200]}; {_OUT}"
        ) from error
    return net


def _keep_grid(net: Any, family: str, grid: int, cost_of: int | None) -> None:
    """Take out the strides of the stem, and of the stages that come before the grid may shrink."""
    stages = list(net.stages) if family == "convnext" else [net.layer1, net.layer2, net.layer3, net.layer4]
    if family == "resnet":
        for part in _strided(net.conv1):
            _unstride(part)
        net.maxpool = nn.Identity()
    else:
        for part in _strided(net.stem):
            _unstride(part)
    # a picture's extent after the stem, and what is left of it after each stage
    halvings = [any(True for _ in _strided(stage)) for stage in stages]
    picture, left = (cost_of or 0) / 4, sum(halvings)
    for stage, halves in zip(stages, halvings, strict=True):
        if not halves:
            continue
        picture /= 2
        early = picture >= grid if cost_of is not None else grid / 2**left < min(LEAST, grid)
        left -= 1
        if early:
            for part in list(_strided(stage)):
                _unstride(part)


def _strided(part: nn.Module) -> Iterator[nn.Conv2d | nn.AvgPool2d]:
    for each in part.modules():
        if isinstance(each, nn.Conv2d | nn.AvgPool2d) and _pair(each.stride) != (1, 1):
            yield each


def _pair(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple) else (value, value)


def _unstride(part: nn.Conv2d | nn.AvgPool2d) -> None:
    if isinstance(part, nn.AvgPool2d):
        part.kernel_size, part.stride, part.padding = 1, 1, 0
        return
    part.stride = (1, 1)
    if any(side % 2 == 0 for side in part.kernel_size):
        part.register_forward_pre_hook(_continued)


def _continued(part: Any, given: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    """The last positions once more, so that a kernel of even extent leaves the grid as it is."""
    after = [side for n in reversed(part.kernel_size) for side in (0, 1 - n % 2)]
    return (nn.functional.pad(given[0], after, mode="replicate"),)


def _load(net: nn.Module, path: Path) -> tuple[str, ...]:
    """Give a network the weights of a file that fit, and say which do not."""
    from safetensors.torch import load_file

    try:
        found = load_file(path)
    except UNREADABLE as error:
        line = printable(error)[:200]
        raise FormatError(f"{path}: expected weights as safetensors, got {line}; give a file that is here") from error
    own = net.state_dict()
    fits = {name: tensor for name, tensor in found.items() if name in own and own[name].shape == tensor.shape}
    if not fits:
        raise FormatError(f"{path}: expected weights of this network, got none that fits; give another file")
    net.load_state_dict(fits, strict=False)
    unused = tuple(sorted((own.keys() | found.keys()) - fits.keys()))
    if unused:
        names = ", ".join(unused[:8]) + (", ..." if len(unused) > 8 else "")
        warnings.warn(
            f"{path}: {len(fits)} tensors were taken, {len(unused)} do not fit and start anew: {names}",
            LiveactionWarning,
            stacklevel=3,
        )
    return unused


_UNET = {"channels": (32, 64, 128), "strides": (2, 2), "num_res_units": 2}
_DENSE: dict[str, dict[str, Any]] = {
    "UNet": _UNET, "AttentionUnet": {"channels": (32, 64, 128), "strides": (2, 2)}, "SwinUNETR": {"feature_size": 24},
    "SegResNet": {"init_filters": 16},
}  # fmt: skip
_WHOLE: dict[str, dict[str, Any]] = {
    "ViT": {"patch_size": 1, "hidden_size": 192, "mlp_dim": 768, "num_layers": 6, "num_heads": 6},
    "DenseNet121": {},
}


def monai_net(name: str, spec: InputSpec, classes: int | None = None, scale: Scale = "one", **options: Any) -> Adapted:
    """A network of MONAI for a grid of latents.

    Args:
        name: where labels are maps ``UNet``, ``AttentionUnet``, ``SwinUNETR`` or ``SegResNet``, whose outputs are
            shuffled to the labels' positions; otherwise ``ViT`` or ``DenseNet121``.
        spec: of the inputs, of two or three axes.
        classes: outputs; those of the spec where None.
        scale: as of :class:`liveaction.learning.stem.Scaling`.
        options: MONAI's own. Grids that a network cannot halve repeat their last position.

    Raises:
        UnknownNameError: another network, or one of the other kind of label.
        SpecError: a grid of one axis, or options that do not fit.
    """
    axes, outputs = axes_of(spec), classes or spec.outputs
    known = _DENSE if spec.task == "map" else _WHOLE
    if name not in known:
        raise UnknownNameError(
            f"monai_net: expected one of {', '.join(known)} for task {spec.task!r}, got {name!r}; or take token_net"
        )
    if axes == 1:
        raise SpecError(f"monai_net: expected two or three axes, got {spec.axes}; take token_net")
    given = known[name] | options
    factors: tuple[int, ...] = ()
    multiples: tuple[int, ...] = ()
    if spec.task == "map":
        factors = spec.label_factors or (1,) * axes
        given |= {"in_channels": spec.channels, "out_channels": outputs * prod(factors), "spatial_dims": axes}
        multiples = (_multiple(name, given),) * axes
        if name == "SwinUNETR" and max(spec.grid) <= multiples[0]:
            raise SpecError(
                f"monai_net: expected a grid of more than 32 positions along some axis for SwinUNETR, got {spec.grid}; "
                "take UNet, SegResNet or token_net"
            )
    elif name == "ViT":
        given |= {"in_channels": spec.channels, "img_size": tuple(spec.grid), "classification": True}
        given |= {"num_classes": outputs, "spatial_dims": axes, "post_activation": "none"}
    else:
        given |= {"in_channels": spec.channels, "out_channels": outputs, "spatial_dims": axes}
        multiples = (32,) * axes
    return Adapted(Scaling(spec, scale), _monai(name, given), multiples, factors)


def _monai(name: str, options: dict[str, Any]) -> nn.Module:
    from monai.networks import nets

    try:
        net: nn.Module = getattr(nets, name)(**options)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise SpecError(
            f"monai_net: expected options that {name} takes, got {sorted(options)}: {printable(error)[:200]}; "
            "change them, or take token_net"
        ) from error
    return net


def _multiple(name: str, options: dict[str, Any]) -> int:
    """What extents must be a multiple of."""
    if name == "SwinUNETR":
        return 32
    if name == "SegResNet":
        return int(2 ** (len(options.get("blocks_down", (1, 2, 2, 4))) - 1))
    strides: Sequence[int] = options["strides"]
    return prod(strides)
