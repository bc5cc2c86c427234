"""`imgfx plugins test`: the conformance kit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgfx.errors import EXIT_ERROR

if TYPE_CHECKING:
    from imgfx.catalog import Catalog
    from imgfx.testing import Result

_MARKS = {"pass": "ok", "warn": "warning", "fail": "FAILED", "skip": "skipped"}
_COLOURS = {"pass": "green", "warn": "yellow", "fail": "red", "skip": "cyan"}
_CHECK, _MARK = 13, 8
"""Widths of the table's columns."""


@click.command("test")
@click.argument("name", metavar="NAME")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS]")
@click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path, resolve_path=True),
    metavar="FILE",
    help="Try a stage or model with these, in place of its own.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True),
    metavar="DIR",
    help="Train a model on these images for two steps, too.",
)
@click.option("--json", "as_json", is_flag=True, help="Write the results as JSON to stdout.")
@click.option("-v", "--verbose", is_flag=True, help="Show every check, not only what is amiss.")
@click.pass_obj
def test(
    catalog: Catalog,
    name: str,
    words: Sequence[str],
    weights: Path | None,
    data: Path | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Check that a plugin does what every plugin promises.

    NAME is a stage, a model or anything else that plugins offer, or a package with all it offers.
    Options behind `--` are the stage's. A line that is not ok says what to do; warnings may be
    meant so. Exit code 1 if a check failed.

    \b
    Examples:
      imgfx plugins test sepia
      imgfx plugins test sepia -v -- --amount 0.5
      imgfx plugins test imgfx-deblur --data photos --json > results.json
    """
    from imgfx.testing.kit.performing import Examination
    from imgfx.testing.kit.subjects import Given

    found: list[Result] = []
    with Examination(name, Given(words, weights, data), catalog) as examination:
        for task in examination.tasks():
            result = task.perform()
            if not as_json:
                _show(result, found[-1] if found else None, verbose=verbose)
            found.append(result)
    if as_json:
        click.echo(json.dumps([asdict(result) for result in found], indent=2))
    else:
        _sum_up(found)
    if any(result.status == "fail" for result in found):
        raise click.exceptions.Exit(EXIT_ERROR)


def _show(result: Result, before: Result | None, *, verbose: bool) -> None:
    """A row of the table, below its subject's title; as soon as it is known."""
    title = _title(result)
    if before is None or _title(before) != title:
        click.echo(click.style(title, bold=True))
    if verbose or result.status in ("fail", "warn"):
        text = _MARKS[result.status]
        mark = click.style(text, fg=_COLOURS[result.status])
        reason = f"{'':{_MARK - len(text)}} {result.reason}" if result.reason else ""
        click.echo(f"  {result.check:{_CHECK}} {mark}{reason}")


def _title(result: Result) -> str:
    return f"{result.kind} {result.name} ({result.package})"


def _sum_up(found: Iterable[Result]) -> None:
    """`31 checks: 29 ok, 1 warning, 1 skipped`."""
    counts: Counter[str] = Counter(result.status for result in found)
    parts = [f"{counts[status]} {mark}" for status, mark in _MARKS.items() if counts[status]]
    click.echo(f"{sum(counts.values())} checks: {', '.join(parts)}")
