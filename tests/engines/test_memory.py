"""Memory of the process: what is freed goes back to the machine."""

import os
import subprocess
import sys

import pytest

PROBE = """
import sys
from pathlib import Path
import numpy as np
from imgfx.engines.memory import return_what_is_freed

def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 >> 20

if sys.argv[1] == "returned":
    return_what_is_freed()
np.ones(24 << 20, np.uint8)  # freed at once: from here on glibc would keep buffers of this size
before = resident()
buffers = [np.ones(20 << 20, np.uint8) for _ in range(10)]
del buffers[:-1]
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allocate in other ways")
def test_freed_buffers_do_not_stay_with_the_process():
    def growth(how):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
        command = [sys.executable, "-c", PROBE, how]
        said = subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment
        ).stdout
        return int(said)

    kept, returned = growth("kept"), growth("returned")
    if kept < 100:
        pytest.skip("this C library returns what is freed by itself")
    assert returned < 40
