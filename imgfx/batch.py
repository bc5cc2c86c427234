"""One run of a chain from the command line: plan, progress, report and exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click

from imgfx import __version__
from imgfx.chain import describe
from imgfx.digests import digest_of, stages_of
from imgfx.engines.base import Choice
from imgfx.errors import ImgfxError, PluginError, confined, tell
from imgfx.files import descriptor_of, write_file
from imgfx.inputs import reads_around, without_own_outputs
from imgfx.interrupts import Interrupts
from imgfx.journal import NAME, Journal, remove_abandoned
from imgfx.ledger import BatchLedger
from imgfx.outcomes import Outcome, Report
from imgfx.pipeline import Chain, StartedChain
from imgfx.plan import plan_of, show_plan
from imgfx.plugins import Registry
from imgfx.progress import Progress
from imgfx.runners import (
    Blueprint,
    ChainRunner,
    ElsewhereEngine,
    LocalRunner,
    Part,
    Work,
    runner_named,
)
from imgfx.session import Session
from imgfx.settings import Settings
from imgfx.stage import Journaled


class Teller:
    """Tells of each image as it is done: its failure, its warnings, with -v its time.

    The first image's failure is held back until there is a second one: without, it becomes the
    message of the whole run, and is not said twice.
    """

    def __init__(
        self, settings: Settings, progress: Progress, is_interrupted: Callable[[], bool]
    ) -> None:
        self._settings, self._progress = settings, progress
        self._is_interrupted = is_interrupted
        self._told = 0
        self._held: str | None = None

    def __call__(self, outcome: Outcome) -> None:
        """One more image."""
        self._progress.image()
        self._release()
        self._told += 1
        for note in dict.fromkeys(outcome.notes):
            _say(not self._settings.quiet, f"warning: {outcome.origin}: {note}")
        if outcome.error is not None:
            self._held = f"error: {outcome.error}"
            if self._told > 1:
                self._release()
            return
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
        if error is not None or self._is_interrupted():
            self._release()


def run_chain(
    chain: Chain,
    settings: Settings,
    registry: Registry,
    images_out: int,
    parts: Mapping[int, Part] | None = None,
) -> None:
    """Runs a chain to its end.

    Args:
        chain: what is to be run.
        settings: how.
        registry: the plugins.
        images_out: the descriptor that stands for stdout.
        parts: by the `id` of a stage, how other processes make it.

    Raises:
        BatchError: some images failed; the others are written.
        ImgfxError: nothing could be done, or nothing more can be written.
    """
    if settings.engine != "auto":
        registry.engine(settings.engine)  # refused even where no stage would ask for it
    runner = runner_named(settings.runner, registry)
    elsewhere = ElsewhereEngine() if runner.elsewhere and not settings.dry_run else None
    with _session(settings, registry, images_out, elsewhere) as session:
        started = _started(chain, session, settings)
        if settings.dry_run:
            with _ledger(chain, started, session) as ledger:
                plan = plan_of(chain, started, session, ledger)
                show_plan(plan, images_out if settings.json else None)
            return
        if elsewhere is None:
            _tell_models(session, settings)
        report = Report()
        if settings.report is not None and not _is_pipe(settings.report):
            _write_report(settings, chain, session, report, started)  # fails now or not at all
        with _ledger(chain, started, session) as ledger, _interrupts(started, settings) as stop:
            work = Work(
                started,
                settings,
                report,
                lambda _outcome: None,
                ledger,
                stop,
                _blueprint(chain, settings, parts or {}, registry),
                partial(_learn, session, settings, elsewhere),
                partial(_say, not settings.quiet),
            )
            with _reported(work, partial(_write_report, settings, chain, session, report, started)):
                _run(runner, work, session)
                _check_all_done(work, runner)
    _raise_for_interrupt(report, stop, journaled=ledger is not None)
    report.raise_for_failures()
    _say((report.done > 1 or report.kept > 0) and not settings.quiet, _count(report))


def _started(chain: Chain, session: Session, settings: Settings) -> StartedChain:
    """The chain, ready for its images, none of which is its own output or has another's target."""
    if not settings.dry_run:  # which reads headers alone
        import_module("imgfx.opencv")  # fails here if it does, and not with each image
    started = chain.start(session)
    with confined(f"stage {chain.source.name!r}"):
        started = without_own_outputs(
            started, chain.source.options, partial(_say, not settings.quiet)
        )
    _check_targets(chain, started)
    return started


