"""A filter made anew from its name and its options: run in a process of its own.

    python -m imgfx.testing.kit.stage_probe FOLDER

FOLDER holds work.pickle, an `imgfx.runners.Part` and images; the results are left in made.pickle.
On stdout there is what the plugin prints, and nothing else.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from imgfx.image import Image
from imgfx.plugins import Registry
from imgfx.runners import Part
from imgfx.testing.stages import session

WORK, MADE = "work.pickle", "made.pickle"


def main(folder: Path) -> None:
    """Makes the images."""
    part: Part
    images: list[Image]
    part, images = pickle.loads((folder / WORK).read_bytes())  # noqa: S301  # the kit's own
    stage = part.stage(Registry())
    with session() as opened:
        apply = stage.start(opened)
        made = [apply(image) for image in images]
    (folder / MADE).write_bytes(pickle.dumps(made))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
