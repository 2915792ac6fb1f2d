"""Importing from the app: demo pairs, an uploaded file or a hub set, with a preview before anything is stored."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from mars_engine.core.errors import LoadError, MarsError
from mars_engine.data.demo_pairs import DEMO, DEMO_IN_WORDS
from mars_engine.data.import_pairs import ImportPreview
from mars_engine.service.desk import Desk
from mars_engine.service.import_reading import FORMAT_NAMES, ImportRequest, Part, hub_location, read_preview
from mars_engine.service.uploads import LARGEST_UPLOAD_MEBIBYTES, Upload, find_upload, forget_upload, save_upload
from pages.parts.data.import_mapping import draw_mapping
from pages.parts.data.import_preview import draw_first_pairs, draw_reports
from pages.parts.drawing.numbers import as_size
from pages.parts.frame.page import show_error
from pages.parts.train.run_panel import draw_ended, draw_queue, watch

UPLOAD, HUB = "upload", "hub"
"""Names in the query parameters: what is being imported, so that a reload or a link comes back to its preview."""

STARTED = "import started"
DEMO_PREVIEWED = "demo previewed"
UPLOADS_SO_FAR = "uploads so far"
SOURCES = {"demo": "Demo pairs", "file": "A file of yours", "hub": "A set on the hub"}
PARTS: dict[Part, str] = {"train": "To train on", "heldout": "Held out, to evaluate on", "both": "Hold out a part"}
USUAL_HOLDOUT = 20
"""Percent of the prompts that are held out unless another share is asked for."""
PREFERENCES = {"better": "The better response", "safer": "The safer response"}
AGAINST = {"worst": "The worst answer", "others": "Each answer that is worse"}
DECIDING = {"ratings": "The mean of the ratings", "overall": "The overall score"}
RECOGNISED = "Recognised from the columns"


@dataclass(frozen=True)
class Reading:
    """What reading a source came to: previews, or what is wrong with it, as found, expected and what to do."""

    previews: tuple[ImportPreview, ...] = ()
    wrong: tuple[str, str, str] | None = None


def draw_import(desk: Desk) -> None:
    """Draw the choice of a source, its preview, and the button that imports it; or the import that is at work."""
    running = desk.running_job()
    if running is not None and running.kind == "import":
        watch(desk, running)
        return
    _draw_outcome(desk)
    source = _chosen_source()
    if source == "demo":
        _draw_demo(desk)
    elif source == "file":
        _draw_file(desk)
    else:
        _draw_hub(desk)


def _chosen_source() -> str:
    named = "file" if UPLOAD in st.query_params else "hub" if HUB in st.query_params else "demo"
    chosen = st.segmented_control(
        "Where the pairs come from",
        list(SOURCES),
        default=named,
        required=True,
        format_func=lambda source: SOURCES[source],
        key="import-source",
        wrap=True,
    )
    return chosen or named


def _draw_outcome(desk: Desk) -> None:
    run = desk.store.runs.get(st.session_state.get(STARTED, ""))
    if run is not None and run.state == "queued":
        draw_queue(desk)
    elif run is not None and run.state != "running":
        draw_ended(desk, run)
        if run.state == "finished":
            st.page_link("pages/overview.py", label="What is next", icon=":material/arrow_forward:")


# ------------------------------------------------------------------------------------------------------------- sources


def _draw_demo(desk: Desk) -> None:
    st.text(DEMO_IN_WORDS)
    with st.container(horizontal=True):
        if st.button("Import the demo pairs", type="primary", icon=":material/play_arrow:", key="import-demo"):
            _start(desk, ImportRequest(DEMO))
        if st.button("Preview them", icon=":material/visibility:", key="preview-demo"):
            st.session_state[DEMO_PREVIEWED] = True
    if st.session_state.get(DEMO_PREVIEWED):
        reading = _read(str(desk.root), ImportRequest(DEMO), DEMO, desk.store.browse.revisions().get("pairs", 0))
        draw_reports(reading.previews)
        draw_first_pairs(reading.previews[0])


def _draw_file(desk: Desk) -> None:
    upload = find_upload(desk.workspace, st.query_params.get(UPLOAD, ""))
    if upload is None:
        _draw_uploader(desk)
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.text(f"{upload.path.name}, {as_size(upload.size_bytes)}")
        if st.button("Another file", icon=":material/upload_file:", key="another-file"):
            forget_upload(desk.workspace, upload.path)
            del st.query_params[UPLOAD]
            st.rerun()
    _draw_reading(desk, str(upload.path), upload.key, file_name=upload.path.name)


def _draw_uploader(desk: Desk) -> None:
    st.text(
        "JSON lines, JSON, CSV or Parquet, also packed by gzip or zip: TRL preference data, HH-RLHF, UltraFeedback, "
        "ShareGPT, HelpSteer, Nectar and more; or any file, once you have said which columns are what."
    )
    # A new key empties the uploader once its file is kept, so that the server does not hold it in memory as well.
    number = st.session_state.setdefault(UPLOADS_SO_FAR, 0)
    given = st.file_uploader(
        f"File, at most {LARGEST_UPLOAD_MEBIBYTES} MB",
        key=f"upload-{number}",
        max_upload_size=LARGEST_UPLOAD_MEBIBYTES,
    )
    if given is None:
        return
    try:
        upload: Upload = save_upload(desk.workspace, given.name, given)
    except MarsError as error:
        show_error(error)
        return
    st.session_state[UPLOADS_SO_FAR] = number + 1
    st.query_params[UPLOAD] = upload.key
    st.rerun()


def _draw_hub(desk: Desk) -> None:
    st.text("The set is downloaded from huggingface.co to this server, which needs the network and may take a while.")
    with st.form("hub", border=False):
        name = st.text_input(
            "Name of the set",
            value=st.query_params.get(HUB, ""),
            placeholder="owner/name@split",
            max_chars=200,
            width=420,
        )
        pressed = st.form_submit_button("Download and preview", icon=":material/download:")
    if pressed:
        st.query_params[HUB] = name.strip()
    named = st.query_params.get(HUB, "")
    if not named:
        return
    try:
        location = hub_location(named)
    except LoadError as error:
        show_error(error)
        return
    _draw_reading(desk, location, named)


# ------------------------------------------------------------------------------------------------------------- preview


def _draw_reading(desk: Desk, location: str, key: str, *, file_name: str = "") -> None:
    """Draw what a source would bring in, and how to import it; `file_name` where it is a file that was uploaded."""
    request = _draw_options(location)
    request = draw_mapping(desk, request, key)
    reading = _read(str(desk.root), request, key, desk.store.browse.revisions().get("pairs", 0))
    if reading.wrong is not None:
        # Where the server keeps an upload is nobody's concern: it is called what its owner calls it.
        found, expected, remedy = (said.replace(location, file_name or location) for said in reading.wrong)
        if "--columns" in remedy:  # which the page has as selectors
            remedy = "choose above, under “Which column is what”"
        show_error(LoadError(found, expected=expected, remedy=remedy))
        until = " The file is kept until it is imported or another is chosen." if file_name else ""
        st.text(f"Nothing was stored.{until}")
        if st.button("Read it again", icon=":material/replay:", key="read-again"):
            _read.clear()
            st.rerun()
        return
    is_mapped = bool(request.columns or request.roles)
    if is_mapped:  # beside the selectors, so that a choice shows what it does
        draw_first_pairs(reading.previews[0])
    draw_reports(reading.previews)
    kept = sum(preview.report.kept for preview in reading.previews)
    if not kept:
        st.text("All of these pairs are here already: importing them again would add nothing.")
    else:
        _draw_import_button(desk, request, kept)
    if not is_mapped:
        draw_first_pairs(reading.previews[0])


def _draw_import_button(desk: Desk, request: ImportRequest, kept: int) -> None:
    if request.part == "train" and not desk.store.pairs.count("heldout"):
        with st.container(border=True):
            st.text(
                "⚠ Nothing is held out in this workspace, so no model could be measured on pairs that it has not seen."
            )
            st.button(
                f"Hold out {USUAL_HOLDOUT}% of the prompts",
                icon=":material/call_split:",
                key="hold-out",
                on_click=_hold_out,
            )
    label = "Import 1 pair" if kept == 1 else f"Import {kept:,} pairs"
    if st.button(label, type="primary", icon=":material/play_arrow:", key="import"):
        _start(desk, request)


def _hold_out() -> None:
    st.session_state["import-part"] = "both"


def _draw_options(location: str) -> ImportRequest:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        part: Part = (
            st.segmented_control(
                "What the pairs are for",
                list(PARTS),
                default="train",
                required=True,
                format_func=lambda each: PARTS[each],
                key="import-part",
                wrap=True,
            )
            or "train"
        )
        percent = USUAL_HOLDOUT
        if part == "both":
            percent = int(
                st.number_input("Held out, % of prompts", 1, 90, USUAL_HOLDOUT, step=5, width=180, key="import-holdout")
            )
    with st.expander("How it is read", icon=":material/tune:"):
        chosen = st.selectbox("Format", [RECOGNISED, *FORMAT_NAMES], key="import-format", width=320)
        preference = st.selectbox(
            "Which label of PKU-SafeRLHF decides",
            list(PREFERENCES),
            format_func=lambda each: PREFERENCES[each],
            key="import-preference",
            width=320,
        )
        against = st.selectbox(
            "Of ranked or scored answers, the best against",
            list(AGAINST),
            format_func=lambda each: AGAINST[each],
            key="import-against",
            width=320,
        )
        deciding = st.selectbox(
            "Which of UltraFeedback's scores decides",
            list(DECIDING),
            format_func=lambda each: DECIDING[each],
            key="import-deciding",
            width=320,
        )
    named = "" if chosen == RECOGNISED else chosen
    return ImportRequest(location, part, percent / 100, named, preference, against=against, deciding=deciding)


@st.cache_data(max_entries=16, show_spinner="Reading it, which stores nothing")
def _read(root: str, request: ImportRequest, key: str, pairs_revision: int) -> Reading:  # noqa: ARG001 (cache's key)
    try:
        return Reading(tuple(read_preview(Path(root), request)))
    except MarsError as error:
        return Reading(wrong=(error.found, error.expected, error.remedy))


def _start(desk: Desk, request: ImportRequest) -> None:
    try:
        with st.spinner("Starting"):
            run = desk.start_job(*request.command())
    except MarsError as error:
        show_error(error)
        return
    st.session_state[STARTED] = run.id
    for name in (UPLOAD, HUB):
        if name in st.query_params:
            del st.query_params[name]
    st.rerun()
