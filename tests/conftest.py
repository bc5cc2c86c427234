"""Fixtures that all tests share."""

import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import DATA, Ended, Site, run_imgfx

pytest.register_assert_rewrite("support_training")

# Compiling for each untrained network would take seconds; tests of other engines name them.
os.environ["IMGFX_ENGINE"] = "torch"
os.environ["IMGFX_CACHE"] = tempfile.mkdtemp(prefix="imgfx-cache-")

Imgfx = Callable[..., Ended]


for _number in (signal.SIGINT, signal.SIGTERM):
    # In the background of a script they are ignored, by programs that tests start as well.
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


@pytest.fixture
def imgfx(tmp_path: Path) -> Imgfx:
    """`imgfx("open", "a.png", ...)`, run in the test's own folder."""

    def run(*arguments: object, stdin: bytes = b"", **environment: str) -> Ended:
        return run_imgfx(arguments, stdin=stdin, cwd=tmp_path, **environment)

    return run


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Where this test's packages are installed."""
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    np.random.seed(0)  # noqa: NPY002  # for libraries that draw from the global generator


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of large test data, which a checkout need not have."""
    if not DATA.is_dir():
        pytest.skip("the large test data are not here")
    return DATA
