"""The command line: options, groups of help, exit codes."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from imgfx import __version__
from imgfx.errors import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OK, surprise, tell
from imgfx.lines import TypedLines
from imgfx.offers import STAGE_KINDS, summary
from imgfx.options import run_options
from imgfx.plugins import Registry

EXIT_PIPE_CLOSED = 141
"""What a shell reports of a program that SIGPIPE ended."""

_HELP = """Restore images: a filter for pipes, folders and scripts.

A chain of stages: a source makes images, filters change them, a sink ends the chain. Without a
source images are read from stdin, without a sink they are written to stdout.

\b
Examples:
  imgfx open a.jpg denoise-ae superres-fast --scale 2 save b.png
  cat a.png | imgfx denoise-ae | imgfx superres-fast > b.png
  imgfx open photos denoise-ae save out

`imgfx STAGE --help` explains a stage. Run options may stand before the first stage or behind any,
--plugins-dir only before it.
Exit codes: 0 done, 1 error, 2 wrong usage, 3 some images failed and the others are written,
130 interrupted, 141 the reader of stdout went away.
"""


class Root(click.Group):
    """A plain group that runs everything but management commands as one chain."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(
            "imgfx",
            help=_HELP,
            params=[*run_options(), _folder_option(registry), _version_option()],
            no_args_is_help=True,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        )
        self.registry = registry
        self.allow_interspersed_args = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Management commands; the stages are listed apart."""
        return self.registry.names("command")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A management command, loaded when it is used."""
        return self.registry.command(cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Hands over to a management command, or runs the line as a chain."""
        words = [*ctx._protected_args, *ctx.args]
        if not words:
            raise click.UsageError("no stage is named; see 'imgfx --help'")
        offer = self.registry.find(words[0], *STAGE_KINDS, "command")
        if offer is not None and offer.kind == "command":
            _refuse_run_options(ctx, words[0], self.get_command(ctx, words[0]))
            self.registry.lines = TypedLines(self.registry, ctx)
            ctx.obj = self.registry
            return super().invoke(ctx)
        return TypedLines(self.registry, ctx).run_words(words)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Stages and commands in groups, their help read without importing a plugin."""
        titles = {"source": "Sources", "filter": "Filters", "sink": "Sinks", "command": "Commands"}
        for kind, title in titles.items():
            rows = {self.registry.shown_name(o): summary(o) for o in self.registry.offered(kind)}
            if rows:
                with formatter.section(title):
                    formatter.write_dl(sorted(rows.items()))

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Both forms of a line."""
        formatter.write_usage("imgfx", "[RUN OPTIONS] STAGE [OPTIONS] [STAGE [OPTIONS]]...")
        formatter.write_usage("imgfx", "COMMAND [OPTIONS]...")


def _refuse_run_options(ctx: click.Context, name: str, command: click.Command | None) -> None:
    """Of a command that has no chain to run they would be ignored, --dry-run among them.

    Raises:
        click.UsageError: one was typed, and the command does not take all of them.
    """
    taken = {parameter.name for parameter in command.params} if command is not None else set()
    options = [option for option in ctx.command.params if option.name in ctx.params]
    if {option.name for option in options} <= taken:
        return
    for option in options:
        if ctx.get_parameter_source(option.name or "") == click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{option.opts[-1]} is of runs, and {name!r} is none; what {name!r} takes stands "
                "behind it"
            )


def _folder_option(registry: Registry) -> click.Option:
    def add(_ctx: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
        if value is not None:
            registry.add_folder(value)

    return click.Option(
        ["--plugins-dir"], type=click.Path(exists=True, file_okay=False, path_type=Path),
        is_eager=True, expose_value=False, callback=add, metavar="DIR",
        help="Take the plugins in the files DIR/*.py too; stands before the first stage. "
        "IMGFX_PLUGINS_DIR names it for all runs.",
    )  # fmt: skip


def _version_option() -> click.Option:
    def show(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value:
            click.echo(f"imgfx {__version__}")
            ctx.exit()

    return click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show,
        help="Show the version.",
    )  # fmt: skip


def build_cli(registry: Registry | None = None) -> Root:
    """The root command over what is installed, or over a registry of one's own."""
    return Root(registry or Registry())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and answers its exit code; every error is one line on stderr."""
    _open_closed_streams()
    code = _exit_code(sys.argv[1:] if arguments is None else arguments)
    _discard_what_is_left()
    return code


def _exit_code(arguments: Sequence[str]) -> int:
    try:
        _invoke(build_cli(), arguments)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        with suppress(OSError):
            click.echo(error.format_message(), err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted")
        return EXIT_INTERRUPTED
    except click.UsageError as error:
        _complain(_misused(error))
        return error.exit_code
    except click.ClickException as error:
        _complain(f"error: {error.format_message()}")
        return error.exit_code
    except BrokenPipeError:
        return EXIT_PIPE_CLOSED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"error: {where}{error.strerror or error}")
        return EXIT_ERROR
    except Exception as error:  # of a plugin's command, or of ours: a bug; or of OpenCV
        if os.environ.get("IMGFX_TRACEBACK"):
            raise
        _complain(f"error: {_unforeseen(error)}")
        return EXIT_ERROR
    return EXIT_OK


def _misused(error: click.UsageError) -> str:
    """What is wrong with the words, and of which stage or command they are."""
    if isinstance(error, click.NoSuchOption) and error.option_name == "--plugins-dir":
        return "--plugins-dir stands before the first stage or command"
    where = error.ctx.info_name if error.ctx is not None and error.ctx.parent else None
    return f"{where}: {error.format_message()}" if where else error.format_message()


def _unforeseen(error: Exception) -> str:
    if isinstance(error, ImportError) and "failed to map" in str(error):  # of `ulimit -v`, say
        return f"too little memory to start: {error.msg}"
    if isinstance(error, ImportError) and "cv2" in Path(error.path or "").parts:
        # As in most containers, which have no libraries of a desktop.
        return (
            f"OpenCV does not start: {error.msg}; install what it needs (on Debian and Ubuntu: "
            "apt-get install libgl1 libglib2.0-0)"
        )
    return f"{surprise(error)}; with IMGFX_TRACEBACK=1 in the environment all is shown"


def _invoke(root: Root, arguments: Sequence[str]) -> None:
    """What Click's `main` does, but for its ways with closed pipes, interrupts and exit codes."""
    instruction = os.environ.get("_IMGFX_COMPLETE")
    if instruction:
        from imgfx.completion import complete

        raise click.exceptions.Exit(complete(root.registry, run_options(), instruction))
    with root.make_context("imgfx", list(arguments)) as context:
        root.invoke(context)
        sys.stdout.flush()


def _complain(text: str) -> None:
    """One line on stderr, whatever the message holds."""
    # Click lists choices on lines of their own.
    tell("; ".join(part.strip() for part in text.splitlines() if part.strip()))


def _open_closed_streams() -> None:
    """Opens the null device where stdin, stdout or stderr is closed.

    Else the next file opened would get the stream's number, and what is meant for the stream
    would go into that file. Stdout is opened such that writing an image to it fails.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            if name != "stdin":
                setattr(sys, name, os.fdopen(number, "w"))


def _discard_what_is_left() -> None:
    """Keeps what stdout or stderr did not take from the interpreter.

    At its exit it would complain of that, and end with a code of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def run() -> None:
    """The command line of this process, to its exit code."""
    code = main()
    with suppress(OSError, ValueError):  # what is printed while the interpreter ends is no image
        sys.stdout.flush()
        os.dup2(2, 1)
    # The interpreter's last collection would visit every object: a tenth of a short run.
    gc.freeze()
    sys.exit(code)
