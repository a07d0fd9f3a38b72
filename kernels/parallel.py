"""Work in threads on CPUs: pieces that stay in each core's cache, single-threaded inside."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier
from typing import TypeVar

import torch

TOKENS, SMALLEST = 512, 64
"""Tokens of a piece at most and at least: at 512 channels the activations of one block stay in a core's cache."""

T = TypeVar("T")
R = TypeVar("R")


def in_threads(function: Callable[[T], R], items: Iterable[T], with_torch: bool = False) -> list[R]:
    """What ``function`` gives for every item, called in as many threads as torch uses.

    It must release the lock to gain by it.

    Args:
        with_torch: it calls operations of torch, which take one thread each meanwhile. That costs torch its prepared
            convolutions, so it is for large pieces of work.

    Raises:
        Exception: the first that a call raised, once all have ended.
    """
    work, threads = list(items), torch.get_num_threads()
    if threads == 1 or len(work) < 2:
        return [function(item) for item in work]
    pool = _pool(threads)
    if with_torch:
        torch.set_num_threads(1)
    try:
        futures = [pool.submit(function, item) for item in work]
        errors = [error for future in futures if (error := future.exception()) is not None]
    finally:
        if with_torch:
            torch.set_num_threads(threads)
    if errors:
        raise errors[0]
    return [future.result() for future in futures]


def over_tokens(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Apply a function of single tokens to all of them; no gradient.

    Args:
        function: ``[1, C, T'] -> [1, L, T']`` for any T', each token by itself.
        x: ``[B, C, T]``.

    Returns:
        ``[B, L, T]``. On CPUs in pieces of :data:`TOKENS`, in threads; elsewhere at once.
    """
    batch, tokens = x.shape[0], x.shape[2]
    if x.device.type != "cpu" or batch * tokens < 2 * SMALLEST:
        return function(x)
    size = max(SMALLEST, min(TOKENS, -(-batch * tokens // torch.get_num_threads())))
    starts = [(item, start) for item in range(batch) for start in range(0, tokens, size)]
    settings = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.is_inference_mode_enabled()

    def run(place: tuple[int, int]) -> torch.Tensor:
        (item, start), (enabled, dtype, inference) = place, settings  # the latter are a thread's own
        with torch.inference_mode(inference), torch.no_grad(), torch.autocast("cpu", dtype, enabled=enabled):
            return function(x[item : item + 1, :, start : start + size])

    pieces = in_threads(run, starts, with_torch=True)
    per_item = len(starts) // batch
    return torch.cat([torch.cat(pieces[i : i + per_item], 2) for i in range(0, len(starts), per_item)])


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that know of one thread for torch; setting that also sets it for all others, hence the way back."""
    ready = Barrier(threads + 1)

    def begin() -> None:
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(threads, "liveaction")
    for _ in range(threads):
        pool.submit(begin)
    ready.wait()
    torch.set_num_threads(threads)
    return pool
