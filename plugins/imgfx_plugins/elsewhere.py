"""Questions that are asked in a process of its own, which may crash."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

_SECONDS = 120
_ANSWER = "import json\ndef answer(**facts): print('\\n' + json.dumps(facts))\n"


@dataclass(frozen=True)
class Crash:
    """There was no answer."""

    reason: str
    """The last line on stderr, or the signal that ended it."""


def asked(script: str) -> Mapping[str, object] | Crash:
    """What a script hands to `answer(name=value, ...)`."""
    try:
        ended = subprocess.run(  # noqa: S603  # our own scripts
            # -P: what lies in the working folder is neither imported nor run.
            [sys.executable, "-P", "-c", _ANSWER + script],
            capture_output=True, text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Crash(f"no answer in {_SECONDS} seconds")
    if ended.returncode < 0:
        return Crash(f"killed by signal {-ended.returncode}")
    if ended.returncode:
        return Crash((ended.stderr.strip().splitlines() or ["no reason given"])[-1])
    facts: Mapping[str, object] = json.loads(ended.stdout.splitlines()[-1])
    return facts
