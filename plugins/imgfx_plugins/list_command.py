"""`imgfx plugins list`: what is offered, and by whom; imports no plugin."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from imgfx.offers import PACKAGES, summary

if TYPE_CHECKING:
    from imgfx.catalog import Catalog
    from imgfx.offers import Offer


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
@click.pass_obj
def list_(catalog: Catalog, as_json: bool) -> None:
    """List all that plugins offer: stages, commands, models, engines and runners.

    Reads what packages say of themselves and imports none of them; whether one works is shown by
    `imgfx plugins info NAME`.
    """
    rows = [row_of(offer, catalog) for offer in catalog.offers]
    rows += [{**row_of(offer, catalog), "left_out": True} for offer in catalog.left_out]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for kind in dict.fromkeys(offer.kind for offer in _by_kind(catalog.offers)):
        click.echo(f"{kind}s:")
        _show([row for row in rows if row["kind"] == kind and "left_out" not in row])
    left_out = sorted({offer.package for offer in catalog.left_out})
    if left_out:
        click.echo(f"left out by {PACKAGES}: {', '.join(left_out)}")


def row_of(offer: Offer, catalog: Catalog) -> dict[str, Any]:
    """What is known of an offer without importing it."""
    return {
        "name": offer.name,
        "called": catalog.shown_name(offer),
        "kind": offer.kind,
        "package": offer.package,
        "version": offer.package_version,
        "module": offer.module,
        "api": offer.version,
        "usable": offer.supported,
        "bundled": offer.bundled,
        "summary": summary(offer),
    }


def _by_kind(offers: Sequence[Offer]) -> list[Offer]:
    kinds = ("source", "filter", "sink", "command", "model", "engine", "runner")
    return sorted(offers, key=lambda offer: kinds.index(offer.kind))


def _show(rows: Sequence[dict[str, Any]]) -> None:
    """Lines of three columns: name, package with version, summary."""
    cells = [(row["called"], _package(row), row["summary"]) for row in rows]
    widths = [max(len(cell[column]) for cell in cells) for column in (0, 1)]
    for called, package, text in cells:
        click.echo(f"  {called:{widths[0]}}  {package:{widths[1]}}  {text}".rstrip())


def _package(row: dict[str, Any]) -> str:
    return f"{row['package']} {row['version']}".strip()
