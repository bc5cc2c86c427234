"""`imgfx plugins doctor`: what is wrong with the installation, or may become so."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from imgfx.errors import PluginError

if TYPE_CHECKING:
    from imgfx.catalog import Catalog

_MARKS = {"ok": "ok  ", "note": "note", "fail": "FAIL"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
@click.pass_obj
def doctor(catalog: Catalog, as_json: bool) -> None:
    """Examine the installation: OpenCV, PyTorch, engines, weights, cache, plugins, environment.

    Imports no plugin; OpenCV and PyTorch are imported in processes of their own, so that one that
    crashes is found too. Exit code 1 when something is broken; notes are for your information.
    """
    from imgfx_plugins.doctor import examine

    findings = []
    for finding in examine(catalog):
        findings.append(finding)
        if not as_json:
            click.echo(f"{_MARKS[finding.state]}  {finding.topic}: {finding.text}")
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    if any(finding.state == "fail" for finding in findings):
        raise click.exceptions.Exit(PluginError.exit_code)
