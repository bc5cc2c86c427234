"""The command `onnx-info`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgfx_onnx.options import probing_options, white_of

if TYPE_CHECKING:
    from imgfx_onnx.facts import Facts


@click.command("onnx-info")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@probing_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def onnx_info(file: Path, white: str, halo: int | None, as_json: bool) -> None:
    """Show what the stage `onnx` finds out about FILE.

    \b
    Examples:
      imgfx onnx-info 4x.onnx
      imgfx onnx-info 4x.onnx --json
    """
    from imgfx_onnx.facts import examined

    facts = examined(file, white=white_of(white), halo=halo).facts
    text = json.dumps(asdict(facts), indent=2) if as_json else "\n".join(lines(facts))
    click.echo(text)


def lines(facts: Facts) -> list[str]:
    """The facts for people, a line each."""
    kind = "gray" if facts.channels == 1 else "RGB"
    rows = {
        "file": facts.file,
        "runs": facts.runs,
        "input": f"{facts.input}: {facts.dtype}, {facts.layout}, {kind}",
        "size": _size(facts),
        "scale": str(facts.scale),
        "white": f"{facts.white:g} ({facts.white_from})",
        "halo": _halo(facts),
    }
    return [f"{name:<6} {value}" for name, value in rows.items()]


def _size(facts: Facts) -> str:
    if facts.fixed is not None:
        return f"{facts.fixed[1]}x{facts.fixed[0]} only"
    parts = [f"multiples of {facts.multiple}"] if facts.multiple > 1 else []
    if facts.smallest > facts.multiple:
        parts.append(f"at least {facts.smallest}")
    return ", ".join(parts) or "any"


def _halo(facts: Facts) -> str:
    if facts.halo is None:
        return "none will do: it looks at images as a whole, which are not cut"
    return f"{facts.halo} ({facts.halo_from})"
