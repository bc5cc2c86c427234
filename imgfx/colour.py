"""What an image says of its colours where no profile does, and formats that cannot say it.

Source: PNG Specification, third edition (W3C, 2025), sections 4.3 and 11.3.2.
"""

from __future__ import annotations

from imgfx.image import Metadata

_GAMMA = 45455
"""Of sRGB as gAMA has it: 1 / 2.2 in hundred-thousandths."""
_NEAR = 1000


def is_usual(primaries: int, transfer: int) -> bool:
    """Whether these code points of H.273 are sRGB's, BT.709's, or say that nothing is known."""
    return primaries in (1, 2) and transfer in (1, 2, 6, 13)


def colour_notes(metadata: Metadata, name: str) -> list[str]:
    """A note where a format that is not PNG would make the picture look different.

    A profile goes before everything but cICP, and sRGB before gAMA.
    """
    told = dict(metadata.colour)
    what = None
    if "cICP" in told:
        primaries, transfer = told["cICP"][:2]
        if not is_usual(primaries, transfer):
            what = f"primaries {primaries} and transfer {transfer} of H.273"
    elif metadata.icc is None and "sRGB" not in told and "gAMA" in told:
        gamma = int.from_bytes(told["gAMA"], "big")
        if abs(gamma - _GAMMA) > _NEAR:
            what = f"gamma {gamma / 100_000:g}"
    if what is None:
        return []
    return [f"its samples are of {what}, which {name} is not told; it may look different"]
