"""Signals that ask a process to stop: Ctrl-C, and what schedulers send instead. All of them act alike.

They are SIGINT, SIGTERM, SIGHUP and SIGUSR1. One that the process was started with as ignored, under nohup or in the
background, stays ignored. A process that was stopped ends with status 128 plus the signal's number.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_Handlers = dict[int, Callable[[int, FrameType | None], object] | int]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Stopped(BaseException):
    """A signal asked the process to stop; ``number`` is the signal's."""

    def __init__(self, number: int, text: str = "") -> None:
        super().__init__(text or f"stopped by {signal.Signals(number).name}")
        self.number = number


@contextmanager
def stop_signals(act: Callable[[int], None]) -> Iterator[None]:
    """Call ``act`` with the number of the first such signal that comes in the block.

    From then on, and after the block, they act as they did before it. Only the main thread can handle signals: in
    another one they are left as they are.
    """
    before: _Handlers = {}
    came = False

    def first(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        _restore(before)
        act(number)

    _handle(first, before)
    try:
        yield
    finally:
        if not came:
            _restore(before)


def raise_stopped(number: int) -> None:
    """Raise :class:`Stopped`; another signal then ends the process where it is."""
    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, signal.SIG_DFL)
    raise Stopped(number)


@contextmanager
def held_signals() -> Iterator[None]:
    """Let such signals wait for the end of the block; a process started in it is born with them blocked."""
    came: list[int] = []
    before: _Handlers = {}
    _handle(lambda number, frame: came.append(number), before)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _restore(before)
        for number in came:
            signal.raise_signal(number)


def ignore_signals() -> None:
    """Leave such signals to the process that started this one with :func:`held_signals`."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _handle(handler: Callable[[int, FrameType | None], object], before: _Handlers) -> None:
    """Put ``handler`` in the place of those that act, which are kept in ``before``."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        acting = signal.getsignal(number)
        if acting is not None and acting is not signal.SIG_IGN:
            before[number] = acting
            signal.signal(number, handler)


def _restore(before: _Handlers) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
