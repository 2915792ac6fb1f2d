"""How some methods of an experiment differ from others, corrected for all comparisons that are asked for at once.

    .venv/bin/python -m benchmarks.compare_methods W/artifacts/experiments/ID/cells.jsonl
        --law leave_out --law leave_out_uniform --against none --against uniform --against mars_signed

For each dataset, share of flipped labels and way to train: the difference in held-out accuracy over the seeds that all
these methods have, in points, with a 95% interval over seeds and prompts and its p-value; and whether it is left by
Holm's correction for all lines of the table.
"""

from collections import defaultdict
from pathlib import Path

import click
import numpy as np

from mars_engine.core.config import EvaluateConfig
from mars_engine.experiments.cell_journal import CellJournal
from mars_engine.experiments.cells import ExperimentCell, say_data
from mars_engine.experiments.plan import METHODS
from mars_engine.experiments.results import Difference, difference_over_seeds, points
from mars_engine.stats.crossed_bootstrap import holm_count

CONFIG = EvaluateConfig()


def differences(cells: list[ExperimentCell], law: str, baseline: str, others: set[str]) -> dict[str, Difference]:
    """Return a law's difference from a baseline on each kind of data, over the seeds that all methods have."""
    found: dict[str, dict[int, dict[str, ExperimentCell]]] = defaultdict(lambda: defaultdict(dict))
    for cell in cells:
        key = cell.key
        found[f"{say_data(key.dataset, key.flipped)}, {key.matching}"][key.seed][key.method] = cell
    told = {}
    for data, by_seed in found.items():
        whole = [by_seed[seed] for seed in sorted(by_seed) if others <= set(by_seed[seed])]
        if whole:
            values = [np.array(each[law].correct) - np.array(each[baseline].correct) for each in whole]
            prompts = [each[law].prompts for each in whole]
            told[f"{data} ({len(whole)} seeds)"] = difference_over_seeds(baseline, values, prompts, CONFIG)
    return told


@click.command(help=__doc__)
@click.argument("path", metavar="CELLS", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--law", "laws", type=click.Choice(METHODS), multiple=True, required=True)
@click.option("--against", type=click.Choice(METHODS), multiple=True, required=True)
def main(path: Path, laws: tuple[str, ...], against: tuple[str, ...]) -> None:
    cells = CellJournal(path).load()
    lines = [
        (data, law, difference)
        for law in laws
        for baseline in against
        for data, difference in differences(cells, law, baseline, {*laws, *against}).items()
    ]
    lines.sort(key=lambda line: line[2].interval.p_value or 0.0)
    left = holm_count([each.interval.p_value or 0.0 for _, _, each in lines], alpha=1 - CONFIG.confidence)
    click.echo("| data | law | less | points | seeds for it | p | left by Holm |\n|---|---|---|---|---|---|---|")
    for place, (data, law, difference) in enumerate(lines):
        interval, seeds = difference.interval, difference.over_seeds.values
        click.echo(
            f"| {data} | {law} | {difference.baseline} | {points(interval.estimate)} ({points(interval.low)} to "
            f"{points(interval.high)}) | {sum(each > 0 for each in seeds)} of {len(seeds)} | {interval.p_value:.4f} "
            f"| {'yes' if place < left else 'no'} |"
        )


if __name__ == "__main__":
    main()
