"""Checks of management commands: their help, and how they refuse what they do not know."""

from __future__ import annotations

from collections.abc import Iterator

import click

from imgfx.testing.kit.findings import Check, Finding, failed, passed, warned
from imgfx.testing.kit.loading import mute_options
from imgfx.testing.kit.subjects import Subject
from imgfx.testing.processes import Ended, run

_UNKNOWN = "--no-such-option"
_USAGE = 2


def subcommands(subject: Subject) -> Finding:
    """Every subcommand explains itself and its options."""
    for path, command in _below(subject.thing, subject.offer.name):
        if not command.help:
            return failed(f"give {path!r} a docstring: it is what --help says")
        mute = mute_options(command)
        if mute:
            return warned(f"{path}: say by help=... what {', '.join(mute)} does")
    return passed()


def _below(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Subcommands, and theirs, with what is typed."""
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield f"{path} {name}", below
            yield from _below(below, f"{path} {name}")


def process(subject: Subject) -> Finding:
    """--help in a process of its own."""
    ended = _run(subject, "--help")
    if ended.code or b"Usage:" not in ended.out:
        return failed(f"`imgfx {subject.offer.name} --help` ends with {ended.code}: {ended.err}")
    return passed()


def usage(subject: Subject) -> Finding:
    """A wrong option is one line on stderr and exit code 2."""
    ended = _run(subject, _UNKNOWN)
    lines = ended.err.strip().splitlines()
    if ended.code != _USAGE or ended.out or len(lines) != 1:
        return failed(
            f"a wrong option ends with {ended.code} and {len(lines)} lines on stderr, in place of "
            f"{_USAGE} and one line; leave it to Click"
        )
    return passed()


def _run(subject: Subject, word: str) -> Ended:
    return run(subject.full_name, word, cwd=subject.folder, env=subject.env)


CHECKS = [
    Check("subcommands", subcommands),
    Check("process", process),
    Check("usage", usage),
]
