"""Where `save` writes: templates of paths, and what stands for one."""

from __future__ import annotations

import re
import string
from pathlib import Path

import click

FIELDS = ("stem", "name", "suffix", "folder", "index")


def filled(template: str, stem: str, suffix: str, folder: str, index: int) -> Path:
    """A template's path for an image.

    Raises:
        click.UsageError: it is no template.
    """
    values = {
        "stem": stem,
        "name": stem + suffix,
        "suffix": suffix,
        "folder": folder,
        "index": index,
    }
    try:
        return Path(template.format(**values))
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise click.UsageError(
            f"save: {template!r} is no template ({error}); fields are "
            + ", ".join(f"{{{name}}}" for name in FIELDS)
        ) from error


def has_field(part: str) -> bool:
    """Whether a part of a template has a field, and not only doubled braces."""
    return "{" in part.replace("{{", "")


def way_apart(template: str) -> str:
    """What the target may have so that images go to different files."""
    fields = [field for _, field, _, _ in string.Formatter().parse(template) if field]
    used = {re.split(r"[.\[]", field)[0] for field in fields}
    if not used:
        return "save to a folder or use a template with {stem}, {folder} or {index}"
    if "name" in used:
        used.add("stem")
    left = [f"{{{name}}}" for name in ("stem", "folder", "index") if name not in used]
    return f"use a template with {' or '.join(left)}" if left else "choose another template"


def plain_name(name: str) -> str:
    """A name that is one on every system: that of an image from a pipe may be anyone's."""
    plain = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]', "_", name).rstrip(". ")
    return plain[:80] or "image"


def template_of(target: str) -> str:
    """A template for a target: a folder gets the names and the structure of the inputs."""
    if has_field(target):
        return target
    literal = literal_of(target)
    path = Path(literal)
    plain = literal.replace("{", "{{").replace("}", "}}")
    if is_folder(path, literal):
        return plain.rstrip("/") + "/{folder}/{stem}{suffix}"
    return plain


def is_folder(path: Path, literal: str) -> bool:
    """Whether a target is, or will be, a folder; a pipe or a device is none."""
    if path.exists() and not path.is_file():
        return path.is_dir()
    return literal.endswith("/") or not path.suffix


def literal_of(target: str) -> str:
    """A target without fields as the path that it means."""
    return target.replace("{{", "{").replace("}}", "}") if "{{" in target else target
