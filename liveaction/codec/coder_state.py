"""The file of a model directory that holds what the coder ``small`` starts chunks from."""

from pathlib import Path

from liveaction.codec.codec import Codec
from liveaction.codec.tensors import UNREADABLE, read_tensors, save_arrays
from liveaction.coding.mixing import Mixing, fresh, from_arrays
from liveaction.errors import FormatError
from liveaction.model_folder import MIXING, PACKED, stored


def save_mixing(codec: Codec, folder: Path) -> None:
    """Write the states of a codec's trees, atomically; where it has none, a file of before goes."""
    path, packed = folder / MIXING, folder / (MIXING + PACKED)
    if not codec.codes_small:
        path.unlink(missing_ok=True)
        packed.unlink(missing_ok=True)
        return
    states = [tree.chunks.mixing._asdict() for tree in codec.trees if tree.chunks.mixing is not None]
    save_arrays({f"{i}.{name}": array for i, state in enumerate(states) for name, array in state.items()}, path)
    packed.unlink(missing_ok=True)


def load_mixing(codec: Codec, folder: Path) -> None:
    """Give a codec's trees the states of a model directory; a model of before there was this coder has none.

    Raises:
        FormatError: the file is not such states, one for each tree.
    """
    path = stored(folder / MIXING)
    if not path.exists():
        return
    usual, trees = fresh()._asdict(), range(len(codec.trees))
    wanted = {f"{i}.{name}": (array.dtype.name, array.shape) for i in trees for name, array in usual.items()}
    way = f"liveaction freeze {folder} makes it"
    try:
        found = read_tensors(path, wanted, f"the state of the coder small for each of {len(trees)} trees")
        states = [
            from_arrays({name: found[f"{i}.{name}"].numpy() for name in Mixing._fields}, str(path)) for i in trees
        ]
    except FormatError as error:
        raise FormatError(f"{error}; {way}") from error
    except UNREADABLE as error:
        line = " ".join(str(error).split())[:200]
        raise FormatError(f"{path}: expected the state of the coder small, got {line}; {way}") from error
    for tree, state in zip(codec.trees, states, strict=True):
        tree.chunks.mixing = state
