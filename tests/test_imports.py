"""Imports point one way, heavy packages have one door each, and the core knows no plugin."""

import ast
import graphlib
import sys
from pathlib import Path

import pytest
from support import ROOT

CORE = sorted((ROOT / "imgfx").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
PACKAGES = sorted(path.name for path in (ROOT / "plugins").glob("imgfx_*"))
SOURCES = [*CORE, *PLUGINS]


def name(path):
    """The module's name: imgfx/files.py is imgfx.files."""
    below = path.relative_to(ROOT)
    parts = below.parts[1:] if below.parts[0] == "plugins" else below.parts
    return ".".join(parts).removesuffix(".py").removesuffix(".__init__")


MODULES = {name(path): path for path in SOURCES}


def is_for_types(node):
    """Whether it is `if TYPE_CHECKING:`, whose body never runs."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(node, *, everywhere):
    """(module, name or None) of each import; without `everywhere` only those run at import."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, None) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (("." * child.level + (child.module or ""), a.name) for a in child.names)
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if everywhere or not (inside or is_for_types(child)):
            yield from imports(child, everywhere=everywhere)


def imported(path, *, everywhere=True):
    """The full names of the modules that a source imports: `from a import b` may be a.b or a."""
    tree = ast.parse(path.read_bytes())
    found = set()
    for module, member in imports(tree, everywhere=everywhere):
        inner = f"{module}.{member}"
        found.add(inner if inner in MODULES else module)
    return found


def top(module):
    """The package that a module is in."""
    return module.partition(".")[0]


def test_the_sources_are_found():
    assert {"imgfx.cli", "imgfx.files", "imgfx", "imgfx_files.save_stage"} <= set(MODULES)
    assert {"imgfx_files", "imgfx_train"} <= set(PACKAGES)
    assert "numpy" in imported(MODULES["imgfx.image"])
    assert "torch" in imported(MODULES["imgfx.weights"])
    assert "torch" not in imported(MODULES["imgfx.weights"], everywhere=False)


@pytest.mark.parametrize("path", CORE, ids=name)
def test_the_core_names_no_plugin(path):
    tree = ast.parse(path.read_bytes())
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    words = {word for text in strings if isinstance(text, str) for word in text.split()}
    mentioned = {package for package in PACKAGES for word in words if word.startswith(package)}
    assert not mentioned
    assert not {module for module in imported(path) if top(module) in PACKAGES}


@pytest.mark.parametrize("path", PLUGINS, ids=name)
def test_a_plugin_imports_no_other_and_not_what_runs_it(path):
    own = path.relative_to(ROOT / "plugins").parts[0]
    others = {module for module in imported(path) if top(module) in PACKAGES}
    assert {top(module) for module in others} <= {own}
    forbidden = {"cli", "plugins", "batch", "chain", "pipeline", "__main__"}
    assert not imported(path) & {f"imgfx.{module}" for module in forbidden}


def test_nothing_imports_the_command_line_but_main():
    importers = {name(path) for path in SOURCES if "imgfx.cli" in imported(path)}
    assert importers == {"imgfx.__main__"}


DOORS = {
    "cv2": {"imgfx.opencv"},
    "safetensors": {"imgfx.stored", "imgfx.weights"},
    "tqdm": {"imgfx.progress", "imgfx_train.progress"},
    "pluggy": {"imgfx.hookspecs", "imgfx.plugins"},
    "ray": {"imgfx_ray.cluster", "imgfx_ray.pool", "imgfx_ray.runner"},
}


@pytest.mark.parametrize("package", DOORS)
def test_a_heavy_package_has_one_door(package):
    users = {n for n, path in MODULES.items() if package in map(top, imported(path))}
    assert users == DOORS[package]


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_imports_are_absolute(path):
    assert not {module for module in imported(path) if module.startswith(".")}


def imported_when_run(path):
    """What is imported at some time: all but what is only named for types."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if is_for_types(node):
            node.body = []
    members = {f"{module}.{member}" for module, member in imports(tree, everywhere=True)}
    return {module for module, _ in imports(tree, everywhere=True)} | (members & set(MODULES))


# From the bottom to the top: a module imports nothing of a later row.
ROWS = [
    "errors opencv installed ranges stdout image colour settings written option_paths",
    "provenance xmp",
    "metrics resample tiling model formats",
    "decoding options stored",
    "encoding",
    "files weights hookspecs",
    "stream_buffer delimiters",
    "streams engines training",
    "readers",
    "loaded",
    "session stage offers",
    "recorder outcomes",
    "ahead filters",
    "pipeline stdio",
    "inputs plugins",
    "chain runners api",
    "batch testing steps",
    "lines",
    "cli",
    "__main__",
]
HEIGHT = {module: row for row, modules in enumerate(ROWS) for module in modules.split()}


def row(module):
    """The row of a module of the core; None for what is on no row."""
    return HEIGHT.get([*module.split("."), ""][1])


@pytest.mark.parametrize("path", [p for p in CORE if row(name(p)) is not None], ids=name)
def test_imports_point_one_way(path):
    used = {module for module in imported_when_run(path) if top(module) == "imgfx"}
    assert not {module for module in used if (row(module) or 0) > row(name(path))}


def test_no_module_imports_itself_by_way_of_others():
    """In the core not even within functions; in a plugin, a model may ask for its recipe so."""
    graph = {n: imported(path, everywhere=False) & set(MODULES) for n, path in MODULES.items()}
    graph |= {name(path): imported_when_run(path) & set(MODULES) for path in CORE}
    # `from package import part` within the package names the package, too.
    graph = {module: used - {module} for module, used in graph.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


def reached_at_import(start):
    """Every module of ours, and every other package, that importing a module imports."""
    found, waiting = set(), [start]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        parents = {module[:end] for end, letter in enumerate(module) if letter == "."}
        if module in MODULES:
            waiting += imported(MODULES[module], everywhere=False) | parents
    return found


TO_PARSE_OPTIONS = [
    "imgfx.cli",
    "imgfx.chain",
    "imgfx.plugins",
    "imgfx.stage",
    *(package for package in PACKAGES),
    *(module for module in MODULES if module.endswith((".stage", "_stage", ".command", ".model"))),
]


@pytest.mark.parametrize("module", TO_PARSE_OPTIONS)
def test_options_are_parsed_without_heavy_packages(module):
    packages = {top(found) for found in reached_at_import(module)}
    assert not packages & {"torch", "cv2", "safetensors", "tensorrt", "tqdm", "ray"}
    assert not {p for p in packages if p.startswith("imgfx_")} - {top(module)}


def test_help_needs_nothing_but_click_and_pluggy():
    packages = {top(found) for found in reached_at_import("imgfx.cli")}
    assert packages - set(sys.stdlib_module_names) <= {"imgfx", "click", "pluggy"}


def test_test_folders_have_no_init():
    """In importlib mode, modules of one name in several folders are told apart without."""
    assert not list(Path(ROOT / "tests").rglob("__init__.py"))
