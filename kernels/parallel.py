"""Work in threads on CPUs: pieces that stay in each core's cache, single-threaded inside."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import prod
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


Ranges = tuple[tuple[int, int], ...]


def over_tokens(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, boxes: Iterable[Ranges] | None = None
) -> torch.Tensor:
    """Apply a function of single tokens to all of them; no gradient.

    On CPUs it is done in pieces of at most :data:`TOKENS`, in threads; elsewhere at once. The pieces of a box depend
    on its extents alone, so a box gives the same bits whatever else ``x`` holds and however many threads there are.

    Args:
        function: ``[1, C, T'] -> [1, L, T']`` for any T', each token by itself.
        x: ``[B, C, *G]``.
        boxes: half-open ranges per axis that cut all of G; one box where None.

    Returns:
        ``[B, L, *G]``.
    """
    if x.device.type != "cpu":
        flat = function(x.flatten(2))
        return flat.reshape(*flat.shape[:2], *x.shape[2:])
    whole: Ranges = tuple((0, n) for n in x.shape[2:])
    places = [
        (slice(item, item + 1), slice(None), *(slice(low, high) for low, high in piece))
        for item in range(x.shape[0])
        for box in (boxes or [whole])
        for piece in _pieces(box)
    ]
    settings = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.is_inference_mode_enabled()

    def run(place: tuple[slice, ...]) -> torch.Tensor:
        enabled, dtype, inference = settings  # a thread's own
        with torch.inference_mode(inference), torch.no_grad(), torch.autocast("cpu", dtype, enabled=enabled):
            piece = x[place]
            flat = function(piece.reshape(1, x.shape[1], -1))
            return flat.reshape(*flat.shape[:2], *piece.shape[2:])

    made = in_threads(run, places, with_torch=True)
    out = made[0].new_empty(x.shape[0], made[0].shape[1], *x.shape[2:])
    for place, piece in zip(places, made, strict=True):
        out[place] = piece
    return out


def _pieces(box: Ranges) -> list[Ranges]:
    """Cut a box along its first axes into pieces of at most :data:`TOKENS`, of fewer where it has few."""
    tokens = prod(high - low for low, high in box)
    most = max(SMALLEST, min(TOKENS, -(-tokens // 8)))
    pieces, left = [box], tokens
    for axis, (low, high) in enumerate(box):
        if left <= most:
            break
        left //= high - low
        step = max(1, most // left)
        pieces = [
            (*piece[:axis], (start, min(start + step, high)), *piece[axis + 1 :])
            for piece in pieces
            for start in range(low, high, step)
        ]
    return pieces


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


def _begin_anew() -> None:
    """In a forked process, where threads are gone: no pool, and one thread for torch, which would wait for the others.

    GNU's OpenMP, which torch comes with, does not start threads again after a fork.
    """
    _pool.cache_clear()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
