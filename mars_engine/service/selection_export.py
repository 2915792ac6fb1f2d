"""Writing the pairs that a view selects into the workspace's folder of exports."""

from mars_engine.data.exporter import ExportResult, export_pairs
from mars_engine.explore.actions import rows_to_export
from mars_engine.explore.explorer import Scene
from mars_engine.explore.table import ordered
from mars_engine.explore.view import link_parameters
from mars_engine.service.desk import Desk

EXPORTS = "exports"


def export_selection(desk: Desk, scene: Scene) -> ExportResult:
    """Write the selected pairs, in the view's order, as JSONL of TRL's conversational shape, with their manifest.

    The pairs are as they were imported; what was decided of their labels is not carried out. The manifest has the
    link's parameters, by which the selection can be seen again.

    Raises:
        MarsError: nothing is selected, a pair has no prompt, or the folder cannot be written.
    """
    folder = desk.workspace.artifacts / EXPORTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"selection-{desk.clock():%Y%m%d-%H%M%S-%f}.jsonl"
    model = scene.index.model
    return export_pairs(
        rows_to_export(desk.store, scene.index, ordered(scene)),
        path,
        shape="conversational",
        manifest={
            "what": "selection",
            "view": link_parameters(scene.view),
            "labels": "as imported",
            "model": model.id if model else "",
        },
    )
