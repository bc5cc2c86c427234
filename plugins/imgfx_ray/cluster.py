"""Ray as we want it: quiet, with no telemetry, and leaving signals to whoever had them."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from imgfx.errors import EngineError, ImgfxError
from imgfx.settings import Settings

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a warning of a default that will change
}


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A connection to the cluster, or to a Ray of our own that ends with it.

    Raises:
        ImgfxError: there is no such cluster, or it is of another version.
    """
    os.environ.update(_ENVIRONMENT)
    import ray

    logging.getLogger("ray").setLevel(logging.CRITICAL)  # told by us, in one line
    # Ray takes SIGTERM for itself, which would end a batch in the middle of an image.
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        ray.init(
            address=address,
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
        )
    except (RuntimeError, ValueError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        where = address or os.environ.get("RAY_ADDRESS") or "a local Ray"
        raise ImgfxError(f"--runner ray: cannot connect to {where}: {reason}") from error
    for number, handler in handlers.items():
        signal.signal(number, handler)
    # Ray prints what its nodes complain of; images do not go by way of `sys.stdout`.
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # for developers, of Ray's coming versions
                _quieten_data()
                yield
        finally:
            ray.shutdown()


def _quieten_data() -> None:
    from ray.data import DataContext

    for name in list(logging.root.manager.loggerDict):
        if name.startswith("ray"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # a block for each image
    context.max_errored_blocks = -1  # what is lost is read again, see `runner`
    context.execution_no_progress_timeout_s = -1


def resources(settings: Settings) -> dict[str, float]:
    """What one worker takes: a GPU where models are to run on one, else a processor.

    Raises:
        EngineError: CUDA was asked for, and no node has a GPU.
    """
    gpus = _total().get("GPU", 0)
    if settings.device == "cuda" and not gpus:
        raise EngineError("--device cuda: no node of the cluster has a GPU")
    return {"num_gpus": 1} if gpus and settings.device != "cpu" else {"num_cpus": 1}


def places(taken: dict[str, float]) -> int:
    """How many workers the cluster has room for."""
    return max(1, int(_total().get("GPU" if "num_gpus" in taken else "CPU", 0)))


def _total() -> Mapping[str, float]:
    import ray

    ask: Any = ray.cluster_resources  # has no types
    total: Mapping[str, float] = ask()
    return total
