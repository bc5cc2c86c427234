"""Checks of everything that is on offer: how it is listed, imported and answered."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import click

from imgfx.errors import ImgfxError
from imgfx.offers import Offer, summary
from imgfx.settings import Settings
from imgfx.testing.kit.findings import Check, Finding, NotReadyError, failed, passed, warned
from imgfx.testing.kit.subjects import Subject
from imgfx.testing.processes import run_python

_SECONDS = 0.25
"""A plugin may take beyond imgfx itself without a word. Numpy alone takes 0.1, and twice that on a
processor whose other thread is busy."""
_TOO_LONG = 2
"""Times as much is a failure."""
_WAITING = 2.0
"""Seconds by the clock from which on it seems to wait for something; more on a busy machine."""
_HEAVY = {"torch", "cv2", "tensorrt", "tensorrt_rtx", "onnx", "onnxruntime", "openvino", "ray"}
_TIMES = 3
_LONG = 80
_PLAIN = {"seed", "device", "engine", "precision"}
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def listing(subject: Subject) -> Finding:
    """Listed without an import, with a line of help from the docstring."""
    offer = subject.offer
    line = summary(offer)
    if not line:
        return failed(f"begin {offer.module}.py with a docstring: its first line is the help")
    if len(line) > _LONG:
        return warned(f"the docstring's first line is long for a list: {len(line)} letters")
    if not _NAME.fullmatch(offer.name):
        return warned(f"{offer.name!r}: names are of a-z, 0-9 and hyphens, which need no quotes")
    if subject.catalog.shown_name(offer) != offer.name:
        return warned(f"another package has the name too: users type {subject.full_name}")
    if not _needs_imgfx(offer):
        return warned("name imgfx in the package's dependencies, with the versions it works with")
    return passed(line)


def _needs_imgfx(offer: Offer) -> bool:
    """Whether an installed package says that it needs imgfx; files and imgfx itself need not."""
    package = offer.entry_point.package
    if offer.bundled or offer.file is not None or package is None:
        return True
    return any(re.match(r"imgfx\b(?!-)", text) for text in package.distribution.requires or ())


@dataclass(frozen=True)
class Load:
    """One loading in a process of its own."""

    bare: float
    """Processor seconds of imgfx itself."""
    bare_clock: float
    """The same by the clock."""
    seconds: float
    """Processor seconds of the plugin."""
    clock: float
    """Seconds by the clock."""
    packages: tuple[str, ...]
    """That it brought in."""
    warnings: tuple[str, ...]
    """Of parts of the API that go away."""
    error: str
    said: str
    """What it wrote to stdout and stderr meanwhile."""


def loads(subject: Subject) -> list[Load]:
    """The subject loaded in new processes, a few times; made once."""
    return subject.once("loads", lambda: [_load(subject) for _ in range(_TIMES)])


def _load(subject: Subject) -> Load:
    offer = subject.offer
    package = offer.package if offer.file is None else str(offer.file.absolute())
    words = ["-P", "-m", "imgfx.testing.kit.load_probe", offer.kind, offer.name, package]
    ended = run_python(words, cwd=subject.folder, env=subject.env)
    if ended.code or not ended.out:
        raise NotReadyError(f"a process that loads it ends with {ended.code}: {_last(ended.err)}")
    *_, line = ended.out.decode().splitlines()
    found: dict[str, Any] = json.loads(line)
    found |= {name: tuple(found[name]) for name in ("packages", "warnings")}
    return Load(**found, said=ended.err.strip())


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["it says nothing"])[-1]


def importing(subject: Subject) -> Finding:
    """Imported fast, without what is heavy, and silently."""
    found = loads(subject)
    first = found[0]
    if first.error:
        raise NotReadyError("it cannot be loaded")
    heavy = sorted(_HEAVY & set(first.packages))
    if heavy:
        return failed(f"import {', '.join(heavy)} inside the functions that need it")
    best = min(found, key=lambda load: load.seconds)
    taken = f"{1000 * best.seconds:.0f} ms"
    brought = ", ".join(best.packages) or "nothing else"
    allowed = max(_SECONDS, best.bare)
    if best.seconds > allowed:
        too_long = best.seconds > _TOO_LONG * allowed
        return (failed if too_long else warned)(
            f"importing takes {taken} beyond imgfx's {1000 * best.bare:.0f}, and brings in "
            f"{brought}: import inside the functions that need it"
        )
    least = min(found, key=lambda load: load.clock)
    if least.clock > max(_WAITING, 10 * least.bare_clock):
        return warned(f"importing takes {least.clock:.1f} s: do not wait for anything at the top")
    if first.said:
        return warned(f"writes something while it is imported: {first.said.splitlines()[0]!r}")
    return passed(f"{taken} beyond imgfx itself")


def hooks(subject: Subject) -> Finding:
    """What the entry point promises is answered, and nothing is answered that none promises."""
    if subject.load_error:
        return failed(subject.load_error)
    offer = subject.offer
    extra = sorted(_answered(subject) - {o.name for o in _siblings(subject)})
    if extra:
        group = offer.entry_point.group
        return warned(f"answers {', '.join(extra)} too: add an entry point in {group} to offer it")
    return passed()


def _siblings(subject: Subject) -> Iterator[Offer]:
    """What else the module offers."""
    for other in subject.catalog.offers:
        if other.module == subject.offer.module and other.file == subject.offer.file:
            yield other


def _answered(subject: Subject) -> set[str]:
    """Names of what the module's hook of the subject's kind answers."""
    kind = subject.offer.kind
    stage = kind in ("source", "filter", "sink")
    hook = getattr(subject.offer.load(), "imgfx_stages" if stage else f"imgfx_{kind}s")
    return {str(thing.name) for thing in hook()}


def deprecations(subject: Subject) -> Finding:
    """Nothing is used that goes away."""
    told = list(dict.fromkeys([*loads(subject)[0].warnings, *subject.warnings()]))
    return warned("; ".join(told)) if told else passed()


def help_(subject: Subject) -> Finding:
    """Its help can be shown, and explains each option."""
    command: click.Command = subject.thing
    # With the root's names of the help option: Click keeps the one that it first made.
    names = ["-h", "--help"]
    with click.Context(command, info_name=subject.offer.name, help_option_names=names) as context:
        try:
            text = command.get_help(context)
        except (ImgfxError, click.ClickException) as error:
            return failed(f"its help cannot be shown: {error.format_message()}")
    if not command.help:
        return failed(f"give {subject.offer.name!r} a docstring: it is what --help says\n{text}")
    mute = mute_options(command)
    if mute:
        return warned(f"say by help=... what {', '.join(mute)} does")
    hidden = sorted(_of_a_run(command))
    if hidden:
        return warned(f"{', '.join(hidden)} is an option of whole runs too, and hides that one")
    return passed()


def mute_options(command: click.Command) -> list[str]:
    """Options without help, but for those whose names say all."""
    return [p.opts[0] for p in _options(command) if not p.help and p.name not in _PLAIN]


def _options(command: click.Command) -> list[click.Option]:
    return [p for p in command.params if isinstance(p, click.Option) and not p.hidden]


def _of_a_run(command: click.Command) -> set[str]:
    """Options of a stage that have the names of run options."""
    if isinstance(command, click.Group) or not hasattr(command, "kind"):
        return set()
    of_runs = {"--" + field.name.replace("_", "-") for field in fields(Settings)}
    return {text for option in _options(command) for text in option.opts} & of_runs


OFFERED = [
    Check("listing", listing),
    Check("hooks", hooks),
    Check("import", importing),
    Check("deprecations", deprecations),
]
"""For every kind of thing."""
COMMANDS = [*OFFERED, Check("help", help_)]
"""For what Click parses."""
