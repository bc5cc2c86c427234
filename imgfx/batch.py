"""One run of a chain from the command line: plan, progress, report and exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

import click

from imgfx import __version__
from imgfx.chain import describe
from imgfx.errors import confined
from imgfx.files import write_file
from imgfx.pipeline import Chain, Outcome, Report, StartedChain
from imgfx.plugins import Registry
from imgfx.session import Session
from imgfx.settings import Settings


class Bar(Protocol):
    """What is used of a progress bar."""

    def update(self, n: int = 1) -> bool | None:
        """One more image."""
        ...


class Teller:
    """Tells of each image as it is done: its failure, its warnings, with -v its time.

    The first image's failure is held back until there is a second one: without, it becomes the
    message of the whole run, and is not said twice.
    """

    def __init__(self, settings: Settings, bar: Bar | None) -> None:
        self._settings, self._bar = settings, bar
        self._told = 0
        self._held: str | None = None

    def __call__(self, outcome: Outcome) -> None:
        """One more image."""
        if self._bar is not None:
            self._bar.update()
        self._release()
        self._told += 1
        if outcome.error is not None:
            self._held = f"error: {outcome.error}"
            if self._told > 1:
                self._release()
            return
        for note in dict.fromkeys(outcome.notes):
            _say(not self._settings.quiet, f"warning: {outcome.origin}: {note}")
        what = f"{outcome.origin} -> {outcome.output} ({outcome.seconds:.2f} s)"
        _say(self._settings.verbose, what)

    def _release(self) -> None:
        _say(self._held is not None, self._held or "")
        self._held = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._release()


def run_chain(chain: Chain, settings: Settings, registry: Registry, images_out: int) -> None:
    """Runs a chain to its end.

    Raises:
        BatchError: some images failed; the others are written.
        ImgfxError: nothing could be done, or nothing more can be written.
    """
    if settings.engine != "auto":
        registry.engine(settings.engine)  # refused even where no stage would ask for it
    engines = registry.names("engine")
    with Session(
        settings, registry.engine, images_out, engines, partial(_say, not settings.quiet)
    ) as session:
        started = chain.start(session)
        _check_targets(chain, started)
        if settings.dry_run:
            _show_plan(chain, started, session)
            return
        for loaded in session.models:
            told = settings.verbose or (settings.engine == "auto" and not settings.quiet)
            _say(told, f"{loaded.model.name}: {loaded.choice}")
        total, report = started.items.count, Report()
        _write_report(settings, chain, session, report)  # fails now or not at all
        with _progress(settings, total) as bar, Teller(settings, bar) as tell:
            try:
                started.run(
                    jobs=settings.jobs,
                    stop_on_error=settings.on_error == "stop",
                    observe=tell,
                    report=report,
                )
            finally:
                _write_report(settings, chain, session, report)
    report.raise_for_failures()
    _say(report.done > 1 and not settings.quiet, f"{report.done} images done")


def _say(wanted: bool, text: str) -> None:
    if wanted:
        click.echo(f"imgfx: {text}", err=True)


def _check_targets(chain: Chain, started: StartedChain) -> None:
    """Finds targets that clash, before the first image."""
    check = getattr(started.sink, "check", None)
    if check is None or started.items.count is None:
        return
    with confined(f"stage {chain.source.name!r}"):
        for index, item in enumerate(started.items):
            with confined(f"stage {chain.sink.name!r}"):
                check(item, index)


def _show_plan(chain: Chain, started: StartedChain, session: Session) -> None:
    """What would be done, on stderr."""
    for loaded in session.models:
        click.echo(f"model   {loaded.model.name}: {loaded.choice}", err=True)
    steps = " | ".join(stage.name for stage in (chain.source, *chain.filters, chain.sink))
    click.echo(f"chain   {steps}", err=True)
    if started.items.count is None:
        click.echo("images  from stdin, as they come", err=True)
        return
    with confined(f"stage {chain.source.name!r}"):
        for index, item in enumerate(started.items):
            with confined(f"stage {chain.sink.name!r}"):
                target = started.sink.target(item, index)
            click.echo(f"image   {item.origin} -> {target}", err=True)


def _progress(settings: Settings, total: int | None) -> AbstractContextManager[Bar | None]:
    if settings.quiet or total == 1 or not sys.stderr.isatty():
        return nullcontext()
    from tqdm import tqdm

    return tqdm(total=total, unit="image", file=sys.stderr, leave=False)


def _write_report(settings: Settings, chain: Chain, session: Session, report: Report) -> None:
    """Where one is wanted, it is written before the first image and however the run ends."""
    if settings.report is None:
        return
    data: Mapping[str, Any] = {
        "imgfx": __version__,
        "chain": describe((chain.source, *chain.filters, chain.sink)),
        "models": [
            {
                "model": loaded.model.name,
                "weights": loaded.weights.digest,
                "engine": loaded.choice.engine,
                "device": loaded.choice.device,
                "precision": loaded.choice.precision,
            }
            for loaded in session.models
        ],
        "notes": session.notes,
        "done": report.done,
        "failed": report.failed,
        "images": [_image(outcome) for outcome in report.outcomes],
    }
    write_file(settings.report, (json.dumps(data, indent=2) + "\n").encode())


def _image(outcome: Outcome) -> Mapping[str, Any]:
    return {
        "input": outcome.origin,
        "output": outcome.output,
        "seconds": round(outcome.seconds, 4),
        "warnings": list(outcome.notes),
        "error": outcome.error,
    }
