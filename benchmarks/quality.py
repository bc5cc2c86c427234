"""Every bundled model measured by `imgfx eval`, as the tables of README.md and weights/README.md.

    python benchmarks/quality.py --set5 Set5 --b100 B100 --fashion fashion-mnist --faces celeba
    python benchmarks/quality.py ... --write    # puts the tables into both pages

Figures come from the programs' own JSON; nothing is typed in.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from imgfx.model import Model
from imgfx.plugins import Registry
from imgfx.weights import Weights, load_weights, network_from_weights

ROOT = Path(__file__).parent.parent
CARDS = ROOT / "weights" / "imgfx_weights"
SIDE = 48


@dataclass(frozen=True)
class Row:
    """One line of the table of figures."""

    what: str
    measure: str
    before: str
    after: str
    ensemble: str = ""


def main() -> None:
    """Prints both tables, or writes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("set5", "b100", "fashion", "faces"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.write and not all((options.set5, options.b100, options.fashion, options.faces)):
        parser.error("--write needs all four folders, or it would leave out rows")
    figures = "\n".join(
        [
            "| stage | measured on | before | after | with `--self-ensemble` |",
            "|---|---|---|---|---|",
        ]
        + [
            f"| {r.what} | {r.measure} | {r.before} | {r.after} | {r.ensemble} |"
            for r in measured(options)
        ]
    )
    models = models_table()
    if not options.write:
        print(figures, models, sep="\n\n")
        return
    put(ROOT / "README.md", "figures", figures)
    put(ROOT / "weights" / "README.md", "figures", figures)
    put(ROOT / "weights" / "README.md", "models", models)


def measured(options: argparse.Namespace) -> list[Row]:
    """A row for each model and measure whose data were named."""
    rows: list[Row] = []
    if options.b100:
        rows.append(denoising(options.b100))
    if options.set5:
        rows += [enlarging(stage, options.set5) for stage in ("superres-rednet", "superres-fast")]
    if options.set5 and options.b100:
        rows.append(sharpening(options.b100, options.set5))
    if options.fashion:
        rows.append(generating("gan-generate", "gan-generate", options.fashion))
    if options.faces:
        rows.append(generating("gan-generate --model faces", "gan-generate-faces", options.faces))
    return rows


def denoising(folder: Path) -> Row:
    """Three noise levels."""
    levels = [("--sigma", str(sigma)) for sigma in (15, 25, 50)]
    what = "`denoise-ae`, noise of sigma 15 / 25 / 50, level unknown"
    return Row(what, "B100, PSNR on RGB", *restored("denoise-ae", folder, levels))


def enlarging(stage: str, folder: Path) -> Row:
    """Three scales."""
    scales = [("--scale", str(scale)) for scale in (2, 3, 4)]
    before, after, ensemble = restored(stage, folder, scales)
    what = f"`{stage} --scale 2` / `3` / `4`"
    return Row(what, "Set5, PSNR on Y", f"{before} (bicubic)", after, ensemble)


def sharpening(b100: Path, set5: Path) -> Row:
    """The lecture's protocol."""
    butterfly = next(
        image
        for image in evaluate("superres-rednet", set5, "--protocol", "lecture")["images"]
        if image["image"] == "butterfly"
    )
    figures = [mean(evaluate("superres-rednet", b100, "--protocol", "lecture")), butterfly]
    what = "`superres-rednet --scale 1`, 2x down and up, bilinear"
    return Row(what, "B100; Set5 butterfly; RGB", *joined(figures))


def generating(stage: str, model: str, folder: Path) -> Row:
    """All figures, with those of real images as what is 'before'."""
    result = evaluate(model, folder)
    names = [name for name in result["generated"] if name not in ("precision", "recall")]
    real, fake = (
        " / ".join(f"{result[part][name]:.3g}" for name in names) for part in ("real", "generated")
    )
    title = " / ".join(name.replace("_", " ") for name in names)
    return Row(f"`{stage}`", f"{title}, against held-out {folder.name}", f"{real} (real)", fake)


def restored(stage: str, folder: Path, measures: Sequence[Sequence[str]]) -> tuple[str, str, str]:
    """PSNR before, after, and after in eight positions, by each of the measures."""
    once = joined([mean(evaluate(stage, folder, *words)) for words in measures])
    eight = [mean(evaluate(stage, folder, *words, "--self-ensemble")) for words in measures]
    return *once, joined(eight)[1]


def joined(figures: Sequence[dict[str, float]]) -> tuple[str, str]:
    """PSNR before and after."""
    before, after = (
        " / ".join(f"{figure[name]:.2f}" for figure in figures)
        for name in ("psnr_before", "psnr_after")
    )
    return f"{before} dB", f"{after} dB"


def mean(result: dict[str, Any]) -> dict[str, float]:
    """Over the images of an evaluation."""
    return dict(result["mean"])


def evaluate(model: str, folder: Path, *words: str) -> dict[str, Any]:
    """What `imgfx eval --json` says."""
    line = [sys.executable, "-m", "imgfx", "eval", model, "--data", str(folder), "--json", *words]
    ended = subprocess.run(line, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(ended.stdout))


def models_table() -> str:
    """A line for each bundled model, from its weights' header and its network."""
    lines = [
        "| model | parameters | multiply-adds an output pixel | trained | sha256 | samples |",
        "|---|---|---|---|---|---|",
    ]
    registry = Registry()
    for name in registry.names("model"):
        model = registry.model(name)
        if model.weights is not None and model.weights.is_relative_to(CARDS):
            lines.append(model_line(model, load_weights(model.weights)))
    return "\n".join(lines)


def model_line(model: Model, weights: Weights) -> str:
    """One model."""
    network = network_from_weights(model, weights)
    count = sum(p.numel() for p in network.parameters())
    facts = weights.training
    trained = f"{minutes(facts):.1f} min, {facts['processor'].split(',')[0]}"
    picture = f"imgfx_weights/{model.name}.samples.png"
    return (
        f"| [{model.name}](imgfx_weights/{model.name}.md) | {count:,} | "
        f"{multiply_adds(network, weights):,.0f} | {trained} | `{weights.digest[:12]}` | "
        f"[picture]({picture}) |"
    )


def minutes(facts: Mapping[str, str]) -> float:
    """Of training, the runs together whose weights the last one began with."""
    earlier = re.findall(r" steps, ([\d.]+) minutes", facts.get("origin", ""))
    return sum(map(float, [facts["minutes"], *earlier]))


def multiply_adds(network: torch.nn.Module, weights: Weights) -> float:
    """Of the network, an output pixel; of a classifier, an input pixel."""
    spec = weights.spec
    side = spec.options.get("size", 0) or SIDE
    shape = (
        (1, spec.latent) if spec.latent else (1, spec.channels + len(spec.conditions), SIDE, SIDE)
    )
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(shape))
    return counter.get_total_flops() / 2 / (side * spec.scale) ** 2


def put(page: Path, name: str, table: str) -> None:
    """Replaces what stands between the marks of a table."""
    text = page.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    head, _, rest = text.partition(start)
    _, _, tail = rest.partition(end)
    if not tail:
        raise SystemExit(f"{page}: no marks {start} and {end}")
    page.write_text(f"{head}{start}\n{table}\n{end}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
