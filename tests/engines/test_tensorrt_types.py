"""The TensorRT engine against the signatures of TensorRT's own bindings.

The full bindings come as a small wheel, but import only where their libraries are. Here empty
libraries with the same symbols stand in for these, which is enough to read every class and
signature and to have mypy hold the engine against them. Skipped without a network, a C compiler or
binutils.
"""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import support_tensorrt
from support import ROOT

BINDINGS = "tensorrt-cu13-bindings==11.4.0.106"
ENGINE = ROOT / "imgfx" / "engines" / "tensorrt_engine.py"
TOOLS = ("cc", "nm", "readelf")
# What the generated stubs get wrong: sequences are taken for Dims too, memory can be read as bytes,
# and two parameters are no Python.
SHAPES = r"(def set_shape\(self, input: str), min: Dims, opt: Dims, max: Dims"
SHAPE = "typing.Sequence[int]"
BUFFER = "def __buffer__(self, flags: int, /) -> memoryview: ..."
MENDED = [
    (SHAPES, rf"\1, min: {SHAPE}, opt: {SHAPE}, max: {SHAPE}"),
    (r"class IHostMemory(.*):\n", rf"class IHostMemory\1:\n    {BUFFER}\n"),
    (r"class Dims(.*):\n", r"class Dims\1:\n    def __iter__(self) -> typing.Iterator[int]: ...\n"),
    (r"\bin: ", "in_: "),
    (r"(def add_scale_nd\(.*channel_axis: typing.SupportsInt)\)", r"\1 = ...)"),
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason="needs a C compiler and binutils"),
]


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    """A folder with the package `tensorrt`, of stubs alone."""
    folder = tmp_path_factory.mktemp("bindings")
    fetched = python(
        "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
        "--disable-pip-version-check", "--timeout", "15", "--retries", "1",
        "--dest", folder, BINDINGS,
    )  # fmt: skip
    if fetched.returncode:
        pytest.skip(f"{BINDINGS} cannot be downloaded")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder)
    (binary,) = folder.rglob("tensorrt.so")
    stand_in(binary, folder)
    program = (
        f"import ctypes; [ctypes.CDLL(p, ctypes.RTLD_GLOBAL) for p in {libraries(folder)!r}]\n"
        "import sys; sys.modules['tensorrt_libs'] = type(sys)('tensorrt_libs')\n"
        "from pybind11_stubgen import main\n"
        "main(['tensorrt_bindings.tensorrt', '-o', 'stubs', '--ignore-all-errors'])"
    )
    made = python("-c", program, cwd=folder)
    source = folder / "stubs" / "tensorrt_bindings" / "tensorrt.pyi"
    assert source.is_file(), made.stderr[-2000:]
    text = source.read_text()
    for pattern, better in MENDED:
        text = re.sub(pattern, better, text)
    (folder / "typed" / "tensorrt").mkdir(parents=True)
    (folder / "typed" / "tensorrt" / "__init__.pyi").write_text(text + "\n__version__: str\n")
    return folder / "typed"


def python(*words, cwd=None):
    line = [sys.executable, *map(str, words)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


def stand_in(binary, folder):
    """Libraries of the names and symbols that the bindings ask for, with nothing behind them."""
    needed = re.findall(r"NEEDED.*\[(lib\w*nv\w+\.so[^\]]*)\]", output("readelf", "-d", binary))
    undefined = re.findall(r"^ +U (\w+)$", output("nm", "-D", "--undefined-only", binary), re.M)
    wanted = [name for name in undefined if not name.startswith(("Py", "_Py"))]
    source = folder / "symbols.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in wanted))
    for number, name in enumerate(needed):
        code = [source] if number == 0 else ["-xc", "/dev/null"]
        made = ["cc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{name}", "-o", folder / name, *code]
        subprocess.run(made, check=True, capture_output=True)


def libraries(folder):
    return [str(path) for path in sorted(folder.glob("lib*.so*"))]


def output(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def complaints(stubs, source):
    """What mypy says of the engine's source against the stubs."""
    path = stubs / "engine_under_test.py"
    path.write_text(source)
    line = [
        sys.executable, "-m", "mypy", "--check-untyped-defs", "--follow-imports=silent",
        "--ignore-missing-imports", "--config-file=", path.name,
    ]  # fmt: skip
    ended = subprocess.run(line, cwd=stubs, capture_output=True, text=True, check=False)
    assert "prevented further checking" not in ended.stdout, ended.stdout
    return [text for text in ended.stdout.splitlines() if text.startswith(path.name)]


def test_the_engine_agrees_with_the_bindings(stubs):
    assert complaints(stubs, ENGINE.read_text()) == []


MISTAKES = [
    ("BuilderFlag.TF32", "BuilderFlag.FP16", 'has no attribute "FP16"'),
    ("build_serialized_network(", "build_cuda_engine(", 'has no attribute "build_cuda_engine"'),
    ("set_tensor_address(OUTPUT,", "set_tensor_address(7,", "incompatible type"),
    ("set_input_shape(INPUT,", "set_input_shape(0, INPUT,", "No overload variant"),
    ("execute_async_v3", "execute_async_v2", 'has no attribute "execute_async_v2"'),
    ("trt.OnnxParser(", "trt.ONNXParser(", "ONNXParser"),
]
"""What is written, a mistake in its place, and what mypy must say of it."""


def test_mistakes_would_be_found(stubs):
    source = ENGINE.read_text()
    for right, wrong, _ in MISTAKES:
        assert right in source
        source = source.replace(right, wrong)
    found = complaints(stubs, source)
    for _, wrong, said in MISTAKES:
        assert any(said in text for text in found), (wrong, found)


def signatures(source):
    """By class and method, the parameters of each overload."""
    found = {}
    for owner in ast.parse(source).body:
        if isinstance(owner, ast.ClassDef):
            for method in owner.body:
                if isinstance(method, ast.FunctionDef):
                    names = tuple(a.arg for a in method.args.args)
                    found.setdefault((owner.name, method.name), set()).add(names)
    return found


def test_the_double_of_the_tests_has_the_signatures_of_the_bindings(stubs):
    bindings = (stubs / "tensorrt" / "__init__.pyi").read_text()
    real = signatures(bindings)
    classes = {owner for owner, _ in real}
    ours = signatures(Path(support_tensorrt.__file__).read_text())
    # Their own constructors and the classes that nobody constructs are the double's business.
    public = {key: value for key, value in ours.items() if not key[1].startswith("_")}
    public = {key: value for key, value in public.items() if key[0] in classes}
    assert len(public) > 15
    for (owner, method), (parameters,) in ((k, tuple(v)) for k, v in public.items()):
        if (owner, method) == ("IParserError", "desc"):
            continue  # its class is generated without methods
        assert parameters in real[owner, method], (owner, method, real[owner, method])
    for enum in ("NetworkDefinitionCreationFlag", "BuilderFlag"):
        for member in getattr(support_tensorrt, enum):
            assert re.search(rf"class {enum}.*?\b{member.name}: ", bindings, re.S)
