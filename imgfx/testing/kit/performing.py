"""Perform the checks of a plugin, one after the other."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from imgfx.catalog import Catalog
from imgfx.errors import ImgfxError, surprise
from imgfx.offers import STAGE_KINDS, Offer
from imgfx.plugins import Registry
from imgfx.testing.kit import loading
from imgfx.testing.kit.capturing import captured_stdout
from imgfx.testing.kit.findings import Check, Finding, NotReadyError, Result, failed, skipped
from imgfx.testing.kit.subjects import Given, Subject, offers_named


@dataclass(frozen=True)
class Task:
    """One check that is to be performed on one subject."""

    subject: Subject
    check: Check[Any]

    def perform(self) -> Result:
        """The check's finding; never raises."""
        offer = self.subject.offer
        with captured_stdout(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the finding is the same whatever the host's filters
            found = _found(self.check, self.subject)
        reason = "; ".join(part.strip() for part in found.reason.splitlines() if part.strip())
        return Result(offer.package, offer.name, offer.kind, self.check.name, found.status, reason)


def _found(check: Check[Any], subject: Subject) -> Finding:
    try:
        finding: Finding = check.run(subject)
    except NotReadyError as error:
        return skipped(str(error))
    except ImgfxError as error:
        return failed(error.format_message())
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the plugin boundary
        return failed(f"raises {surprise(error)}")
    return finding


class Examination:
    """The tasks of a name, and a folder for their files. A context manager.

    Raises:
        ImgfxError: nothing has that name; or options are given for several stages.
    """

    def __init__(
        self, name: str, given: Given | None = None, catalog: Catalog | None = None
    ) -> None:
        given, self._stack = given or Given(), ExitStack()
        self._catalog: Catalog = catalog or Registry()
        self.offers: Sequence[Offer] = offers_named(self._catalog, name)
        stages = [offer for offer in self.offers if offer.kind in STAGE_KINDS]
        if given.words and len(stages) != 1:
            raise ImgfxError(f"{name}: options behind `--` are for one stage; name it")
        self._given = given.absolute()
        self._folder = ""

    def __enter__(self) -> Self:
        folder = tempfile.TemporaryDirectory(prefix="imgfx-kit-", ignore_cleanup_errors=True)
        self._folder = self._stack.enter_context(folder)
        return self

    def tasks(self) -> Iterator[Task]:
        """Every check of every offer; loads no plugin."""
        for number, offer in enumerate(self.offers):
            folder = Path(self._folder) / str(number)
            folder.mkdir(exist_ok=True)
            yield from _tasks(self._catalog, offer, folder, self._given)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


def _tasks(catalog: Catalog, offer: Offer, folder: Path, given: Given) -> list[Task]:
    make, checks = _KINDS[offer.kind](catalog)
    subject = make(catalog, offer, folder, given)
    return [Task(subject, check) for check in checks]


# Imported for the kinds that are there: checks of models import PyTorch, which takes seconds.
Kind = tuple[Callable[..., Subject], Sequence[Check[Any]]]
"""What an offer is tried as, and the checks."""


def _source(_catalog: Catalog) -> Kind:
    from imgfx.testing.kit.sources import CHECKS, SourceSubject

    return SourceSubject, [*loading.COMMANDS, *CHECKS]


def _filter(_catalog: Catalog) -> Kind:
    from imgfx.testing.kit import filter_runs, filters, keeping
    from imgfx.testing.kit.trials import FilterSubject

    return FilterSubject, [*loading.COMMANDS, *filters.CHECKS, *keeping.CHECKS, *filter_runs.CHECKS]


def _sink(_catalog: Catalog) -> Kind:
    from imgfx.testing.kit.sinks import CHECKS, SinkSubject

    return SinkSubject, [*loading.COMMANDS, *CHECKS]


def _command(_catalog: Catalog) -> Kind:
    from imgfx.testing.kit.commands import CHECKS

    return Subject, [*loading.COMMANDS, *CHECKS]


def _model(catalog: Catalog) -> Kind:
    from imgfx.testing.kit.engines import checks_on_engines
    from imgfx.testing.kit.model_subject import ModelSubject
    from imgfx.testing.kit.models import CHECKS

    return ModelSubject, [*loading.OFFERED, *CHECKS, *checks_on_engines(catalog)]


def _engine(_catalog: Catalog) -> Kind:
    from imgfx.testing.kit.engines import CHECKS

    return Subject, [*loading.OFFERED, *CHECKS]


def _runner(_catalog: Catalog) -> Kind:
    from imgfx.testing.kit.chain_runners import CHECKS

    return Subject, [*loading.OFFERED, *CHECKS]


_KINDS: dict[str, Callable[[Catalog], Kind]] = {
    "source": _source,
    "filter": _filter,
    "sink": _sink,
    "command": _command,
    "model": _model,
    "engine": _engine,
    "runner": _runner,
}


def conformance(
    name: str,
    *words: object,
    weights: Path | None = None,
    data: Path | None = None,
    catalog: Catalog | None = None,
) -> list[Result]:
    """All checks of what has this name: a stage, a model, or a package with all it offers.

    Args:
        name: as users type it, or of a package.
        words: options of the stage, as they are typed.
        weights: a file, in place of the stage's or the model's own.
        data: a folder of images, to train a model on for two steps.
        catalog: where the name is looked up; what is installed, when left out.

    Raises:
        ImgfxError: nothing has that name; or there are words for several stages.
    """
    given = Given([str(word) for word in words], weights, data)
    with Examination(name, given, catalog) as examination:
        return [task.perform() for task in examination.tasks()]


def failures(results: Iterable[Result]) -> list[str]:
    """What failed, a line each; empty where all is well."""
    return [str(result) for result in results if result.status == "fail"]