def _raise_for_interrupt(report: Report, stop: Interrupts | None, *, journaled: bool) -> None:
    """Turns an interrupt that left images undone into an exit code; else all is as usual."""
    if stop is None or not _is_broken_off(report, stop):
        return
    again = ", the same command goes on" if journaled else ""
    tell(f"interrupted; {_count(report)}{again}")
    raise click.exceptions.Exit(stop.exit_code)


def _session(
    settings: Settings, registry: Registry, images_out: int, elsewhere: ElsewhereEngine | None
) -> Session:
    """The run's session; where models run elsewhere, one that opens none."""
    say = partial(_say, not settings.quiet)
    if elsewhere is None:
        return Session(settings, registry.engine, images_out, registry.names("engine"), say)
    there = replace(settings, engine=elsewhere.name)
    return Session(there, lambda _name: elsewhere, images_out, [elsewhere.name], say)


def _tell_models(session: Session, settings: Settings) -> None:
    told = settings.verbose or (settings.engine == "auto" and not settings.quiet)
    for loaded in session.models:
        _say(told, f"{loaded.model.name}: {loaded.choice}")


def _learn(
    session: Session,
    settings: Settings,
    elsewhere: ElsewhereEngine | None,
    choices: Mapping[str, Choice],
    notes: Sequence[str],
) -> None:
    """What runs the models of the run's other processes, and their notes; said where news."""
    before = [loaded.choice for loaded in session.models]
    if elsewhere is not None:
        elsewhere.learn(choices)
    if before != [loaded.choice for loaded in session.models]:
        _tell_models(session, settings)
    for note in notes:
        if note not in session.notes:
            session.note(note)


def _blueprint(
    chain: Chain, settings: Settings, parts: Mapping[int, Part], registry: Registry
) -> Blueprint | None:
    """How other processes make the filters and the sink; None where they cannot."""
    stages = (*chain.filters, chain.sink)
    if settings.runner == LocalRunner.name:  # whose working folder may even be gone
        return None
    if any(id(stage) not in parts for stage in stages):
        return None
    *filters, sink = (parts[id(stage)] for stage in stages)
    return Blueprint(filters, sink, settings, Path.cwd(), registry.folders)


def _run(runner: ChainRunner, work: Work, session: Session) -> None:
    settings, images = work.settings, work.chain.items.count
    with (
        Progress(images, quiet=settings.quiet) as progress,
        Teller(settings, progress, lambda: _is_broken_off(work.report, work.interrupts)) as teller,
    ):
        session.watch = progress.tiles
        runner.run(replace(work, observe=teller))


def _check_all_done(work: Work, runner: ChainRunner) -> None:
    """Whether a runner, which may be a plugin's, has left no image out.

    Raises:
        PluginError: it has.
    """
    images, done = work.chain.items.count, len(work.report.outcomes)
    if isinstance(runner, LocalRunner) or images is None or work.report.stopped:
        return
    if done < images:
        raise PluginError(f"runner {runner.name!r} left out {images - done} of {images} images")


def _is_broken_off(report: Report, interrupts: Interrupts | None) -> bool:
    """Whether an interrupt has left images undone."""
    return report.stopped and interrupts is not None and interrupts.came is not None


def _count(report: Report) -> str:
    earlier = f", {report.kept} of them earlier" if report.kept else ""
    return f"{report.done} image{'' if report.done == 1 else 's'} done{earlier}"


@contextmanager
def _interrupts(started: StartedChain, settings: Settings) -> Iterator[Interrupts | None]:
    """Of a single image an interrupt is the end; of several the ones in work are finished."""
    if started.items.count == 1:
        yield None
        return
    with Interrupts(partial(_say, not settings.quiet)) as interrupts:
        yield interrupts


