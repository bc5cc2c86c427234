"""The runner `ray` on a local cluster of two nodes: as a local run, whatever dies meanwhile."""

import contextlib
import json
import os
import signal
import subprocess
import time

import cv2
import pytest
from support import PROGRAM, Site, pixels
from support_models import TINY, write_weights

from imgfx.journal import NAME

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs 'imgfx[ray]'")
pytestmark = pytest.mark.slow

TOUCHY = '''"""Leave images as they are, with incidents."""

import os
import time
from pathlib import Path

import click

from imgfx.hookspecs import hookimpl
from imgfx.stage import image_filter


@image_filter("touchy")
@click.option("--seconds", type=float, default=0.0)
@click.option("--fatal", default="none")
@click.option("--gate", default=".")
def touchy(image, seconds, fatal, gate):
    """Take a while, say where, and die of one image."""
    if image.name == fatal:
        os._exit(1)
    import ray

    Path("seen").mkdir(exist_ok=True)
    with open(f"seen/{ray.get_runtime_context().get_node_id()}", "a") as file:
        file.write(f"{image.name} {os.getpid()}\\n")
    while not Path(gate).exists():
        time.sleep(0.05)
    time.sleep(seconds)
    return image


@hookimpl
def imgfx_stages():
    return [touchy]
'''
QUIET = {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """PYTHONPATH with the stage `touchy`, for all nodes."""
    site = Site(tmp_path_factory.mktemp("site"))
    site.install("imgfx-touchy", TOUCHY, "touchy")
    return str(site.folder)


@pytest.fixture(scope="module")
def cluster(packages):
    """A head that runs no actors, and what is needed to add nodes that do."""
    kept = dict(os.environ)
    os.environ.update(QUIET, PYTHONPATH=packages)
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 << 20}
    # A dead node is noticed in two seconds, not in half a minute.
    health = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}
    head["_system_config"] = health
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture
def line(cluster, packages, tmp_path):
    """`line("open", ...)`: the words of a process, run in the test's folder by the cluster."""
    for number in range(6):
        (tmp_path / "in").mkdir(exist_ok=True)
        assert cv2.imwrite(str(tmp_path / "in" / f"{number}.png"), pixels(10 + number, 12))
    environment = {**os.environ, **QUIET, "PYTHONPATH": packages}
    started = []

    def start(*words, address=cluster.address):
        runner = ["--runner", "ray", "--ray-address", address] if address else []
        process = subprocess.Popen(
            [*PROGRAM, *runner, *map(str, words)], cwd=tmp_path, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def ended(process, code=0):
    """What it said on stderr, when it has ended with this code and nothing on stdout."""
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (code, ""), err
    return err.splitlines()


def files(folder):
    """Bytes by name, without the journal."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != NAME}


def test_a_cluster_does_what_a_local_run_does(line, tmp_path):
    write_weights(tmp_path / "w.safetensors", *TINY["denoise-ae"], seed=1)
    (tmp_path / "in" / "3a.png").write_bytes(b"bad")
    chain = ["denoise-ae", "--weights", "w.safetensors", "--engine", "torch"]
    precision = ["--precision", "fp32"]
    said = {}
    for where, place in (("local", {"address": None}), ("ray", {})):
        words = ["open", "in", *chain, *precision, "save", where, "--report", f"{where}.json"]
        said[where] = ended(line(*words, **place), 3)
    assert said["ray"] == said["local"]
    assert files(tmp_path / "ray") == files(tmp_path / "local")
    assert len(files(tmp_path / "ray")) == 6
    reports = [json.loads((tmp_path / f"{where}.json").read_text()) for where in said]
    for report in reports:
        report.pop("chain")
        for image in report["images"]:
            image.pop("seconds")
            image["output"] = image["output"] and image["output"].split("/")[-1]
    broken = [next(i for i in r["images"] if i["error"]) for r in reports]
    assert [image["input"] for image in broken] == ["in/3a.png"] * 2
    assert reports[0] == reports[1]
    assert reports[1]["models"][0]["engine"] == "torch"


def test_a_second_run_does_nothing_and_needs_no_cluster(line, tmp_path):
    ended(line("open", "in", "touchy", "save", "out"))
    assert sum(len(images(path)) for path in (tmp_path / "seen").iterdir()) == 6
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = ended(line("open", "in", "touchy", "save", "out", address="127.0.0.1:1"))
    assert again == ["imgfx: 6 images done, 6 of them earlier"]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_node_that_dies_costs_nothing_but_time(line, cluster, tmp_path):
    for number in range(6, 16):
        assert cv2.imwrite(str(tmp_path / "in" / f"{number}.png"), pixels(10 + number, 12))
    node = cluster.add_node(num_cpus=1)
    seen = tmp_path / "seen" / node.node_id
    stage = ["touchy", "--gate", "go"]
    process = line("open", "in", *stage, "save", "out", "--report", "r.json")
    wait_for(lambda: seen.exists() and len(list(seen.parent.iterdir())) == 2, process)
    wait_for(lambda: images(seen), process)
    cluster.remove_node(node, allow_graceful=False)
    lost = images(seen)
    for worker in set(lost.values()):  # which might outlive its node, and still answer
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    (tmp_path / "go").touch()
    assert ended(process)[-1] == "imgfx: 16 images done"
    (other,) = (path for path in (tmp_path / "seen").iterdir() if path != seen)
    assert set(lost) <= set(images(other)), "what it had in work is done again"
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["done"], report["failed"]) == (16, 0)
    inputs = [image["input"] for image in report["images"]]
    assert inputs == [f"in/{number}.png" for number in range(16)]
    assert len(files(tmp_path / "out")) == 16


def images(seen):
    """The names of the images that a node has begun, each with its process."""
    lines = (line.split() for line in seen.read_text().splitlines())
    return {name: int(process) for name, process in lines}


def wait_for(condition, process):
    """Until it holds; the process must still be running."""
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_an_image_that_kills_its_process_costs_only_itself(line, tmp_path):
    said = ended(line("open", "in", "touchy", "--fatal", "2", "save", "out"), 3)
    reason = "in/2.png: the process that worked on it died, each of 3 times"
    assert said == [
        f"imgfx: error: {reason}",
        "imgfx: error: 1 of 6 images failed; the others are written",
    ]
    assert sorted(files(tmp_path / "out")) == ["0.png", "1.png", "3.png", "4.png", "5.png"]


def test_an_interrupt_finishes_what_is_in_work(line, tmp_path):
    process = line("open", "in", "touchy", "--seconds", "1", "save", "out")
    wait_for((tmp_path / "seen").exists, process)
    process.send_signal(signal.SIGTERM)
    said = ended(process, 128 + signal.SIGTERM)
    assert said[0].startswith("imgfx: finishing the images in work")
    assert 1 <= len(files(tmp_path / "out")) < 6
    assert len(files(tmp_path / "out")) == int(said[-1].split()[2])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("open - save out", "--runner ray reads files, named with 'open PATH...'"),
        ("gan-generate --count 2 save out", "--runner ray reads files"),
        ("open in save -", "--runner ray writes files, named with 'save TARGET'"),
        ("open in touchy", "--runner ray writes files, named with 'save TARGET'"),
        ("open in save out --device cuda", "--device cuda: no node of the cluster has a GPU"),
        ("open in save out --runner rey", "--runner rey: no such runner is installed; there are"),
    ],
)
def test_what_cannot_run_on_a_cluster_is_refused(line, tmp_path, words, message):
    (said,) = ended(line(*words.split()), 1)
    assert said.startswith(f"imgfx: error: {message}")
    assert not (tmp_path / "out").exists()


def test_a_chain_that_cannot_start_on_a_node_is_one_clear_line(line, tmp_path):
    write_weights(tmp_path / "w.safetensors", *TINY["denoise-ae"], seed=1)
    words = ["open", "in", "denoise-ae", "--weights", "w.safetensors", "--engine", "openvino"]
    (said,) = ended(line(*words, "--precision", "fp16", "save", "out"), 1)
    assert said.startswith("imgfx: error: --runner ray: on node ")
    assert "fp16" in said


def test_a_ray_that_is_missing_is_named(imgfx, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['ray'] = None\n")
    words = ["--runner", "ray", "open", "in", "save", "out"]
    ended = imgfx(*words, PYTHONPATH=str(tmp_path))
    assert (ended.code, ended.out) == (1, b"")
    message = "--runner ray is not installed: pip install 'imgfx[ray]'"
    assert ended.err == f"imgfx: error: {message}\n"
