"""The stage `onnx`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgfx.api import ImgfxError, ModelSpec, learned_filter
from imgfx_onnx.options import probing_options, white_of

if TYPE_CHECKING:
    from imgfx.api import Apply, Session
    from imgfx_onnx.facts import Facts


@learned_filter("onnx")
@click.option(
    "--model",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE.onnx",
    help="The network.",
)
@probing_options
def onnx(session: Session, model: Path, white: str, halo: int | None) -> Apply:
    """Run an image-to-image network from an ONNX file.

    How it wants its images and how far it sees is found out first: `imgfx onnx-info FILE` shows
    it. Large images are cut into tiles. Gray stays gray, 16 bits stay 16 bits, alpha is enlarged
    along. It runs in ONNX Runtime, whatever --engine says.

    \b
    Examples:
      imgfx open a.jpg onnx --model 4x.onnx save b.png
      imgfx open a.jpg onnx --model old.onnx --range 255 --halo 32 save b.png
    """
    from imgfx_onnx.facts import examined
    from imgfx_onnx.runner import OnnxRunner

    found = examined(model, session.settings.device, white_of(white), halo)
    tile = tile_of(found.facts, session.settings.tile)
    loaded = session.adopt(
        model.name, spec_of(found.facts), OnnxRunner(found), digest=_digest(model), tile=tile
    )
    return loaded.apply


def spec_of(facts: Facts) -> ModelSpec:
    """What imgfx's tiler must know. A gray network is run on each channel, so there are three."""
    return ModelSpec(
        architecture=f"onnx {Path(facts.file).name}",
        scale=facts.scale,
        halo=facts.halo or 0,
        multiple_of=facts.multiple,
        floats_per_pixel=256,
    )


def tile_of(facts: Facts, asked: int | None) -> int | None:
    """The side of tiles where the network decides it; None where the user's, or any, will do.

    Raises:
        ImgfxError: the user's --tile or --halo cannot be had with this network.
    """
    if facts.fixed is not None:
        return _tile_of_fixed(facts, facts.fixed, asked)
    if facts.halo is not None:
        return None
    if asked:
        raise ImgfxError(
            f"{facts.file}: --tile {asked}: it looks at images as a whole; leave --tile out, "
            "or name the border that tiles should have by --halo"
        )
    return 0


def _tile_of_fixed(facts: Facts, fixed: tuple[int, int], asked: int | None) -> int:
    """What is left of the fixed size between the borders."""
    size = f"{fixed[1]}x{fixed[0]}"
    if facts.halo is None:
        raise ImgfxError(
            f"{facts.file}: takes {size} pixels only and looks at all of them; name the border "
            "that tiles should have by --halo, such as --halo 8"
        )
    if asked == 0:
        raise ImgfxError(f"{facts.file}: --tile 0: takes {size} pixels only; leave --tile out")
    halo = -(-facts.halo // facts.multiple) * facts.multiple
    tile = (min(fixed) - 2 * halo) // facts.multiple * facts.multiple
    if tile < 1:
        raise ImgfxError(f"{facts.file}: a halo of {halo} leaves nothing of {size} pixels")
    return min(tile, asked) if asked else tile


def _digest(path: Path) -> str:
    """sha256 of the file; weights kept outside it do not count."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
