"""Damaged files through the real program, by folders and by pipes.

    python benchmarks/fuzz.py [--count 5000] [--seed 0] [--jobs 2] [--keep fuzz-failures]

Makes small files of every format, damages them, and gives many at a time to `imgfx open FOLDER
save OUT` and, one behind the other, to `imgfx save -`. A run fails if the program is ended by a
signal, takes longer than 10 s, prints a traceback, an error that it did not foresee or control
characters, runs out of an address space of 2 GiB (RLIMIT_AS; Linux does not heed a limit of
resident memory), ends with another code than 0, 1 or 3, leaves an input without an output and
without one line that names it, or leaves a file that is not whole. What fails is narrowed down by
halves and kept. The same seed makes the same files.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fuzz_damage import mutated
from fuzz_files import File, seeds

from imgfx.errors import DecodeError
from imgfx.files import decode
from imgfx.streams import split

MEMORY = 2 << 30
SECONDS = 10
MEGAPIXELS = 4
"""The limit given to the program; damaged sizes below it cost time, not memory."""
_BATCH = 50
_TARGETS = ("png", "tiff", "jpeg", "pam", "webp", "bmp")
_ENDLESS = (".tif", ".avif", ".pbm", ".bmp")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_UNFORESEEN = re.compile(r"Traceback|\(\w+\.py:\d+\)|MemoryError|too little memory")


def _imgfx(words: Sequence[str], stdin: bytes, seconds: float) -> tuple[int, bytes, str]:
    """Exit code, stdout and stderr; a code of 124 where it took too long."""
    limited = ["/bin/sh", "-c", f'ulimit -v {MEMORY >> 10}; ulimit -c 0; exec "$@"', "sh"]
    line = [*limited, sys.executable, "-m", "imgfx", "--max-pixels", str(MEGAPIXELS), *words]
    try:
        ended = subprocess.run(line, input=stdin, capture_output=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return 124, b"", ""
    return ended.returncode, ended.stdout, ended.stderr.decode("utf-8", "replace")


def _ending(code: int, errors: str) -> str | None:
    """What is wrong with how a process ended."""
    if code == 124:
        return f"took longer than {SECONDS} s"
    if code not in (0, 1, 3):
        return f"ended with {code}: {errors[-300:]}"
    found = _UNFORESEEN.search(errors)
    if found is not None:
        line = errors.count("\n", 0, found.start())
        return f"did not foresee: {errors.splitlines()[line][:300]}"
    if _CONTROL.search(errors) is not None:
        return f"sends control characters to the terminal: {errors[:300]!r}"
    if errors and "imgfx: " not in errors:
        return f"has not one line of its own: {errors[:300]}"
    return None


def try_folder(files: Sequence[File], target: str, seconds: float = SECONDS) -> str | None:
    """What is wrong when these files are read from a folder; None where all is right."""
    with tempfile.TemporaryDirectory(prefix="imgfx-fuzz-") as name:
        folder, out = Path(name, "in"), Path(name, "out")
        folder.mkdir()
        for number, file in enumerate(files):
            (folder / f"{number:04d}{file.suffix}").write_bytes(file.data)
        words = ["open", str(folder), "save", f"{out}/", "--format", target]
        code, _, errors = _imgfx(words, b"", seconds)
        return _ending(code, errors) or _left(folder, out, errors)


def _left(folder: Path, out: Path, errors: str) -> str | None:
    """What is wrong with what lies in the output folder."""
    written = {path.stem: path for path in out.iterdir()} if out.is_dir() else {}
    journal = [stem for stem in written if stem.startswith(".imgfx-journal")]
    for stem in journal:
        del written[stem]
    for path in sorted(folder.iterdir()):
        # Of a video each frame is an image, which may be written or not.
        frames = path.suffix == ".y4m"
        stems = [s for s in written if s == path.stem or (frames and s.startswith(f"{path.stem}_"))]
        lines = re.findall(rf"imgfx: error: {re.escape(str(path))}\b", errors)
        if len(stems) + len(lines) != 1 and not (frames and (stems or lines)):
            return f"{path.name}: {len(lines)} errors, and its outputs are {stems}"
        for stem in stems:
            result = written.pop(stem)
            try:
                decode(result.read_bytes(), result.name)
            except DecodeError as error:
                return f"is not whole: {error.format_message()}"
    return f"left behind: {sorted(written)}" if written else None


def try_stream(files: Sequence[File], seconds: float = SECONDS) -> str | None:
    """What is wrong when these files come through a pipe; None where all is right."""
    # The last one reaches to the end of the stream; what may be followed goes first.
    ordered = sorted(files, key=lambda file: file.suffix in _ENDLESS)
    stream = b"".join(file.data for file in ordered)
    code, images, errors = _imgfx(["save", "-"], stream, seconds)
    wrong = _ending(code, errors)
    if wrong is not None:
        return wrong
    with tempfile.TemporaryFile() as file:
        file.write(images)
        file.seek(0)
        try:
            for number, data in enumerate(split(file)):
                decode(data, f"output #{number}")
        except DecodeError as error:
            return f"is not whole: {error.format_message()}"
    return None


Try = Callable[[Sequence[File]], str | None]


def narrowed(files: Sequence[File], attempt: Try) -> tuple[Sequence[File], str] | None:
    """The fewest files, by halves, that something is wrong with; None where it does not recur.

    Many files may take longer than one may, so halves are tried again for that, too; and a busy
    machine may stand still for seconds, so the last one is tried once more.
    """
    wrong = attempt(files)
    if wrong is not None and wrong.startswith("took") and len(files) == 1:
        wrong = attempt(files)
    if wrong is None or len(files) == 1:
        return None if wrong is None else (files, wrong)
    middle = len(files) // 2
    for half in (files[:middle], files[middle:]):
        found = narrowed(half, attempt)
        if found is not None:
            return found
    return None if wrong.startswith("took") else (files, wrong)


@dataclass(frozen=True)
class Finding:
    """Files that the program does not bear."""

    words: str
    """What to give them to."""
    files: Sequence[File]
    wrong: str


def try_batch(numbers: Sequence[int], seed: int, everything: Sequence[File]) -> list[Finding]:
    """What is wrong with the files of these numbers."""
    files = [mutated(number, seed, everything) for number in numbers]
    target = _TARGETS[numbers[0] // max(1, len(numbers)) % len(_TARGETS)]
    ways: list[tuple[str, Try]] = [
        (f"open FOLDER save OUT/ --format {target}", partial(try_folder, target=target)),
        ("save -", try_stream),
    ]
    found = [(words, narrowed(files, attempt)) for words, attempt in ways]
    return [Finding(words, *result) for words, result in found if result is not None]


def fuzz(count: int, seed: int, jobs: int, keep: Path) -> list[Finding]:
    """All findings, kept in a folder and told as they come."""
    everything = seeds()
    batches = [range(start, min(start + _BATCH, count)) for start in range(0, count, _BATCH)]
    findings: list[Finding] = []
    with ThreadPoolExecutor(jobs) as pool:
        attempts = pool.map(lambda numbers: try_batch(numbers, seed, everything), batches)
        for numbers, more in zip(batches, attempts, strict=True):
            for finding in more:
                findings.append(finding)
                _keep(finding, keep / f"{seed}-{len(findings):03d}")
            print(f"{numbers[-1] + 1} files, {len(findings)} findings", end="\r", flush=True)
    return findings


def _keep(finding: Finding, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, file in enumerate(finding.files):
        (folder / f"{number:04d}{file.suffix}").write_bytes(file.data)
    limits = f"(ulimit -v {MEMORY >> 10}; "
    words = f"imgfx --max-pixels {MEGAPIXELS} {finding.words}".replace("FOLDER", str(folder))
    line = f"cat {folder}/* | {words} > out" if finding.words == "save -" else words
    print(f"\n{finding.wrong}\n    {limits}{line})")


def main() -> int:
    """1 where there are findings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    options = parser.parse_args()
    findings = fuzz(options.count, options.seed, options.jobs, options.keep)
    print(f"\n{options.count} files of {len(seeds())} kinds, {len(findings)} findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
