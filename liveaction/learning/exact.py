"""Which changes of a signal have exact counterparts on a model's latents."""

from liveaction.codec.model import Model
from liveaction.learning.inputs import Exact


def exact_of(model: Model) -> Exact:
    """What is known of a model: so far nothing, so that nothing is taken for exact."""
    return Exact()
