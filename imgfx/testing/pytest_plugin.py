"""The pytest plugin: `pytest --imgfx NAME` and fixtures for tests of plugins.

pytest imports this module in every environment where imgfx is installed; so it imports nothing but
pytest at its top, and adds nothing to runs that do not use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from imgfx.api import Image
    from imgfx.testing import Ended
    from imgfx.testing.kit.findings import Result
    from imgfx.testing.kit.performing import Examination, Task

_SECTION = "imgfx"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option `--imgfx`."""
    group = parser.getgroup("imgfx", "imgfx plugins")
    group.addoption(
        "--imgfx",
        action="append",
        default=[],
        metavar="NAME",
        help="Check an installed imgfx plugin, as `imgfx plugins test NAME`; may be given again.",
    )


class _Subject(pytest.Collector):
    """One thing that a plugin offers."""

    def collect(self) -> Iterator[pytest.Item]:
        """Its checks are made by `pytest_collection_modifyitems`."""
        return iter(())


class _CheckItem(pytest.Item):
    """One check."""

    task: Task

    def runtest(self) -> None:
        """Fails or skips with the finding's reason; a warning is shown with -rA and in summary."""
        result = self.task.perform()
        self.user_properties.append(("imgfx", result.status))
        if result.status == "fail":
            pytest.fail(result.reason, pytrace=False)
        if result.status == "skip":
            pytest.skip(result.reason)
        if result.status == "warn":
            self.add_report_section("call", _SECTION, result.reason)
            self.config.stash[_WARNINGS].append(result)

    def reportinfo(self) -> tuple[Path, None, str]:
        """No line of a file."""
        return self.path, None, self.nodeid


_WARNINGS: pytest.StashKey[list[Result]] = pytest.StashKey()


@pytest.hookimpl(tryfirst=True)  # before -k and -m choose
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Adds a test for each check of what `--imgfx` names."""
    names: list[str] = config.getoption("--imgfx")
    if not names:
        return
    config.stash[_WARNINGS] = []
    for name in names:
        items += _items(session, _examination(config, name))


def _examination(config: pytest.Config, name: str) -> Examination:
    from imgfx.api import ImgfxError
    from imgfx.testing.kit.performing import Examination

    try:
        examination = Examination(name).__enter__()
    except ImgfxError as error:
        raise pytest.UsageError(f"--imgfx: {error.format_message()}") from error
    config.add_cleanup(lambda: examination.__exit__(None, None, None))
    return examination


def _items(session: pytest.Session, examination: Examination) -> Iterator[pytest.Item]:
    subjects: dict[str, _Subject] = {}
    for task in examination.tasks():
        title = f"imgfx {task.subject.offer.kind} {task.subject.offer.name}"
        if title not in subjects:
            subjects[title] = _Subject.from_parent(session, name=title, nodeid=title)
        item: _CheckItem = _CheckItem.from_parent(subjects[title], name=task.check.name)
        item.task = task
        yield item


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Says what the checks warn of."""
    found = config.stash.get(_WARNINGS, [])
    if found:
        terminalreporter.section("imgfx warnings")
        for result in found:
            terminalreporter.write_line(str(result))


@pytest.fixture
def imgfx_images() -> Mapping[str, Image]:
    """`imgfx.testing.sample_images()`."""
    from imgfx.testing import sample_images

    return sample_images()


@pytest.fixture
def imgfx_apply() -> Callable[..., Image]:
    """`imgfx.testing.apply`: a stage on an image, in this process."""
    from imgfx.testing import apply

    return apply


@pytest.fixture
def imgfx_run(tmp_path: Path) -> Callable[..., Ended]:
    """`imgfx.testing.run` in the test's own folder: imgfx in a process of its own."""
    from imgfx.testing import run

    def run_here(*words: object, **more: object) -> Ended:
        return run(*words, **{"cwd": tmp_path, **more})  # type: ignore[arg-type]

    return run_here
