"""A run on stderr: how far it is, how fast, and how well it does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgfx_train.run import Run
    from imgfx_train.schedule import Length


class _Stderr:
    """Stderr, but that it cannot be written to does not end hours of training."""

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


@contextmanager
def shown(length: Length, *, quiet: bool) -> Iterator[Callable[[Run, Mapping[str, float]], None]]:
    """A progress bar on stderr, with the loss and the newest figures."""
    from tqdm import tqdm

    total = 100.0 if length.minutes is not None else length.steps
    unit = "%" if length.minutes is not None else "step"
    layout = "{percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}"
    with tqdm(
        total=total, unit=unit, bar_format=layout, mininterval=1.0, disable=quiet, file=_Stderr()
    ) as bar:

        def show(run: Run, losses: Mapping[str, float]) -> None:
            done = run.progress * (total or 0)
            if not bar.n:
                # Of a resumed run, whose time left is not to be that of what is done.
                bar.n = bar.initial = bar.last_print_n = done
            values = {**losses, **run.figures}
            if run.learner.step % 10 == 0:
                speed = run.learner.step / max(1e-9, run.seconds)
                shown = " ".join(f"{k} {v:.4g}" for k, v in values.items())
                text = f"step {run.learner.step} ({speed:.2f}/s) {shown}"
                bar.set_postfix_str(text, refresh=False)
            bar.update(done - bar.n)

        yield show
