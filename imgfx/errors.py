"""The errors a user can cause, each with its exit code.

    ImgfxError (1)
    ├── ImageError            one image could not be read, processed or written
    │   ├── DecodeError       the bytes are no image that imgfx can read
    │   └── EncodeError       the image cannot be written in that format or place
    ├── WeightsError          a weights file is missing, damaged or of another model
    ├── EngineError           an engine, device or precision cannot be had
    │   ├── DeviceError       the engine could, but its device is not there
    │   └── OutOfMemoryError  a network needs more memory than there is
    ├── PluginError           a plugin failed to load or broke its contract
    ├── TrainingError         data or state that cannot be trained on
    └── BatchError (3)        a batch ended, and some of its images failed

A message says what went wrong, with which file, and what to do. `ImgfxError` derives from
`click.ClickException`, so it is printed as one line and the program exits with its code. Around
plugins' code stands `confined`, which makes a PluginError of everything else. `tell` says on stderr
what is no error, too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import PurePath

import click

_CORE = str(PurePath(__file__).parent)

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_SOME_FAILED = 3
EXIT_INTERRUPTED = 130


class ImgfxError(click.ClickException):
    """Something the user can mend; shown as one line, exit code 1."""

    exit_code = EXIT_ERROR

    def __init__(self, message: object) -> None:
        # Plugins hand over the error that they caught as it is.
        super().__init__(str(message))


class ImageError(ImgfxError):
    """One image failed; the others of a batch can go on."""


class DecodeError(ImageError):
    """The bytes are not an image, are damaged, or are of an unknown format."""


class EncodeError(ImageError):
    """The image cannot be written in the format or to the place asked for."""


class WeightsError(ImgfxError):
    """A weights file is missing, damaged, or belongs to another model."""


class EngineError(ImgfxError):
    """The engine, device or precision asked for cannot be had here."""


class DeviceError(EngineError):
    """The engine could do it, but the device that it needs is not there."""


class OutOfMemoryError(EngineError):
    """A network needs more memory than there is; smaller windows may do."""

    def __init__(self, message: str, pixels: int) -> None:
        super().__init__(message)
        self.pixels = pixels
        """Of all windows of the call that failed."""


class PluginError(ImgfxError):
    """A plugin failed to load or broke its contract."""


class TrainingError(ImgfxError):
    """Data, options or a saved state that training cannot use."""


class BatchError(ImgfxError):
    """A batch ended with failures; what could be written is written. Exit code 3."""

    exit_code = EXIT_SOME_FAILED


class ReaderGoneError(BrokenPipeError):
    """Who reads stdout has gone, which is no failure; other pipes are the business of plugins."""


class ApiDeprecationWarning(DeprecationWarning):
    """A plugin uses a part of the API that goes away; `imgfx plugins test` shows it."""


def printable(text: str) -> str:
    """A text on one line, which neither begins another one nor steers a terminal.

    Names of files may hold anything; what cannot be printed is shown as '?'.
    """
    return "".join(c if c.isprintable() else "?" for c in text)


def tell(text: str) -> None:
    """Says one line on stderr; that nobody can be told does not keep images from being made."""
    with suppress(OSError, ValueError), _beside_bars():  # a full disk, a reader gone; a closed file
        click.echo(f"imgfx: {printable(text)}", err=True)


def _beside_bars() -> AbstractContextManager[None]:
    """Takes bars of progress off the terminal meanwhile; there is none before their import."""
    bars = getattr(sys.modules.get("tqdm"), "tqdm", None)
    if bars is None:
        return nullcontext()
    hidden: AbstractContextManager[None] = bars.external_write_mode(file=sys.stderr)
    return hidden


def surprise(error: BaseException) -> str:
    """One line about an error that is none of ours: its kind, its reason, and where it arose.

    That is the last line outside of the core and of Python's own library: where a plugin calls
    us with something wrong, its own line says more than ours.
    """
    from traceback import extract_tb

    reason = " ".join(str(error).split())
    kind = type(error).__name__
    frames = extract_tb(error.__traceback__)
    theirs = [f for f in frames if not _is_nobodys(f.filename)] or frames
    place = f" ({PurePath(theirs[-1].filename).name}:{theirs[-1].lineno})" if theirs else ""
    return f"{kind}: {reason}{place}" if reason else f"{kind}{place}"


def _is_nobodys(file: str) -> bool:
    """Whether a line there tells nothing of who is to blame."""
    from sysconfig import get_path

    if file.startswith(("<", _CORE)):
        return True
    return file.startswith(get_path("stdlib")) and "-packages" not in file


def is_passing(error: BaseException | None) -> bool:
    """Whether an image failed for want of memory, or its file could not be read.

    That tells of the machine as it was, and nothing of the image: another try may do.
    """
    while error is not None:
        unread = isinstance(error, DecodeError) and isinstance(error.__cause__, OSError)
        if unread or isinstance(error, MemoryError | OutOfMemoryError):
            return True
        error = error.__cause__
    return False


@contextmanager
def confined(what: str) -> Iterator[None]:
    """Around a plugin's code: turns what is none of our errors into one that names the plugin.

    Raises:
        PluginError: the plugin raised something unforeseen, or tried to end the program.
    """
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort, ReaderGoneError):
        raise
    except (Exception, SystemExit) as error:  # the plugin boundary
        raise PluginError(f"{what} failed: {surprise(error)}") from error
