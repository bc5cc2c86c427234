"""imgfx in a process of its own, as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imgfx.offers import FOLDER

_PROGRAM = ("-P", "-m", "imgfx")
"""-P: like the console script, it does not look for modules in the working folder."""
SECONDS = 300.0
"""After which a process is taken to hang."""


@dataclass(frozen=True)
class Ended:
    """What a process left behind."""

    code: int
    """Its exit code: 0 done, 1 error, 2 wrong usage, 3 some images failed."""
    out: bytes
    """All of stdout."""
    err: str
    """All of stderr."""


def run(
    *words: object,
    stdin: bytes = b"",
    cwd: Path | None = None,
    plugins_dir: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = SECONDS,
) -> Ended:
    """`imgfx WORDS` in a new process of this Python.

    Args:
        words: of the command line; paths and numbers are written as text.
        stdin: what it reads.
        cwd: its working folder; this process's when left out.
        plugins_dir: a folder whose files are plugins too, as with --plugins-dir.
        env: variables of the environment beside, or in place of, those of this process.
        timeout: seconds.

    Raises:
        TimeoutError: it has not ended by then, and was stopped.
    """
    more = {} if plugins_dir is None else {FOLDER: str(plugins_dir)}
    arguments = [*_PROGRAM, *map(str, words)]
    return run_python(arguments, stdin=stdin, cwd=cwd, env={**more, **(env or {})}, timeout=timeout)


def run_python(
    arguments: Sequence[str],
    *,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = SECONDS,
) -> Ended:
    """A new process of this Python. See `run`.

    A folder of plugins that the environment names from this process's working folder is found from
    the other one's, too.
    """
    folder = os.environ.get(FOLDER)
    inherited = {FOLDER: str(Path(folder).absolute())} if folder else {}
    try:
        ended = subprocess.run(  # noqa: S603  # this Python, no shell
            [sys.executable, *arguments],
            input=stdin,
            capture_output=True,
            cwd=cwd,
            env={**os.environ, **inherited, **(env or {})},
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        line = " ".join(arguments)
        raise TimeoutError(f"has not ended within {timeout:g} seconds: {line}") from error
    return Ended(ended.returncode, ended.stdout, ended.stderr.decode(errors="replace"))
