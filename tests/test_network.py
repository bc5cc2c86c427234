"""Nothing that imgfx does to images talks to another machine, nor do the libraries under it."""

import os
import subprocess
import sys

import cv2
import pytest
from support import pixels

WATCHED = """
import os, sys
log = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
EVENTS = "socket.connect", "socket.getaddrinfo", "urllib.Request", "http.client.connect", "os.fork"

def watch(event, arguments):
    if event in EVENTS:
        os.write(log, f"{event} {arguments}\\n".encode())

sys.addaudithook(watch)
"""
CHAIN = "from imgfx.cli import main; main()"
CONTROL = "import socket; s = socket.socket(); s.settimeout(1); s.connect_ex(('127.0.0.1', 9))"


def _watched(tmp_path, code, *words):
    home = tmp_path / "home"
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if k != "CI"}
    environment = {**kept, "HOME": str(home)}
    command = [sys.executable, "-c", WATCHED + code, "events", *words]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    left = {path.name for path in home.iterdir()} - {".cache"}
    return (tmp_path / "events").read_text().splitlines(), left


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_chain_connects_nowhere_and_leaves_nothing_in_the_home_folder(tmp_path, engine):
    pytest.importorskip(engine)
    cv2.imwrite(str(tmp_path / "a.png"), pixels(24, 32))
    chain = ["open", "a.png", "denoise-ae", "superres-fast", "save", "b.png", "--engine", engine]
    assert _watched(tmp_path, CHAIN, *chain) == ([], set())
    assert (tmp_path / "b.png").stat().st_size


def test_a_connection_would_be_seen(tmp_path):
    events, _ = _watched(tmp_path, CONTROL)
    assert events[0].startswith("socket.connect")
