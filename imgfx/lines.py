"""Lines of stages, run as they were typed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import click

from imgfx.options import run_options
from imgfx.plugins import Registry


class TypedLines:
    """What runs lines. Satisfies `Lines`."""

    def __init__(self, registry: Registry, context: click.Context) -> None:
        self._registry, self._context = registry, context

    def run_words(self, words: Sequence[str]) -> None:
        """The words of a line, from parsing to the last image."""
        from imgfx.chain import order_stages, parse_pieces, split_line

        options = run_options()
        pieces = split_line(words, self._registry, options)
        stages, given = parse_pieces(pieces, self._context, options)
        from imgfx.settings import Settings

        settings = Settings(**{**self._context.params, **given})
        # From here on pixels are handled, and numpy and OpenCV are imported.
        from imgfx.batch import run_chain
        from imgfx.pipeline import Chain
        from imgfx.runners import Part
        from imgfx.stdio import stdin_stage, stdout_stage
        from imgfx.streams import guarded_stdout

        chain = Chain(*order_stages(stages, stdin_stage(), stdout_stage()))
        parts: dict[int, Any] = {
            id(stage): Part(self._registry.full_name(piece.command), stage.options)
            for piece, stage in zip(pieces, stages, strict=True)
        }
        with guarded_stdout() as images_out:
            try:
                run_chain(chain, settings, self._registry, images_out, parts)
            finally:
                _flush_c_library()


def _flush_c_library() -> None:
    """Writes what C code has printed; else it follows the images when the process ends."""
    import ctypes

    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)
