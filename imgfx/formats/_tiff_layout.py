"""How a TIFF's samples are stored, and which of its many kinds OpenCV reads as they are meant."""

from __future__ import annotations

from dataclasses import dataclass

WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, SEPARATED: 4, YCBCR: 3}
"""Samples a pixel, without extra ones, by PhotometricInterpretation; the others, CIELab and
LogLuv, the decoder turns to colours of its own."""
UNSIGNED, FLOAT, _VOID = 1, 3, 4
_BITS = {UNSIGNED: (1, 8, 10, 12, 14, 16), _VOID: (1, 8, 10, 12, 14, 16), FLOAT: (32, 64)}
UNSPECIFIED, PREMULTIPLIED, STRAIGHT = 0, 1, 2
_NO_GRAY_ALPHA = "the alpha or other channels of a gray TIFF cannot be read; left out"
_NO_ALPHA = "its fourth channel is not marked as alpha; left out"


@dataclass(frozen=True)
class Layout:
    """How the samples of the first picture are stored."""

    photometric: int | None
    kind: int
    bits: int
    samples: int
    separate: bool
    """Each channel is stored for itself."""
    extra: int
    """What the first extra sample is; straight alpha where the file does not say."""

    @property
    def extras(self) -> int:
        """Samples a pixel that are no colour."""
        return self.samples - _COLOURS.get(self.photometric or 0, self.samples)

    @property
    def is_gray(self) -> bool:
        return self.photometric in (WHITE_IS_ZERO, _BLACK_IS_ZERO)

    @property
    def unsupported(self) -> str | None:
        """What the decoder cannot read, or reads as something else."""
        if self.photometric not in _COLOURS:
            return f"of photometric interpretation {self.photometric}"
        if self.bits not in _BITS.get(self.kind, ()):
            kind = {UNSIGNED: "integer", FLOAT: "float"}.get(self.kind, "signed or complex")
            return f"with {self.bits}-bit {kind} samples"
        if self.extras < 0:
            return f"of photometric interpretation {self.photometric} with {self.samples} channels"
        if self.separate and self.samples > 1 and self.bits > 8:
            return f"with {self.bits}-bit channels stored apart"
        if self.is_gray and self.extras and self.bits > 8:
            return f"with {self.bits}-bit gray and further channels"
        if self.photometric in (_PALETTE, SEPARATED, YCBCR) and self.bits > 8:
            names = {_PALETTE: "palette", SEPARATED: "CMYK", YCBCR: "YCbCr"}
            return f"of {names[self.photometric]} with {self.bits} bits"
        return None

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the picture is left out."""
        if self.is_gray and self.extras:
            return (_NO_GRAY_ALPHA,)
        return (_NO_ALPHA,) if self.photometric == _RGB and self.extra == UNSPECIFIED else ()
