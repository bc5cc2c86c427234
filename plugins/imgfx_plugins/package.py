"""A package to start from, made of templates."""

from __future__ import annotations

import builtins
import keyword
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from imgfx import __version__
from imgfx.errors import ImgfxError

_FILTER = {
    "pyproject.toml": "filter/pyproject.toml.in",
    "$module.py": "filter/module.py.in",
    "tests/test_$module.py": "filter/tests/test_module.py.in",
    "README.md": "filter/README.md.in",
}
_MODEL = {
    "pyproject.toml": "model/pyproject.toml.in",
    "$module/__init__.py": "model/package/__init__.py.in",
    "$module/model.py": "model/package/model.py.in",
    "$module/network.py": "model/package/network.py.in",
    "$module/recipe.py": "model/package/recipe.py.in",
    "$module/py.typed": "",
    "tests/test_$module.py": "model/tests/test_module.py.in",
    "README.md": "model/README.md.in",
}
_COMMON = {".gitignore": "common/gitignore.in", "LICENSE": "common/LICENSE.in"}
"""By the file's name in the package: its template; empty for an empty file."""
_TAKEN = {"apply", "click", "conformance", "failures", "hookimpl", "np"}
"""Names in Python that the templates use for something else."""
_PARTS = {"model", "network", "recipe"}
"""Modules of a package with a model: importing one gives its name to it."""


@dataclass(frozen=True)
class Package:
    """A package that is to be written."""

    name: str
    """Of the stage: small letters, digits and hyphens."""
    model: bool
    """Whether it has a network."""

    @property
    def package(self) -> str:
        """The distribution's name, which is the folder's."""
        return f"imgfx-{self.name}"

    @property
    def module(self) -> str:
        """What is imported."""
        return self.package.replace("-", "_")

    @property
    def function(self) -> str:
        """The stage's name in Python; not one that something else has already."""
        plain = self.name.replace("-", "_")
        if plain.startswith("test"):  # pytest would take what the tests import for a test
            return f"the_{plain}"
        used = _TAKEN | _PARTS if self.model else _TAKEN
        taken = plain in used or keyword.iskeyword(plain) or hasattr(builtins, plain)
        return f"{plain}_" if taken or plain.endswith(("_filter", "_images")) else plain

    def files(self) -> Iterator[tuple[str, str]]:
        """(path in the package, text) of each file."""
        words = {
            "name": self.name,
            "package": self.package,
            "module": self.module,
            "function": self.function,
            "versions": _versions(),
        }
        for path, template in {**(_MODEL if self.model else _FILTER), **_COMMON}.items():
            yield Template(path).substitute(words), _filled(template, words)

    def write(self, folder: Path) -> Path:
        """Writes it into a folder; answers the package's own.

        Raises:
            ImgfxError: its folder is there already, or cannot be written; nothing is left behind.
        """
        place = folder / self.package
        if place.exists():
            raise ImgfxError(f"{place} is there already; choose another name, or --dir")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=f".{self.package}.", dir=folder))
        except OSError as error:
            raise ImgfxError(f"{folder}: cannot write there: {error.strerror}") from error
        try:
            for path, text in self.files():
                file = draft / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8", newline="\n")
            draft.chmod(0o755)  # temporary folders are for their owner alone
            draft.rename(place)
        except OSError as error:
            raise ImgfxError(f"{place}: cannot write it: {error.strerror}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)  # after the rename there is none
        return place


def _filled(template: str, words: Mapping[str, str]) -> str:
    if not template:
        return ""
    text = resources.files("imgfx_plugins").joinpath("templates", *template.split("/"))
    return Template(text.read_text(encoding="utf-8")).substitute(words)


def _versions() -> str:
    """The versions of imgfx whose API stays as it is: from this one to the next major one."""
    major, minor, *_ = __version__.split(".")
    return f">={major}.{minor},<{int(major) + 1}"
