"""The Data page's panel of what the pairs say against themselves, with links to where they are looked at."""

from html import escape

import streamlit as st

from mars_engine.data.findings import Example, Finding, Findings, is_current, newest_findings
from mars_engine.data.pair_index import SPLIT_CODES, VERDICT_CODES
from mars_engine.explore.view import View, link_parameters
from mars_engine.service.desk import Desk
from pages.parts.explore.state import PAIR
from pages.parts.frame.page import presenting
from pages.parts.train.run_panel import begin

TITLES = {
    "contradictions": "Contradictions",
    "across": "Contradictions across splits",
    "repeated": "Copies across splits",
    "near": "Near copies across splits",
    "ties": "Ties of spelling",
    "indistinct": "Same after truncation",
    "empty": "Empty texts",
    "long": "Very long texts",
    "length": "Length tells the label",
    "note": "Odd when read",
}


def draw_findings(desk: Desk) -> None:
    """Draw what was found last; nothing is looked for here but by a job."""
    st.subheader("What the pairs say against themselves", anchor=False)
    found = newest_findings(desk.store)
    if found is None:
        st.text("Nobody has looked yet: an import does by itself where there are few enough pairs.")
    elif not is_current(desk.store, found):
        st.text("⚠ The pairs have changed since this was looked for.")
    is_wanted = (found is None or not is_current(desk.store, found)) and not presenting()
    if is_wanted and st.button("Look now", icon=":material/search:", key="look-for-findings"):
        begin(lambda: desk.start_job("findings"))
    if found is None:
        return
    shown = [each for each in found.all if each.count]
    indistinct = _indistinct(desk)
    if indistinct.count:
        shown.insert(min(5, len(shown)), indistinct)
    for number, each in enumerate(shown):
        _draw_finding(each, key=f"finding-{number}")
    st.text(_said_of_rest(found, shown))


def _indistinct(desk: Desk) -> Finding:
    """Known once the pairs have been triaged."""
    index = desk.index()
    training = index.split == SPLIT_CODES.index("train")
    count = int((training & (index.verdict == VERDICT_CODES.index("indistinct"))).sum())
    return Finding("indistinct", count, "a pair has two sides that are the same to the model, as after truncation")


def _said_of_rest(found: Findings, shown: list[Finding]) -> str:
    quiet = [TITLES[each.kind].lower() for each in found.all if not each.count and each.kind != "length"]
    length = next((each.words for each in found.all if each.kind == "length" and not each.count), "")
    none = f"None among {found.pairs:,} pairs: {', '.join(quiet)}." if quiet else ""
    start = "" if shown else "Nothing was found. "
    return f"{start}{none}{f' {length[:1].upper()}{length[1:]} of the pairs.' if length else ''}"


def _draw_finding(finding: Finding, *, key: str) -> None:
    with st.container(border=True, key=key):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{TITLES[finding.kind]}**", width="content")
            st.text(f"{finding.count:,} × {finding.words}", width="stretch")
        view = _view_of(finding)
        if view is not None and not presenting():
            _open_link(finding, view)
        if finding.examples:
            with st.expander(_examples(len(finding.examples))):
                for example in finding.examples:
                    _draw_example(example)


def _examples(count: int) -> str:
    return "An example" if count == 1 else f"{count} examples"


def _open_link(finding: Finding, view: View) -> None:
    st.page_link(
        "pages/explore.py",
        label=f"Open all {finding.count:,} in Explore" if finding.count > 1 else "Open it in Explore",
        icon=":material/scatter_plot:",
        query_params=link_parameters(view),
    )


def _view_of(finding: Finding) -> View | None:
    if finding.kind == "indistinct":
        return View(verdicts=("indistinct",))
    return View(pair_set=finding.set_id) if finding.set_id else None


def _draw_example(example: Example) -> None:
    rows = (("Prompt", example.prompt), ("Chosen", example.chosen), ("Rejected", example.rejected))
    texts = "".join(f"<dt>{name}</dt><dd>{escape(text) or '(empty)'}</dd>" for name, text in rows)
    st.html(f"{STYLE}<dl class='mars-example'>{texts}</dl>")
    if not presenting():
        st.page_link(
            "pages/pair.py",
            label="Look at this pair",
            icon=":material/arrow_forward:",
            query_params={PAIR: example.pair_id},
        )


STYLE = """
<style>
  .mars-example { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; padding: 0;
    overflow-wrap: anywhere; }
  .mars-example dt, .mars-example dd { margin: 0; padding: 0; }
  .mars-example dt { opacity: .8; }
  @media (max-width: 640px) { .mars-example { grid-template-columns: 1fr; } .mars-example dd { margin-bottom: .4rem; } }
</style>
"""
