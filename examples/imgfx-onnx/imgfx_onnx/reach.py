"""How far a network sees, and at which places it may be cut: found by changing its input.

One half of an input is changed, and it is looked how far into the other half the output changes.
That is the reach of everything beyond a straight cut at once, of which a single pixel's would be
an underestimate: what each of many far pixels adds is too little to be seen, their sum is not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from imgfx_onnx.network import Float, Network
from imgfx_onnx.sizes import MULTIPLES, Sizes, noise

MOST = 128
"""The furthest reach that is looked for, in input pixels."""
_SIDES = (48, 96, 160, 2 * MOST + 32)
"""Of the inputs, one after the other, until the reach fits in a half."""
_TOLERANCE = {"float32": 1e-6, "float16": 2e-3, "uint8": 0.5 / 255}
"""A change that counts, of an input of the same size: the arithmetic is the same, too."""
_ALIKE = {"float32": 2e-5, "float16": 4e-3, "uint8": 1.5 / 255}
"""What one place may differ in two inputs: the arithmetic's order need not be the same."""
_KEPT = 8


def measured(network: Network, sizes: Sizes) -> tuple[int, int] | None:
    """The reach in input pixels, and the multiple that cuts must be at.

    None when there is none: it sees more than MOST pixels, more than a fixed size has, or looks at
    the image as a whole.

    Raises:
        RunError: it does not take a size as it did others.
    """
    for height, width in _frames(network, sizes):
        reach = _reach(network, sizes, height, width)
        if reach is not None:
            multiple = multiple_for(network, sizes, reach)
            return None if multiple is None else (reach, multiple)
    return None


def _frames(network: Network, sizes: Sizes) -> Iterator[tuple[int, int]]:
    if network.fixed is not None:
        yield network.fixed
        return
    for side in _SIDES:
        whole = _up(max(side, sizes.smallest), 2 * sizes.multiple)
        yield whole, whole


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _probes(height: int, width: int, channels: int) -> Iterator[Float]:
    """Noise of full contrast and soft noise; each of another brightness at each pixel."""
    values = noise(height, width, channels)
    yield (values > 0.5).astype(np.float32)
    yield 0.25 + 0.5 * values


def _reach(network: Network, sizes: Sizes, height: int, width: int) -> int | None:
    """The farthest in all four directions; None when it is not less than half the frame."""
    found = 0
    for probe in _probes(height, width, network.channels):
        before = network(probe)
        for axis, backwards in ((2, False), (2, True), (3, False), (3, True)):
            side = probe.shape[axis]
            cut = side // 2 // sizes.multiple * sizes.multiple
            changed = probe.copy()
            half = slice(0, cut) if backwards else slice(cut, side)
            changed[(slice(None),) * axis + (half,)] = 1 - probe[(slice(None),) * axis + (half,)]
            change = _profile(network(changed), before, axis)
            far = _far(change > _TOLERANCE[network.graph.dtype], cut * sizes.scale, backwards)
            found = max(found, -(-far // sizes.scale))
            if found >= min(cut, side - cut) - sizes.multiple or found > MOST:
                return None
    return found


def _profile(one: Float, other: Float, axis: int) -> Float:
    """The largest difference at each place along an axis; what is no number differs."""
    difference = np.nan_to_num(np.abs(one - other), nan=np.inf)
    axes = tuple(other for other in range(4) if other != axis)
    return np.asarray(difference.max(axis=axes), np.float32)


def _far(changed: npt.NDArray[np.bool_], cut: int, backwards: bool) -> int:
    """How many output pixels beyond the cut the furthest change is, on the side left alone."""
    if backwards:  # what is before the cut was changed
        beyond = np.flatnonzero(changed[cut:])
        return int(beyond.max()) + 1 if len(beyond) else 0
    beyond = np.flatnonzero(changed[:cut])
    return cut - int(beyond.min()) if len(beyond) else 0


def multiple_for(network: Network, sizes: Sizes, reach: int) -> int | None:
    """The least shift after which everything but the borders comes out the same, shifted.

    None when there is none. A network may take any size and still cut it into cells, from the top
    left corner on: then windows must begin where cells do.
    """
    for multiple in MULTIPLES:
        if multiple % sizes.multiple == 0:
            alike = _alike(network, sizes, _up(reach, multiple), multiple)
            if alike is None:
                return None
            if alike:
                return multiple
    return None


def _alike(network: Network, sizes: Sizes, halo: int, shift: int) -> bool | None:
    """Whether a frame and the frame shifted agree where both see what they need.

    None where the frame is too small to tell.
    """
    side = _up(max(2 * halo + shift + _KEPT, sizes.smallest), shift)
    height, width = network.fixed or (side, side)
    if min(height, width) < 2 * halo + shift + _KEPT:
        return None
    for probe in _probes(height + shift, width + shift, network.channels):
        first = network(np.ascontiguousarray(probe[..., :height, :width]))
        second = network(np.ascontiguousarray(probe[..., shift:, shift:]))
        one = _inner(first, sizes.scale * (shift + halo), sizes.scale * halo)
        other = _inner(second, sizes.scale * halo, sizes.scale * (shift + halo))
        difference = np.abs(one - other).max()
        if not difference <= _ALIKE[network.graph.dtype]:
            return False
    return True


def _inner(values: Float, before: int, behind: int) -> Float:
    """Without so many rows and columns before and behind."""
    height, width = values.shape[2:]
    return values[..., before : height - behind, before : width - behind]
