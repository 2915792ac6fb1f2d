"""Blind comparison on the Align page: setting one up, voting, the result, and the votes as pairs."""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from mars_engine.align.blind.as_pairs import add_votes_as_pairs
from mars_engine.align.blind.comparing import begin_comparison
from mars_engine.align.blind.sheets import load_sheet
from mars_engine.align.blind.votes import ComparisonResult, comparison_result, has_seen_result, standing_votes
from mars_engine.core.errors import LoadError, MarsError
from mars_engine.core.import_records import ImportReport
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Split, prompt_id
from mars_engine.core.review_records import Comparison, ComparisonVote
from mars_engine.service.aligned import SheetFile, sheets_at_hand
from mars_engine.service.desk import Desk
from mars_engine.service.uploads import find_upload, save_upload
from pages.parts.align.compare_card import draw_card
from pages.parts.frame.forms import verbatim
from pages.parts.frame.page import empty_state, show_error
from pages.parts.review.reading import READING_STYLE, ask_name

COMPARISON, ANSWERS = "comparison", "answers"
"""Names in the query parameters: the comparison that is open, and the keys of uploaded files of answers."""
ADDED = "votes added"
"""Name in the session state of the report of an import, by comparison."""
USUAL_PROMPTS, MOST_PROMPTS = 20, 200
SPLITS: dict[Split, str] = {"train": "To train on", "heldout": "Held out, to evaluate on"}


def draw_comparing(desk: Desk) -> None:
    """Draw the comparison that the address names; else those that there are, and the form that begins one."""
    asked = st.query_params.get(COMPARISON, "")
    comparison = desk.store.comparisons.get(asked) if asked else None
    if comparison is not None:
        _draw_comparison(desk, comparison)
        return
    if asked:
        st.text(f"⚠ There is no comparison {asked[:40]!r} in this workspace.")
    with st.container(width=220):
        name = ask_name()
    if not name:
        empty_state("Say who you are.", to_do="Write your name above and press Enter: votes are stored under it.")
        return
    _draw_setup(desk, name)
    _draw_earlier(desk, name)


# ---------------------------------------------------------------------------------------------------- setting up


def _draw_setup(desk: Desk, name: str) -> None:
    st.subheader("Begin a comparison", anchor=False)
    sheets = [*_uploaded(desk), *sheets_at_hand(desk.workspace)]
    if len(sheets) < 2:
        empty_state(
            "There are no two policies' answers to compare yet."
            if not sheets
            else "There is one file of answers, and it takes two.",
            to_do="Train a policy or pick the best of n here, or add two files of recorded outputs in AlpacaEval's "
            'format: a JSON list of {"instruction", "output", "generator"}, one file a policy.',
        )
    else:
        _draw_choice(desk, sheets, name)
    with st.expander("Add files of answers", icon=":material/upload_file:", expanded=not sheets):
        _draw_uploader(desk)


def _draw_choice(desk: Desk, sheets: Sequence[SheetFile], name: str) -> None:
    labels = {str(each.path): f"{each.name} · {each.prompts:,} prompts · {each.source}" for each in sheets}
    paths = list(labels)
    left, right = st.columns(2)
    first = left.selectbox("Baseline", paths, index=1, format_func=labels.__getitem__, key="compare-first")
    second = right.selectbox("Policy", paths, index=0, format_func=labels.__getitem__, key="compare-second")
    count, seed, _ = st.columns([1, 1, 2])
    most = int(count.number_input("Prompts", 1, MOST_PROMPTS, USUAL_PROMPTS, key="compare-prompts"))
    drawn = int(
        seed.number_input("Seed", 0, 2**31 - 1, 0, key="compare-seed", help="Draws the prompts and shuffles the sides.")
    )
    st.text(
        "Sides are shuffled and names hidden. A vote is stored at once; several people may vote on the same prompts."
    )
    if not st.button("Begin", type="primary", icon=":material/visibility_off:", key="compare-begin"):
        return
    by_path = {str(each.path): each for each in sheets}
    try:
        sides = [load_sheet(Path(path), name=by_path[path].name) for path in (first, second)]
        sources = dict.fromkeys(by_path[path].source for path in (first, second))
        comparison = begin_comparison(
            desk.store, *sides, source=" and ".join(sources), seed=drawn, made_by=name, clock=desk.clock,
            most_prompts=most,
        )  # fmt: skip
    except MarsError as error:
        show_error(error)
        return
    st.query_params[COMPARISON] = comparison.id
    st.rerun()


