"""What holds for every example package: it uses the public API alone, and leaves nothing behind."""

import ast
import tomllib

import pytest
from support_examples import EXAMPLES

PACKAGES = sorted(path.parent.name for path in EXAMPLES.glob("imgfx-*/pyproject.toml"))
NEW = sorted(set(PACKAGES) - {"imgfx-sepia"})
SOURCES = sorted(path for name in NEW for path in (EXAMPLES / name).rglob("*.py"))


def imported(path):
    """The modules that a source imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_they_are_found():
    assert {"imgfx-deblur", "imgfx-onnx", "imgfx-sepia", "imgfx-unsharp"} <= set(PACKAGES)
    assert len(SOURCES) > 20


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_only_the_public_modules_are_imported(path):
    ours = {name for name in imported(path) if name.partition(".")[0] == "imgfx"}
    assert ours <= {"imgfx.api", "imgfx.testing"}
    others = {name.partition(".")[0] for name in imported(path) if name.startswith("imgfx_")}
    package = path.relative_to(EXAMPLES).parts[0].replace("-", "_")
    assert others <= {package}


@pytest.mark.parametrize("name", NEW)
def test_a_package_is_complete(name):
    folder = EXAMPLES / name
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == name
    assert (folder / "README.md").is_file()
    assert (folder / name.replace("-", "_") / "py.typed").is_file()
    assert list((folder / "tests").glob("test_*.py"))
    assert project["entry-points"].keys() <= {
        f"imgfx.{kind}.v1" for kind in ("filters", "models", "commands")
    }
