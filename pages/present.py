"""Present: the workspace's story for those who were not there, walked step by step with the arrow keys."""

import streamlit as st

from mars_engine.evaluate.report import ReportContent, gather_report
from mars_engine.evaluate.report_page import software_versions
from mars_engine.evaluate.story import TITLES, tell
from mars_engine.service.desk import Desk
from pages.parts.frame.page import empty_state, page
from pages.parts.present.steps import draw_step
from pages.parts.present.walking import asked_step, draw_walking

MODELS = "models"
"""Name in the query parameters of the ids of the models compared, as on Results."""

STYLE = """
<style>
  [class*="st-key-says-"] [data-testid="stText"] { font-size: 1.15rem; line-height: 1.45; max-width: 46rem; }
  .st-key-story-steps button { padding: 0 .5rem; min-height: 2rem; }
  .st-key-story-steps button p { font-size: .8rem; }
  @media (max-width: 900px) { .st-key-story-steps { display: none; } }
  @media (max-width: 640px) { .st-key-story-all { display: none; } }
  @media print {
    @page { size: A4 landscape; margin: 12mm; }
    html { font-size: 15px !important; }
    .st-key-present-pages, .st-key-story-walk, [data-testid="stExpander"] { display: none !important; }
    [class*="st-key-section"] { break-inside: avoid; break-before: page; }
    .st-key-section-story { break-before: avoid; }
    [class*="st-key-says-"] [data-testid="stText"] { max-width: none; }
    [data-testid="stMain"], [data-testid="stAppViewContainer"], .stApp { overflow: visible !important;
      position: static !important; height: auto !important; }
  }
</style>
"""


@st.cache_resource(max_entries=8, show_spinner="Gathering the story")
def _content(root: str, stamp: str, ids: tuple[str, ...], settings: str, _desk: Desk) -> ReportContent:  # noqa: ARG001
    return gather_report(
        _desk.store,
        _desk.index(),
        workspace=_desk.root.name,
        config=_desk.config,
        versions=software_versions(),
        clock=_desk.clock,
        model_ids=ids,
        maps=_desk.maps,
    )


def _stamp(desk: Desk) -> str:
    """What differs whenever the story may differ."""
    runs = [f"{run.id} {run.state}" for run in desk.store.runs.newest(5)]
    return f"{sorted(desk.store.browse.revisions().items())} {desk.maps.kinds()} {desk.store.runs.count()} {runs}"


def draw(desk: Desk) -> None:
    st.html(STYLE)
    if not len(desk.index()):
        empty_state(
            "There is no story yet: it begins with pairs, of which people said which answer is better.",
            to_do="Import some, or begin with the demo pairs.",
            page_path="pages/data.py",
            link="Import pairs",
        )
        return
    ids = tuple(each for each in st.query_params.get(MODELS, "").split(",") if each)
    content = _content(str(desk.root), _stamp(desk), ids, desk.config.model_dump_json(), desk)
    asked = asked_step()
    draw_walking(asked)
    for step in tell(content):
        if asked is None:
            with st.container(key=f"section-{step.key}"):
                st.subheader(step.title, anchor=False)
                draw_step(desk, step, content)
        elif step.key == asked:
            draw_step(desk, step, content)


shown = asked_step()
with page(TITLES[shown] if shown else "The story", purpose="For those who were not there.") as opened:
    draw(opened)