def _uploaded(desk: Desk) -> list[SheetFile]:
    found = []
    for key in filter(None, st.query_params.get(ANSWERS, "").split(",")):
        upload = find_upload(desk.workspace, key)
        if upload is None:
            continue
        try:
            sheet = load_sheet(upload.path)
        except LoadError as error:
            show_error(error)
            continue
        found.append(SheetFile(upload.path, sheet.name, f"the file {upload.path.name}", len(sheet.answers)))
    return found


def _draw_uploader(desk: Desk) -> None:
    files = st.file_uploader(
        "Recorded outputs in AlpacaEval's format, one file a policy",
        type=["json", "jsonl"],
        accept_multiple_files=True,
        key=f"compare-files-{st.query_params.get(ANSWERS, '')}",
    )
    if not files:
        return
    try:
        keys = [save_upload(desk.workspace, file.name, file).key for file in files]
    except MarsError as error:
        show_error(error)
        return
    known = list(filter(None, st.query_params.get(ANSWERS, "").split(",")))
    st.query_params[ANSWERS] = ",".join(dict.fromkeys([*keys, *known]))
    st.rerun()


def _draw_earlier(desk: Desk, name: str) -> None:
    comparisons = desk.store.comparisons.all()
    if not comparisons:
        return
    st.subheader("Comparisons", anchor=False)
    for each in comparisons:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.text(f"{each.second} against {each.first}\n{_how_far(desk, each, name)}", width="stretch")
            if st.button("Open", icon=":material/arrow_forward:", key=f"open-{each.id}"):
                st.query_params[COMPARISON] = each.id
                st.rerun()


def _how_far(desk: Desk, comparison: Comparison, name: str) -> str:
    votes = desk.store.comparisons.votes(comparison.id)
    mine = sum(each.vote != "skip" for each in standing_votes(votes).get(name, {}).values())
    people = len({vote.annotator for vote in votes})
    prompts = len(desk.store.comparisons.answers(comparison.id))
    ended = "you have seen the result" if has_seen_result(votes, name) else f"{mine:,} of {prompts:,} decided by you"
    return f"{ended} · {people:,} {'person has' if people == 1 else 'people have'} voted · {comparison.source}"


# -------------------------------------------------------------------------------------------------------- voting


def _draw_comparison(desk: Desk, comparison: Comparison) -> None:
    st.html(READING_STYLE)
    with st.container(horizontal=True, vertical_alignment="bottom", key="reading-choices"):
        name = ask_name()
        if st.button("All comparisons", icon=":material/arrow_back:", key="compare-back"):
            del st.query_params[COMPARISON]
            st.rerun()
    if not name:
        empty_state("Say who you are.", to_do="Write your name above and press Enter: votes are stored under it.")
        return
    votes = desk.store.comparisons.votes(comparison.id)
    if has_seen_result(votes, name):
        _draw_result(desk, comparison, votes)
    draw_card(desk, comparison, name)


