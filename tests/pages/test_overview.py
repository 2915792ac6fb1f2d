import subprocess
import sys
from pathlib import Path

import numpy as np
from fakes import ListSource, make_bench, make_pairs
from streamlit.testing.v1 import AppTest

from mars_engine.assembly.shipped import shipped
from mars_engine.assembly.workspace import DATABASE_FILE, create_workspace
from mars_engine.workflows.import_pairs import import_pairs
from mars_engine.workflows.overview import bin_edges
from mars_engine.workflows.rounds import run_rounds, score_model

APP = str(shipped("app.py"))


def open_app() -> AppTest:
    app = AppTest.from_file(APP, default_timeout=30).run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.text, *app.warning, *app.info, *app.title])


def test_a_folder_that_is_no_workspace_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MARS_WORKSPACE", str(tmp_path))
    assert "mars --workspace" in words(open_app())


def test_an_empty_workspace_says_what_to_do(tmp_path, monkeypatch):
    create_workspace(tmp_path / "w")
    monkeypatch.setenv("MARS_WORKSPACE", str(tmp_path / "w"))
    shown = words(open_app())
    assert "Next: mars import FILE" in shown
    assert "No margins yet" in shown


def test_a_trained_workspace_shows_funnel_and_margins(tmp_path, monkeypatch):
    workspace = create_workspace(tmp_path / "w")
    bench = make_bench(url=workspace.database_url)
    import_pairs(ListSource(make_pairs(30)), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    (report,) = run_rounds(bench, 1, policy="accept-all")
    score_model(bench, report.model)
    bench.store.close()
    monkeypatch.setenv("MARS_WORKSPACE", str(tmp_path / "w"))
    app = open_app()
    assert "Under signed round 1" in words(app)
    (funnel,) = [table.value for table in app.table]
    assert funnel.set_index("step").loc["composed", "count"] == "150"
    assert (tmp_path / "w" / DATABASE_FILE).exists()


def test_the_server_imports_no_torch():
    code = (
        "import sys, runpy, os; os.environ['MARS_WORKSPACE'] = '/nowhere';"
        f"sys.path.insert(0, {str(Path(APP).parent)!r}); runpy.run_path({APP!r});"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'datasets'} & set(sys.modules);"
        "assert not heavy, heavy; assert 'mars_engine.workflows.overview' in sys.modules"
    )
    page = str(Path(APP).parent / "pages" / "overview.py")
    code = code.replace(f"runpy.run_path({APP!r})", f"runpy.run_path({page!r})")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr


def test_a_bin_edge_lies_at_zero():
    for margins in ([-1.0, 0.3, 2.0], [0.5, 0.9], [-2.0, -1.0], [0.0]):
        found = bin_edges(np.array(margins), 40)
        assert np.any(np.abs(found) < 1e-12)
        assert found[0] <= min(margins)
        assert found[-1] >= max(margins)
