"""The shipped cases, every public operation of :mod:`liveaction.kernels`, and a user's own by name."""

import difflib
import importlib
import sys
from functools import lru_cache
from pathlib import Path

from liveaction.errors import SpecError, UnknownNameError
from liveaction.profiling import element_cases, network_cases, packet_cases
from liveaction.profiling.case import Case


@lru_cache
def cases() -> dict[str, Case]:
    """By name."""
    found = (
        network_cases.monarch(),
        network_cases.block(),
        packet_cases.analysis(),
        packet_cases.synthesis(),
        packet_cases.companded_analysis(),
        packet_cases.companded_synthesis(),
        network_cases.attention(),
        network_cases.absorbed(),
        network_cases.depthwise(),
        network_cases.norm(),
        element_cases.compand(),
        element_cases.expand(),
        element_cases.laplace(),
    )
    return {case.name: case for case in found}


def find_case(name: str) -> Case:
    """A shipped case by its name, or a user's by ``package.module:object``, from the current folder or installed.

    Raises:
        UnknownNameError: no shipped case has that name.
        SpecError: the module cannot be imported, or what it holds under that name is no Case.
    """
    if ":" in name:
        return _foreign_case(name)
    shipped = cases()
    if name not in shipped:
        close = difflib.get_close_matches(name, shipped) or shipped
        raise UnknownNameError(
            f"--op: expected an operation or package.module:case, got {name!r}; did you mean {', '.join(close)}?"
        )
    return shipped[name]


def _foreign_case(name: str) -> Case:
    module_name, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a stranger's module may raise anything
        line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise SpecError(
            f"--op {name}: expected a module that imports from the current folder or an installed package, got {line}"
        ) from error
    found = getattr(module, attribute, None)
    if not isinstance(found, Case):
        known = [key for key, value in vars(module).items() if isinstance(value, Case)]
        raise SpecError(
            f"--op {name}: expected a liveaction.profiling.case.Case named {attribute!r}, got {type(found).__name__}; "
            f"{module_name} has {', '.join(known) or 'none'}"
        )
    return found
