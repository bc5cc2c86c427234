"""A pool of actors, each with the chain's models; one that dies costs only what it had in work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from imgfx.engines.base import Choice, Say
from imgfx.errors import ImgfxError
from imgfx.runners import Blueprint, Made
from imgfx.stage import Item
from imgfx_ray.worker import Opened, Worker

Result = tuple[int, Item, Made]
_MOST_FAILED_STARTS = 5
"""In a row, after which it is given up."""
_PATIENCE = 15.0
"""Seconds without a single worker, after which we say so."""


class Pool:
    """Actors that make images; those that die are replaced.

    Args:
        blueprint: what they make.
        taken: the resources of each.
        learn: told what runs the models.
        say: told what takes long.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        taken: Mapping[str, float],
        learn: Callable[[Mapping[str, Choice], Sequence[str]], None],
        say: Say,
    ) -> None:
        import ray

        # Whether an image is tried again is for us to say: it may be what killed the actor.
        options = {"max_restarts": 0, "max_task_retries": 0, **taken}
        self._actor: Any = ray.remote(Worker).options(**options)
        self._blueprint, self._learn, self._say = ray.put(blueprint), learn, say
        self._opening: dict[Any, Any] = {}
        """Actors by what they answer when they are ready."""
        self._idle: list[Any] = []
        """Actors, as often as each may be given another image."""
        self._making: dict[Any, Any] = {}
        """Actors by what they are to answer."""
        self._failed_starts = 0
        self._wanted = 0
        self.alone = False
        """Whether each actor gets one image at a time, so that none dies of another."""

    def grow(self, size: int) -> None:
        """Makes it larger; where there is no room yet, as soon as there is."""
        for _ in range(self._wanted, size):
            self._start()
        self._wanted = max(self._wanted, size)

    def _start(self) -> None:
        actor = self._actor.remote(self._blueprint)
        self._opening[actor.open.remote()] = actor

    @property
    def free(self) -> bool:
        """Whether an actor can take another image."""
        return self._next() is not None

    def _next(self) -> Any:
        """The actor with least to do; None if no more may be given to any."""
        given = list(self._making.values())
        able = [actor for actor in self._idle if not (self.alone and actor in given)]
        return min(able, key=given.count, default=None)

    @property
    def busy(self) -> bool:
        """Whether there are images in work."""
        return bool(self._making)

    def give(self, block: Any) -> None:
        """Gives an image to an actor that has least to do."""
        actor = self._next()
        self._idle.remove(actor)
        self._making[actor.make.remote(block)] = actor

    def wait(self) -> list[Result]:
        """What has been made since, when there is something new; images may be lost.

        Raises:
            ImgfxError: the chain cannot be started on a node.
        """
        import ray

        pending = [*self._opening, *self._making]
        ready, _ = ray.wait(pending, num_returns=1, timeout=_PATIENCE)
        if not ready and not self._idle and not self._making:
            self._say("the cluster has no room yet; waiting")
        results = []
        for reference in ready:
            if reference in self._opening:
                self._opened(reference)
            else:
                results += self._made(reference)
        return results

    def _opened(self, reference: Any) -> None:
        import ray

        actor = self._opening.pop(reference)
        try:
            opened: Opened = ray.get(reference)
        except ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS:
                raise ImgfxError(f"--runner ray: workers do not start: {_last(error)}") from error
            self._start()
            return
        if opened.error is not None:
            raise ImgfxError(f"--runner ray: {opened.error}")
        self._failed_starts = 0
        self._learn(opened.choices, opened.notes)
        # The second image travels while the first is being made.
        self._idle.extend([actor, actor])

    def _made(self, reference: Any) -> list[Result]:
        import ray

        actor = self._making.pop(reference)
        try:
            result: Result = ray.get(reference)
        except ray.exceptions.RayActorError:
            self._replace(actor)
            return []
        except ray.exceptions.RayError:  # what it was to read, or its answer, is lost
            self._idle.append(actor)
            return []
        self._idle.append(actor)
        return [result]

    def _replace(self, actor: Any) -> None:
        """Forgets an actor that is dead; of its images each is told lost once."""
        lost = [reference for reference, other in self._making.items() if other == actor]
        for reference in lost:
            del self._making[reference]
        self._idle = [other for other in self._idle if other != actor]
        self._start()


def _last(error: BaseException) -> str:
    """The line of a remote traceback that says what it was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