def _draw_result(desk: Desk, comparison: Comparison, votes: Sequence[ComparisonVote]) -> None:
    prompts = len(desk.store.comparisons.answers(comparison.id))
    result = comparison_result(comparison, votes, prompts, config=desk.config.evaluate)
    wins = result.wins
    st.subheader(verbatim(f"{comparison.second} against {comparison.first}"), anchor=False)
    if not wins.n_total:
        st.text("Nobody has decided about a prompt, so there is no win rate.")
        return
    columns = st.columns([2, 1, 1, 1])
    columns[0].metric(
        "Win rate", f"{wins.win_rate:.0f}%", help="Wins, and half of the ties. The interval is over prompts."
    )
    columns[0].text(f"{wins.interval.level:.0%} interval {wins.interval.low:.0f} to {wins.interval.high:.0f}%")
    for column, label, count in zip(
        columns[1:], ("Won", "Tied", "Lost"), (wins.n_wins, wins.n_draws, wins.n_wins_base), strict=True
    ):
        column.metric(label, f"{count:,}")
    st.text("\n".join(_said_of(result, comparison)))
    _draw_as_pairs(desk, comparison)


def _said_of(result: ComparisonResult, comparison: Comparison) -> list[str]:
    wins = result.wins
    is_clear = not wins.interval.low <= 50 <= wins.interval.high
    better = comparison.second if wins.win_rate > 50 else comparison.first
    said = [
        f"{better} is better by more than chance explains."
        if is_clear
        else "Too few prompts to tell the two apart: the interval has 50% in it.",
        f"{wins.n_total:,} of {result.prompts:,} prompts, {result.votes:,} votes by {', '.join(result.people)}; "
        f"from {comparison.source}.",
    ]
    if result.decided_by_several:
        said.append(f"Several people decided about {result.decided_by_several:,}, and agreed on {result.agreed:,}.")
    if not result.left_side.interval.low <= 50 <= result.left_side.interval.high:
        said.append(
            f"⚠ The answer on the left was preferred in {result.left_side.win_rate:.0f}% of votes, more or less often "
            "than chance explains: the side may have decided, not the answer."
        )
    if comparison.left_out:
        counted = "; ".join(f"{count:,} × {reason}" for reason, count in comparison.left_out.items())
        said.append(f"Not compared: {counted}.")
    return said


# ------------------------------------------------------------------------------------------------------ as pairs


def _draw_as_pairs(desk: Desk, comparison: Comparison) -> None:
    with st.container(border=True):
        st.text("The better answers as chosen, the others as rejected: votes are preference pairs. Ties are left out.")
        shared = _prompts_held_out(desk, comparison)
        if shared:
            st.text(
                f"⚠ {shared:,} of the prompts are those of held-out pairs: trained on, they would flatter the held-out "
                "accuracy a little. Held out, they make the evaluation larger."
            )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            split: Split = st.segmented_control(
                "The pairs are",
                list(SPLITS),
                default="train",
                required=True,
                format_func=SPLITS.__getitem__,
                key="votes-split",
            )
            if st.button("Add the votes as pairs", type="primary", icon=":material/add:", key="add-votes"):
                _add(desk, comparison, split)
        report = st.session_state.get(f"{ADDED} {comparison.id}")
        if report is not None:
            st.text(_said_of_import(report))
            st.page_link("pages/train.py", label="Train on them", icon=":material/arrow_forward:")


def _add(desk: Desk, comparison: Comparison, split: Split) -> None:
    try:
        report = add_votes_as_pairs(desk.store, comparison, clock=desk.clock, progress=SilentProgress(), split=split)
    except MarsError as error:
        show_error(error)
        return
    st.session_state[f"{ADDED} {comparison.id}"] = report


def _said_of_import(report: ImportReport) -> str:
    added = f"✓ {report.kept:,} {'pair' if report.kept == 1 else 'pairs'} added, {SPLITS[report.split].lower()}"
    before = f"; {report.already_present:,} were there before" if report.already_present else ""
    dropped = "".join(f"; {count:,} × {reason}" for reason, count in report.dropped.items())
    return f"{added}{before}{dropped}. The set {report.name!r} is on the Data page."


def _prompts_held_out(desk: Desk, comparison: Comparison) -> int:
    ids = [prompt_id(each.prompt) for each in desk.store.comparisons.answers(comparison.id)]
    return len(desk.store.pairs.prompts_present("heldout", ids))
