"""The runner `ray`: read by Ray Data, made by a pool of actors, written by this process.

Images go in rounds. Ray Data reads a round's images in tasks anywhere in the cluster, a block each,
ahead of the actors that make them. What is missing at a round's end, since a node or a process
died, is read and made again; an image that is missing three times has failed.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from imgfx.runners import Blueprint, Work, failed
from imgfx.stage import Item
from imgfx_ray.cluster import connected, places, resources
from imgfx_ray.pool import Pool
from imgfx_ray.worker import Reader

_ROUND = 512
"""Images of a round, or more where there are many workers: its end is waited for."""
_TRIES = 3


class RayRunner:
    """See `ChainRunner`."""

    name = "ray"
    elsewhere = True

    def missing(self) -> str:
        """See `ChainRunner`."""
        found = all(find_spec(package) for package in ("ray", "pyarrow"))
        return "" if found else "pip install 'imgfx[ray]'"

    def run(self, work: Work) -> None:
        """See `ChainRunner`."""
        blueprint = work.files_only(self.name)
        with work:
            left = work.left()
            first = list(itertools.islice(left, 1))
            if not first:
                return  # no need of a cluster
            with connected(work.settings.runner_address):
                _run(work, blueprint, itertools.chain(first, left))


def _run(work: Work, blueprint: Blueprint, left: Iterator[tuple[int, Item]]) -> None:
    taken = resources(work.settings)
    pool = Pool(blueprint, taken, work.learn, work.say)
    while not work.stopped:
        workers = places(taken)  # nodes may have joined
        round_ = list(itertools.islice(left, max(_ROUND, 32 * workers)))
        if not round_:
            return
        pool.grow(min(workers, len(round_)))
        for attempt in range(_TRIES):
            pool.alone = attempt > 0
            missing = [(index, item) for index, item in round_ if not work.is_placed(index)]
            if missing and not work.stopped:
                _make(work, pool, _read(missing, blueprint, workers * work.settings.jobs))
        if not work.stopped:
            _give_up(work, round_)


def _give_up(work: Work, round_: Sequence[tuple[int, Item]]) -> None:
    for index, item in round_:
        if not work.is_placed(index):
            reason = f"the process that worked on it died, each of {_TRIES} times"
            work.place(index, item, failed(item, reason))


def _read(images: Sequence[tuple[int, Item]], blueprint: Blueprint, tasks: int) -> Iterator[Any]:
    """References to blocks of one image each, in whatever order they are read."""
    import ray.data

    rows = [{"item": pickle.dumps(image)} for image in images]
    read = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        Reader(blueprint).__call__,
        num_cpus=0,  # else, where actors hold all processors, nothing would ever be read
        concurrency=max(1, tasks),
        ray_remote_args_fn=lambda: {"max_retries": 1},  # else without end
    )
    for bundle in read.iter_internal_ref_bundles():
        for entry in bundle.blocks:
            yield entry.ref


def _make(work: Work, pool: Pool, blocks: Iterator[Any]) -> None:
    """Makes the images of these blocks; when the run is stopped, those in work are finished."""
    reading = True
    while reading or pool.busy:
        while reading and pool.free and not work.stopped:
            block = next(blocks, None)
            reading = block is not None
            if reading:
                pool.give(block)
        reading = reading and not work.stopped
        if reading or pool.busy:
            for index, item, made in pool.wait():
                work.place(index, item, made)
        if work.report.stopped and work.settings.on_error == "stop":
            return
