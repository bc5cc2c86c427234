"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import BinaryIO

if os.name == "posix":
    import fcntl

TEMPORARY = r"(?s)\.(.{1,40})\.[0-9a-f]{8}\.tmp"
"""What names of temporary files match in full; the group is the beginning of the file's own."""
_TRIES = 10
"""To hold a new file before another run takes it for an abandoned one."""


def write_whole(
    path: Path, data: bytes, before: Callable[[os.stat_result], None] = lambda _found: None
) -> None:
    """Writes a file by a temporary one beside it and a rename; makes its folder.

    Args:
        path: the file.
        data: its content.
        before: called when all is written, just before the rename, with what the file's size and
            time will be.

    Raises:
        OSError: it cannot be written; nothing is left behind, an older file stays as it was.
    """
    with _cleaned_up():
        temporary, file = _temporary(path)
        try:
            _fill(file, data, temporary, path, before)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def _fill(
    file: BinaryIO,
    data: bytes,
    temporary: Path,
    path: Path,
    before: Callable[[os.stat_result], None],
) -> None:
    """Writes a temporary file, and gives it its name."""
    with file:
        replaces = os.path.lexists(path)
        if replaces:
            _take_rights(file, path)
        file.write(data)
        file.flush()
        _settle(file, replaces)
        before(os.fstat(file.fileno()))
        if os.name == "posix":
            os.replace(temporary, path)
    if os.name != "posix":  # where open files cannot be renamed
        os.replace(temporary, path)


ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""The signals that end a process from outside; Windows has no SIGHUP."""


class _Terminated(BaseException):
    """SIGTERM or SIGHUP, on its way through what has to be cleaned up."""


@contextlib.contextmanager
def _cleaned_up() -> Iterator[None]:
    """Where SIGTERM or SIGHUP would end the process at once, they do so behind what is within."""
    in_main = threading.current_thread() is threading.main_thread()
    ending = [n for n in ENDING if in_main and signal.getsignal(n) == signal.SIG_DFL]
    came: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if len(came) == 1:
            raise _Terminated

    for number in ending:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ending:
            signal.signal(number, signal.SIG_DFL)
        if came:
            signal.raise_signal(came[0])


def _temporary(path: Path) -> tuple[Path, BinaryIO]:
    """A new file beside another, ours as long as it is open.

    Another run that cleans up may find it before it is held; then it is gone, and there is a next.
    """
    for _ in range(_TRIES):
        # Of a long name in a script of many bytes a character, all would be too long with the rest.
        temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.tmp")
        file = _opened(temporary)
        _hold(file)
        if os.name != "posix" or os.fstat(file.fileno()).st_nlink > 0:
            return temporary, file
        file.close()
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _opened(temporary: Path) -> BinaryIO:
    """A new file; its folder is made where there is none."""
    try:
        return temporary.open("xb")
    except FileNotFoundError:
        _make_folder(temporary.parent)
        return temporary.open("xb")


def _settle(file: BinaryIO, replaces: bool) -> None:
    """Waits for what the disk still has to say of what was written, while an older file is there.

    Network disks and quotas refuse data late: when it is synchronised, or a descriptor closed. To
    synchronise takes some ten milliseconds, and is for files that would be lost otherwise.
    """
    if replaces:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of what cannot
                raise
    os.close(os.dup(file.fileno()))  # the file itself stays open, and is held


def _take_rights(file: BinaryIO, path: Path) -> None:
    """Of the file that will be replaced: who owns it, as far as we may say, and who may read it."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        found, descriptor = path.stat(), file.fileno()
        owner, group, mode = found.st_uid, found.st_gid, found.st_mode & 0o777
        same_group = _owned(descriptor, owner, group) or _owned(descriptor, -1, group)
        if not same_group:
            mode &= ~0o070 | (mode & 0o007) << 3  # another group may do no more than anyone
        os.fchmod(descriptor, mode)
        _take_attributes(descriptor, path, same_group)


def _owned(descriptor: int, owner: int, group: int) -> bool:
    """Whether the file is theirs now; without rights, at most one of our own groups can get it."""
    try:
        os.fchown(descriptor, owner, group)
    except OSError:
        return False
    return True


def _take_attributes(descriptor: int, path: Path, same_group: bool) -> None:
    """Tags and comments of file managers; of the same group the list of who else may read it."""
    if not hasattr(os, "listxattr"):  # where there are none, or no way to them
        return
    for name in os.listxattr(path):
        if name.startswith("user.") or (same_group and name == "system.posix_acl_access"):
            with contextlib.suppress(OSError):
                os.setxattr(descriptor, name, os.getxattr(path, name))


def _hold(file: BinaryIO) -> None:
    """Marks a temporary file as somebody's for as long as it is open; waits for who looks at it."""
    if os.name == "posix":
        with contextlib.suppress(OSError):  # of file systems without locks
            fcntl.flock(file, fcntl.LOCK_EX)


def share(descriptor: int) -> None:
    """Marks an open file as in use, beside others who do the same; waits for who is alone."""
    if os.name == "posix":
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)


def _held_alone(file: int | BinaryIO) -> bool | None:
    """Takes an open file for oneself; False where others hold it, None where nobody can tell."""
    if os.name != "posix":
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # of file systems without locks
        return None
    return True


def is_alone(descriptor: int) -> bool:
    """Whether nobody else shares an open file; False where that cannot be told."""
    return _held_alone(descriptor) is True


def is_taken(descriptor: int) -> bool:
    """Whether somebody else holds an open file; if not, it is held as long as it is open."""
    return _held_alone(descriptor) is False


def remove_if_abandoned(path: Path) -> None:
    """Removes a temporary file whose writer is gone; where that cannot be told, it stays."""
    if path.is_symlink() or not path.is_file():  # to open a pipe would wait for its writer
        return
    with contextlib.suppress(OSError), path.open("rb") as file:
        if _held_alone(file) is True:
            path.unlink()  # while it is held, so that nobody takes it for theirs meanwhile


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        # 'File exists' would puzzle whoever wants a file below it.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder) from error