@contextmanager
def _ledger(chain: Chain, started: StartedChain, session: Session) -> Iterator[BatchLedger | None]:
    """The journal of a batch that is written to files; None of anything else."""
    sink, count = started.sink, started.items.count
    if not isinstance(sink, Journaled) or count is None:
        yield None
        return
    folder = sink.journal_folder()
    if folder is None or not _wants_journal(folder, chain, started):
        yield None
        return
    if not session.settings.dry_run:
        targets = (Path(started.sink.target(item, n)) for n, item in enumerate(started.items))
        remove_abandoned(targets)
    content = dict(sink.journal_options())
    if not session.settings.provenance:
        content["provenance"] = False
    settings = session.settings
    digest, made = (
        digest_of(stages, content, session.models)
        for stages in (chain.filters, (chain.source, *chain.filters))
    )
    stages = stages_of(chain.filters, content)
    writable = not settings.dry_run
    journal = Journal(folder, digest, made, _limits(settings), stages, writable=writable)
    ledger = BatchLedger(journal, started.sink, settings, started.record)
    sink.keep_journal(ledger.note)
    try:
        yield ledger
    finally:
        journal.close()


def _wants_journal(folder: Path, chain: Chain, started: StartedChain) -> bool:
    """Of a single image only where there is one, or its output would be read the next time."""
    if started.items.count != 1 or (folder / NAME).exists():
        return True
    return reads_around(folder, started.items, chain.source.options)


def _limits(settings: Settings) -> str:
    """What decides, beside the chain, whether an image can be made."""
    limits = settings.most_pixels, settings.tile, settings.batch
    return f"{settings.engine} {settings.device} {settings.precision} {limits}"


def _say(wanted: bool, text: str) -> None:
    if wanted:
        tell(text)


def _check_targets(chain: Chain, started: StartedChain) -> None:
    """Finds targets that clash, before the first image."""
    check = getattr(started.sink, "check", None)
    if check is None or started.items.count is None:
        return
    with confined(f"stage {chain.source.name!r}"):
        for index, item in enumerate(started.items):
            with confined(f"stage {chain.sink.name!r}"):
                check(item, index)


def _is_pipe(path: Path) -> bool:
    """Whether it is something that takes one report and no second one."""
    return descriptor_of(path) is not None or (path.exists() and not path.is_file())


@contextmanager
def _reported(work: Work, write: Callable[..., None]) -> Iterator[None]:
    """Around a run: its report is written however it ends; what ends it is told in any case."""
    try:
        yield
    except BaseException as error:
        stop = work.interrupts
        if isinstance(error, KeyboardInterrupt) and stop is not None and stop.came is not None:
            work.report.stopped = True
        else:
            try:
                write()
            except ImgfxError as second:  # as is said of whatever cannot be written
                tell(f"error: {second.format_message()}")
            raise
    write(complete=not work.report.stopped)


def _write_report(
    settings: Settings,
    chain: Chain,
    session: Session,
    report: Report,
    started: StartedChain,
    *,
    complete: bool = False,
) -> None:
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
        "complete": complete,
        "total": started.items.count,
        "done": report.done,
        "kept": report.kept,
        "failed": report.failed,
        "images": [_image(outcome, session) for outcome in report.outcomes],
    }
    write_file(settings.report, (json.dumps(data, indent=2) + "\n").encode())


def _image(outcome: Outcome, session: Session) -> Mapping[str, Any]:
    here = [loaded.choice for loaded in session.models]
    ran = [] if outcome.kept else here if outcome.ran is None else outcome.ran
    return {
        "input": outcome.origin,
        "output": outcome.output,
        "kept": outcome.kept,
        "seconds": round(outcome.seconds, 4),
        "engine": "+".join(dict.fromkeys(choice.engine for choice in ran)) or None,
        "precision": "+".join(dict.fromkeys(choice.precision for choice in ran)) or None,
        "warnings": list(outcome.notes),
        "error": outcome.error,
    }
