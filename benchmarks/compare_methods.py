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
from mars_engine.experiments.results import Difference, count_corrected, difference_over_seeds, points

CONFIG = EvaluateConfig()
Draws = list[dict[str, ExperimentCell]]
"""Under each seed the cell of each method."""


def draws_by_data(cells: list[ExperimentCell], methods: set[str]) -> dict[str, Draws]:
    """Return for each kind of data the draws for which all these methods are finished, by seed."""
    found: dict[str, dict[int, dict[str, ExperimentCell]]] = defaultdict(lambda: defaultdict(dict))
    for cell in cells:
        key = cell.key
        found[f"{say_data(key.dataset, key.flipped)}, {key.matching}"][key.seed][key.method] = cell
    whole = {
        data: [by_seed[seed] for seed in sorted(by_seed) if methods <= set(by_seed[seed])]
        for data, by_seed in found.items()
    }
    return {f"{data} ({len(draws)} seeds)": draws for data, draws in whole.items() if draws}


def difference(draws: Draws, law: str, baseline: str) -> Difference:
    values = [np.array(each[law].correct) - np.array(each[baseline].correct) for each in draws]
    return difference_over_seeds(baseline, values, [each[law].prompts for each in draws], CONFIG)


@click.command(help=__doc__)
@click.argument("path", metavar="CELLS", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--law", "laws", type=click.Choice(METHODS), multiple=True, required=True)
@click.option("--against", type=click.Choice(METHODS), multiple=True, required=True)
def main(path: Path, laws: tuple[str, ...], against: tuple[str, ...]) -> None:
    by_data = draws_by_data(CellJournal(path).load(), {*laws, *against})
    lines = [
        (data, law, difference(draws, law, baseline))
        for law in laws
        for baseline in against
        for data, draws in by_data.items()
    ]
    lines.sort(key=lambda line: line[2].interval.p_value or 0.0)
    left = count_corrected([each for _, _, each in lines], CONFIG.confidence) or 0
    click.echo("| data | law | less | points | seeds for it | p | left by Holm |\n|---|---|---|---|---|---|---|")
    for place, (data, law, told) in enumerate(lines):
        interval, seeds = told.interval, told.over_seeds.values
        click.echo(
            f"| {data} | {law} | {told.baseline} | {points(interval.estimate)} ({points(interval.low)} to "
            f"{points(interval.high)}) | {sum(each > 0 for each in seeds)} of {len(seeds)} | {interval.p_value:.4f} "
            f"| {'yes' if place < left else 'no'} |"
        )


if __name__ == "__main__":
    main()
