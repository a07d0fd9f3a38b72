"""Progress on a terminal: a bar for training, a spinner for stages. Everything goes to standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from liveaction.cli.printing import shown
from liveaction.errors import escaped

if TYPE_CHECKING:
    from liveaction.spec import Recipe
    from liveaction.training.loop import Listener, StepReport
    from liveaction.training.result import Validation


class TrainingProgress:
    """The bar of ``liveaction train``: PSNR, bits per latent, ratio, learning rate, time left."""

    def __init__(self, console: Console, recipe: "Recipe", quiet: bool) -> None:
        self.console, self.quiet = console, quiet
        self.bar = _counting_bar(console, quiet)
        self.task = self.bar.add_task("", total=max(recipe.training.steps, 1))
        self.smooth: list[StepReport] = []

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def listener(self) -> "Listener":
        """What the trainer calls."""
        from liveaction.training.loop import Listener

        return Listener(self._stage, self._step, self._validation)

    def _stage(self, text: str) -> None:
        if not self.quiet:
            self.console.print(shown(text))

    def _step(self, report: "StepReport") -> None:
        self.smooth = [*self.smooth[-19:], report]
        mean = sum(r.psnr for r in self.smooth) / len(self.smooth)
        bits = sum(r.bits for r in self.smooth) / len(self.smooth)
        text = (
            f"{mean:5.2f} dB  {bits:.3f} bit/latent  ~{report.ratio * report.bits / bits:.0f}:1  "
            f"lr {report.learning_rate:.1e}  crop {report.crop}{'  encoder frozen' if report.frozen else ''}"
        )
        self.bar.update(self.task, completed=report.step, description=text)

    def _validation(self, result: "Validation") -> None:
        if not self.quiet:
            self.console.print(
                f"step {result.step}: held out {result.psnr:.2f} dB, {result.bits:.3f} bit/latent, "
                f"~{result.ratio:.0f}:1"
            )


@contextmanager
def stages(console: Console, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A spinner that says what is being done."""
    if quiet:
        yield lambda text: None
        return
    with console.status("starting") as status:
        yield lambda text: status.update(shown(text))


@contextmanager
def transfer(console: Console, quiet: bool, items: int, size: int) -> Iterator[Callable[[int, int], None]]:
    """A bar over items and their bytes: how many, MB/s, time left. What it gives is told of each item that is finished:
    its bytes, and how many have failed by then."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[count]}/{task.fields[items]}{task.description}", markup=False),
        BarColumn(bar_width=20),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        disable=quiet,
        transient=True,
    )
    task = bar.add_task("", total=max(size, 1), count=0, items=items)

    def advance(taken: int, failed: int) -> None:
        count = bar.tasks[0].fields["count"] + 1
        bar.update(task, advance=taken, count=count, description=f", {failed} failed" if failed else "")

    with bar:
        yield advance


@contextmanager
def counted(console: Console, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """A bar of things that are done one by one; what it gives is told how many of how many, and what is at hand."""
    bar = _counting_bar(console, quiet)
    task = bar.add_task("", total=None)
    with bar:
        yield lambda done, total, text: bar.update(task, completed=done, total=total, description=escaped(text))


def _counting_bar(console: Console, quiet: bool) -> Progress:
    return Progress(
        SpinnerColumn(),
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        TextColumn("{task.description}", markup=False),
        TimeRemainingColumn(compact=True),
        console=console,
        disable=quiet,
        transient=True,
    )
