"""What the documentation shows: its pages, the code in them, the command lines in the code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])

_ENDS = {"|", "||", "&&", "&", ";", ";;", "(", ")"}
_ELSEWHERE = {">", ">>", "<", "&>"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    title: str
    """What stands behind the language."""
    text: str
    line: int
    """Of the page, where it begins."""


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    fence: list[str] = []
    inside, start = "", 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        mark = re.match(r"\s*```(.*)$", line)
        if mark and not inside:
            inside, start, fence = mark[1].strip() or "text", number, []
        elif mark:
            language, _, title = inside.partition(" ")
            yield Block(language, title, "\n".join(fence) + "\n", start)
            inside = ""
        elif inside:
            fence.append(line)


def shown_lines(page: Path) -> list[list[str]]:
    """The words of each `imgfx ...` that a page shows: in blocks, indented code and spans."""
    texts = [b.text for b in blocks(page) if b.language in ("sh", "console", "text")]
    prose = re.sub(r"^\s*```.*?^\s*```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    texts += re.findall(r"^    ((?:\S.* \| )?(?:imgfx|torchrun) .*)$", prose, re.M)
    lines = [line for text in texts for line in _joined(text)]
    return [words for line in lines for words in commands_in(line)] + mentioned(page)


def mentioned(page: Path) -> list[list[str]]:
    """The words of each `imgfx ...` in a page's prose."""
    prose = re.sub(r"^\s*```.*?^\s*```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    spans = re.findall(r"`((?:cat .* )?imgfx [^`]+)`", prose)
    return [words for span in spans for words in commands_in(" ".join(span.split()))]


def _joined(text: str) -> list[str]:
    """Lines, those together that a backslash or a pipe continues."""
    lines = re.sub(r"\\\n|(?<=\|)\n", " ", text).splitlines()
    return [re.sub(r"^\s*(\$ )?", "", line) for line in lines]


def commands_in(line: str) -> Iterator[list[str]]:
    """The words behind each `imgfx` of a shell's line."""
    if not re.search(r"(^|[|;&(]\s*|-m )imgfx ", line):
        return
    line = re.sub(r"(?<=\s)[012]>", ">", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, "#"
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word in _ENDS:
            yield from _of_imgfx(words)
            words = []
        else:
            words.append(word)


def _of_imgfx(words: list[str]) -> Iterator[list[str]]:
    """The words behind `imgfx` in one command, without redirections."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if "-m" in words and words[-1] != "-m" and words[words.index("-m") + 1] == "imgfx":
        words = words[words.index("-m") + 1 :]
    if words[:1] == ["imgfx"]:
        for number, word in enumerate(words):
            if word in _ELSEWHERE:
                words = words[:number] + words[number + 2 :]
                break
        yield words[1:]
