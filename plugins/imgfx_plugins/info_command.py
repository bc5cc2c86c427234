"""`imgfx plugins info`: one plugin, loaded, and why it does not load."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from imgfx.errors import ImgfxError, PluginError
from imgfx_plugins.list_command import row_of

if TYPE_CHECKING:
    from imgfx.catalog import Catalog
    from imgfx.offers import Offer

_LABELS = {
    "called": "called",
    "package": "package",
    "version": "version",
    "module": "module",
    "api": "plugin API",
    "summary": "summary",
    "options": "options",
    "scale": "scale",
    "halo": "halo",
    "weights": "weights",
    "sha256": "sha256",
    "trainable": "trainable",
    "describe": "about",
    "missing": "missing",
    "loads": "loads",
    "error": "error",
}


@click.command("info")
@click.argument("name", metavar="NAME")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
@click.option("-v", "--verbose", is_flag=True, help="Of a broken plugin: the whole traceback.")
@click.pass_obj
def info(catalog: Catalog, name: str, as_json: bool, verbose: bool) -> None:
    """Explain what NAME is: a stage, a command, a model, an engine, a runner, or a package.

    It is loaded: exit code 1 says that it, or one of several, is broken.

    \b
    Examples:
      imgfx plugins info superres-rednet
      imgfx plugins info imgfx-sepia --json
      imgfx plugins info broken --verbose
    """
    offers = offers_named(name, catalog)
    facts = [_facts(offer, catalog, verbose=verbose) for offer in offers]
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        click.echo("\n".join(_text(fact) for fact in facts), nl=False)
    if any(fact["error"] for fact in facts):
        raise click.exceptions.Exit(PluginError.exit_code)


def offers_named(name: str, catalog: Catalog) -> Sequence[Offer]:
    """The offers of a name, of `package:name`, or of a whole package.

    Raises:
        PluginError: there are none.
    """
    package, _, bare = name.rpartition(":")
    named = [o for o in catalog.offers if o.name == bare and package in ("", o.package)]
    found = named or [offer for offer in catalog.offers if offer.package == name]
    if found:
        return found
    hidden = [offer for offer in catalog.left_out if name in (offer.name, offer.package)]
    if hidden:
        raise PluginError(f"{hidden[0].package} is installed, but IMGFX_PLUGINS leaves it out")
    raise PluginError(f"no plugin offers {name!r}; `imgfx plugins list` shows what there is")


def _facts(offer: Offer, catalog: Catalog, *, verbose: bool) -> dict[str, Any]:
    facts = {**row_of(offer, catalog), "error": None}
    started = time.perf_counter()
    try:
        thing = catalog.load(offer)
        facts["loads"] = f"in {(time.perf_counter() - started) * 1000:.0f} ms"
        facts.update(_of_kind(offer.kind, thing))
    except ImgfxError as error:
        facts["error"] = error.format_message()
        if verbose:
            cause = error.__cause__ or error
            facts["traceback"] = "".join(traceback.format_exception(cause))
    return facts


def _of_kind(kind: str, thing: Any) -> dict[str, Any]:
    if isinstance(thing, click.Command):
        return {"options": [_option(parameter) for parameter in thing.params]}
    if kind == "model":
        return dict(_of_model(thing))
    return {"missing": thing.missing() or None}


def _option(parameter: click.Parameter) -> str:
    """`--amount FLOAT`, as a usage line shows it; an argument is its metavar."""
    context = click.Context(click.Command("x"))
    record = parameter.get_help_record(context)
    return record[0] if record else parameter.make_metavar(context)


def _of_model(model: Any) -> Iterator[tuple[str, Any]]:
    spec = model.spec
    yield "scale", spec.scale
    yield "halo", spec.halo
    yield "weights", str(model.weights) if model.weights else None
    yield "trainable", model.recipe is not None
    yield "describe", model.describe
    if model.weights:
        from imgfx.weights import load_weights

        yield "sha256", load_weights(model.weights).digest


def _text(facts: dict[str, Any]) -> str:
    """Lines of label and value, under the kind and the name."""
    lines = [f"{facts['kind']} {facts['name']}"]
    for key, label in _LABELS.items():
        value = facts.get(key)
        if isinstance(value, list):
            value = ", ".join(value)
        if value not in (None, ""):
            lines.append(f"  {label:<10}  {value}")
    trace = facts.get("traceback", "")
    return "\n".join([*lines, *trace.splitlines(), ""])
