"""MARS: margin and semantic-aware data augmentation for reward modeling (arXiv 2602.17658).

`import mars_engine as mars` offers, and loads only when it is used (docs/python.md is a tour):

    mars.create, mars.open         a workspace, with a method for each step
    mars.allocate, mars.triage, mars.gate, mars.compose, mars.fit_probe
                                   the method itself on arrays
    mars.alpaca_eval, mars.alpaca_figures
                                   policies judged in AlpacaEval's manner
    mars.Workspace, mars.Decision, mars.ReadingOptions, mars.MarsError

The package is cut by subject; a module imports from folders above it in this list only:

    core           errors, records, configuration, progress, whole files and folders, where the shipped files are
    stats          metrics, agreement, intervals, the crossed bootstrap, geometry
    store          the database and its migrations
    embeddings     sentence encoders, the cache, distances, semantic maps
    data           loaders, import, hold-out, export, source pairs, the index of pairs
    reward_models  the probe, transformers, training, scoring, triage, cartography
    augment        allocation, gate, refine, paraphrase, generators, quality, composition
    align          policies, best-of-n, preference optimisation, AlpacaEval
    curate         the queue, cards, leases, decisions, label checks, agreement, live figures
    evaluate       held-out evaluation, RewardBench, results, reports
    advise         what each possible next step is expected to gain
    workspace      a workspace, its generators and backup, rounds
    explore        views, selections, dossiers of pairs
    experiments    plans, methods, cells, their report
    jobs           background runs
    service        what the app asks: the resident worker, uploads, downloads, serving
    cli, api       commands; and what this module offers
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mars_engine.api.alpaca import alpaca_eval, alpaca_figures
    from mars_engine.api.arrays import allocate, compose, fit_probe, gate, triage
    from mars_engine.api.opening import create, open
    from mars_engine.api.workspace import Workspace
    from mars_engine.core.errors import MarsError
    from mars_engine.curate.review import Decision
    from mars_engine.data.loaders.options import ReadingOptions

__version__ = "0.1.0"

__all__ = [
    "Decision",
    "MarsError",
    "ReadingOptions",
    "Workspace",
    "__version__",
    "allocate",
    "alpaca_eval",
    "alpaca_figures",
    "compose",
    "create",
    "fit_probe",
    "gate",
    "open",
    "triage",
]

_HOMES = {
    "Decision": "curate.review",
    "MarsError": "core.errors",
    "ReadingOptions": "data.loaders.options",
    "Workspace": "api.workspace",
    "allocate": "api.arrays",
    "alpaca_eval": "api.alpaca",
    "alpaca_figures": "api.alpaca",
    "compose": "api.arrays",
    "create": "api.opening",
    "fit_probe": "api.arrays",
    "gate": "api.arrays",
    "open": "api.opening",
    "triage": "api.arrays",
}
"""The module that each public name comes from; it is imported when the name is first used."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
