"""The model card: what the weights are, what they learned from, and how good they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from imgfx.files import write_file

if TYPE_CHECKING:
    from imgfx_train.run import Run

_UNSTATED = "not stated; whoever uses the weights should ask"


def write_card(run: Run, finished: bool) -> None:
    """Writes the card beside the weights, as Markdown."""
    plan = run.plan
    write_file(plan.card_path, card_text(run, finished).encode())


def card_text(run: Run, finished: bool) -> str:
    """The card's text."""
    plan, facts = run.plan, run.facts()
    metrics = json.loads(facts["metrics"])
    rows = "\n".join(f"| {name} | {_figure(value)} |" for name, value in metrics.items())
    end = "the whole run" if finished else f"{100 * run.progress:.0f} % of the run"
    caution = f"\n**Limits.** {plan.model.caution}\n" if plan.model.caution else ""
    taught = f"| taught by | {facts['teachers']} |\n" if facts.get("teachers") else ""
    origin = f"| began with | {facts['origin']} |\n" if facts.get("origin") else ""
    # A generator has no surroundings to look at.
    sees = "" if plan.spec.latent else f"| sees | {_seen(run)} |\n"
    options = ", ".join(f"{k} {v}" for k, v in sorted(plan.spec.options.items()))
    return f"""# {plan.model.name}

{plan.model.describe}
{caution}
| | |
|---|---|
| architecture | `{plan.spec.architecture}`: {options} |
{sees}| parameters | {sum(p.numel() for p in run.learner.average.parameters()):,} |
| data | {facts["data"]} |
| licence of the data | {facts["licence"] or _UNSTATED} |
{origin}{taught}| steps | {int(facts["steps"]):,} of {facts["batch"]} examples each, {end} |
| minutes | {facts["minutes"]} on {facts["processor"]}, {facts["precision"]} |
| peak rate, seed | {facts["rate"]}, {facts["seed"]} |
| sha256 of the weights | `{run.digest}` |

Measured at the end of training on the images held out of it:

| figure | value |
|---|---|
{rows}

![what the network does on held-out data]({plan.samples_path.name})

Made by

    {facts["command"]}
"""


def _seen(run: Run) -> str:
    measured = f", {run.reach} by measurement" if run.reach else ""
    return f"{run.plan.spec.halo} pixels to each side by its layers{measured}"


def _figure(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3f}"
