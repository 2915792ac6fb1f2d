"""Around the card of Check and Review: who reads, which cards in which order, and the card itself."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import streamlit as st

from mars_engine.core.config import ReviewConfig
from mars_engine.core.errors import MarsError
from mars_engine.core.review_records import ItemKind
from mars_engine.curate.gain_order import GainOrder
from mars_engine.curate.reading import ALL, ORDERS, UNREAD
from mars_engine.service.desk import Desk
from pages.parts.card import Dealing, answer_browser, deal_cards, mount, mount_whole_run
from pages.parts.frame.forms import verbatim
from pages.parts.frame.page import ANNOTATOR, annotator, empty_state, show_error
from pages.parts.frame.sign_in import offered_name
from pages.parts.review.live import draw_live

WHO, SET, ORDER = "who", "set", "order"
"""Names in the query parameters: the annotator, the id of a set of pairs, and what is read first."""

UNKNOWN_SET = "unknown set"
"""Names in the session state, with the kind behind it, a set that an address named and that is not here."""

UNREAD_NAME = "All that no person has read"

WHAT_TO_READ = "What to read"
"""Label of what holds the choices, so that they do not stand between a person on a small screen and the card."""

READING_STYLE = """
<style>
  .st-key-reading-choices [data-testid="stButtonGroup"] button { min-height: 2.5rem; }
  [data-testid="stLayoutWrapper"]:has(> .st-key-stakes-in-short) { display: none; }
  @media (max-width: 640px) {
    .stMainBlockContainer { padding-top: 3.5rem; }
    .stMainBlockContainer > [data-testid="stVerticalBlock"] { gap: .5rem; }
    .stMainBlockContainer [data-testid="stHeading"] h1 { font-size: 1.4rem; padding: 0; }
    .stMainBlockContainer [data-testid="stHeading"] div { margin-bottom: 0 !important; }
    [data-testid="stLayoutWrapper"]:has(> .st-key-purpose) { display: none; }
    [data-testid="stLayoutWrapper"]:has(> .st-key-stakes) { display: none; }
    [data-testid="stLayoutWrapper"]:has(> .st-key-stakes-in-short) { display: flex; }
    .st-key-stakes-in-short [data-testid="stText"] { font-size: .85rem; line-height: 1.3; }
    .st-key-reading-choices { gap: .4rem; }
    .st-key-reading-choices [data-testid="stWidgetLabel"] { display: none; }
    .st-key-reading-choices [data-testid="stElementContainer"][class*="-order"] { order: 1; flex: 1 1 100%; }
    .st-key-reading-choices [class*="-order"] [data-testid="stSelectbox"] { display: flex; gap: .5rem; }
    .st-key-reading-choices [class*="-order"] [data-testid="stSelectbox"] > * { flex: 1 1 auto; min-width: 0; }
    .st-key-reading-choices [class*="-order"] label { display: flex; flex: 0 0 auto !important; margin: 0; }
    .st-key-reading-choices [data-testid="stElementContainer"] { width: auto; min-width: 0; flex: 0 0 auto; }
    .st-key-reading-choices [data-testid="stElementContainer"]:has(input) { flex: 1 1 4rem; }
    .st-key-reading-choices button { padding-left: .5rem; padding-right: .5rem; white-space: nowrap; }
    .st-key-reading-choices [data-testid="stPopover"] [data-testid="stIconMaterial"]:first-child { display: none; }
  }
</style>
"""
"""On a small screen: choices on one line, and what is not needed to decide a card below it or left out."""

ORDER_NAMES: Mapping[ItemKind, Mapping[str, str]] = {
    "pair": {
        "plan": "Suspected mislabels, then lowest margins",
        "margin": "Lowest margins",
        "random": "By chance",
    },
    "proposal": {
        "plan": "As the plan spends",
        "margin": "Lowest margins of the source",
        "gain": "Most expected information",
        "distance": "Most contrast lost",
        "random": "By chance",
    },
}


def ask_name() -> str:
    """Ask who reviews: a signed-in user is known, else this machine's user is offered. "" where nobody is named."""
    signed_in = annotator() if st.user.to_dict() else ""
    if signed_in:
        st.text(f"You read as {signed_in}.")
        return signed_in
    if WHO not in st.session_state and WHO not in st.query_params:
        st.session_state[WHO] = annotator() or offered_name()
    name = st.text_input(
        "Your name",
        key=WHO,
        bind="query-params",
        max_chars=80,
        placeholder="Decisions are stored under it",
        help="Decisions are stored under it; write another where somebody else reads.",
        width=200,
        autocomplete="nickname",
    )
    st.session_state[ANNOTATOR] = name.strip()
    return name.strip()


def choose_order(desk: Desk, kind: ItemKind) -> str:
    """Ask what comes first; the address says it where it is not as configured, so that a link opens it."""
    names = ORDER_NAMES[kind]
    orders = _orders(kind)
    configured = _configured_order(desk, kind)
    chosen = str(
        st.selectbox(
            "Read first",
            orders,
            index=orders.index(_asked_order(desk, kind)),
            format_func=lambda order: names[order],
            key=f"{'check' if kind == 'pair' else 'review'}-order",
            width=270,
            help=verbatim(ReviewConfig.model_fields["order"].description or ""),
        )
    )
    if chosen != configured:
        st.query_params[ORDER] = chosen
    elif ORDER in st.query_params:
        del st.query_params[ORDER]
    return chosen


def _orders(kind: ItemKind) -> list[str]:
    return [order for order in ORDERS[kind] if order in ORDER_NAMES[kind]]


def _configured_order(desk: Desk, kind: ItemKind) -> str:
    orders = _orders(kind)
    return desk.config.review.order if desk.config.review.order in orders else orders[0]


def _asked_order(desk: Desk, kind: ItemKind) -> str:
    """The order that the address names; as configured where it names none that there is."""
    asked = st.query_params.get(ORDER, "")
    return asked if asked in _orders(kind) else _configured_order(desk, kind)


def choose_source(desk: Desk, kind: ItemKind) -> str:
    """Ask for what is open, what no person has read, or a set; the address says which, so that a link opens it."""
    names = _source_names(desk, kind)
    asked = _asked_source(kind, names)
    if len(names) == 1:
        return ALL
    options = list(names)
    chosen = str(
        st.selectbox(
            "Proposals" if kind == "proposal" else "Pairs",
            options,
            index=options.index(asked),
            format_func=lambda source: names[source],
            width=260,
        )
    )
    if chosen != ALL:
        st.session_state.pop(f"{UNKNOWN_SET} {kind}", None)
        st.query_params[SET] = chosen
    elif SET in st.query_params:
        del st.query_params[SET]
    return chosen


def _source_names(desk: Desk, kind: ItemKind) -> dict[str, str]:
    """What can be read, by its name in the address."""
    names = {ALL: "All that is undecided"}
    if kind == "proposal":
        names[UNREAD] = UNREAD_NAME
    return names | {each.id: f"{each.name} ({each.pairs:,})" for each in desk.store.pair_sets.all()}


def _asked_source(kind: ItemKind, names: Collection[str]) -> str:
    """What the address asks to read; all where it names what is not here, which is kept to be said."""
    asked = st.query_params.get(SET, ALL)
    if asked in names:
        return asked
    st.session_state[f"{UNKNOWN_SET} {kind}"] = asked
    del st.query_params[SET]
    return ALL


def presented(desk: Desk, kind: ItemKind) -> Dealing:
    """The cards that an audience is shown: those that the address asks for, in the order that it names."""
    source = _asked_source(kind, _source_names(desk, kind))
    return Dealing(kind, "", _asked_order(desk, kind), source, read_only=True)


def say_unknown_set(kind: ItemKind) -> None:
    """Say that the set which the address named is not here; call it where the choice does not hide it."""
    if asked := st.session_state.get(f"{UNKNOWN_SET} {kind}"):
        st.text(f"⚠ There is no set {asked[:80]!r} in this workspace: all that is undecided comes up instead.")


def draw_deck(desk: Desk, dealing: Dealing, draw_figures: Callable[[Desk], None] | None = None) -> None:
    """The card, and above it what moves with every decision, on small screens below it.

    Only this is run again when something was decided.
    """
    st.html(READING_STYLE)
    say_unknown_set(dealing.kind)
    _draw_deck(desk, dealing, draw_figures)
    mount_whole_run()


@st.fragment
def _draw_deck(desk: Desk, dealing: Dealing, draw_figures: Callable[[Desk], None] | None) -> None:
    try:
        answer = answer_browser(desk, dealing)
        if draw_figures is not None:
            with st.container(key="deck-figures"):
                draw_figures(desk)
    except MarsError as error:
        show_error(error)
        return
    above = st.empty()  # always there, so that the card keeps its place on the page
    if answer.nothing_waits and not dealing.read_only:
        with above.container():
            draw_nothing_left(desk, dealing)
    mount(answer)
    if dealing.read_only:
        return
    draw_live(
        desk,
        dealing.kind,
        draw_gain_order if dealing.by_gain else None,
        of_unread=dealing.source == UNREAD,
    )


def draw_gain_order(desk: Desk) -> bool:
    """Say by what the cards are ordered, where that is made in the background; return whether it is under way."""
    try:
        view = desk.gains.look("proposal")
    except MarsError as error:
        show_error(error)
        return False
    if view.error is not None:
        show_error(view.error)
    if view.figures is not None:
        st.text("\n".join(_gain_lines(view.figures)))
    elif view.error is None:
        st.text("The order is being made. Until it is, proposals come by what each would add alone.")
    return view.under_way


def _gain_lines(order: GainOrder) -> list[str]:
    """By what the cards are ordered, in plain words."""
    some = order.one_by_one < order.waiting
    first = f"{order.one_by_one:,} of {order.waiting:,}" if some else f"{order.waiting:,}"
    lines = [
        f"Order: {first} waiting proposals were chosen one after another, each for what it is expected to add to what "
        f"is accepted and to those before it{'; the others come by what each adds alone' if some else ''}. It is made "
        "anew in the background as you decide."
    ]
    known = [chance for chance in order.chances if chance.decided]
    if known:
        said = "; ".join(
            f"{chance.method}, {'every gate passed' if chance.passed_gates else 'a gate failed'}: {chance.chance:.0%} "
            f"({chance.accepted:,} of {chance.decided:,} so far)"
            for chance in known
        )
        lines.append(f"Chance of being accepted, by which each counts: {said}.")
    else:
        lines.append("Nobody has decided yet, so that all count as equally likely to be accepted.")
    return lines


def draw_nothing_left(desk: Desk, dealing: Dealing) -> None:
    """Say that nothing waits, and what to do next: first of all to read what only a policy decided."""
    unread = _unread(desk, dealing)
    if unread:
        with st.container(border=True):
            alone = (
                "one of them alone: no person has read it."
                if unread == 1
                else (f"{unread:,} of them alone: no person has read these.")
            )
            st.text(f"All of these proposals are decided. A policy decided {alone}")
            if st.button(f"Read {UNREAD_NAME.lower()}", type="primary", icon=":material/menu_book:", key="read-unread"):
                st.query_params[SET] = UNREAD
                st.rerun()
            st.text("Or train on what was accepted, and see what it changed.")
            st.page_link("pages/train.py", label="Train", icon=":material/arrow_forward:")
    elif dealing.kind == "pair":
        empty_state(
            "All of these pairs are checked.",
            to_do="Review the proposals, or choose others under 'What to read' above.",
            page_path="pages/review.py",
            link="Review proposals",
        )
    else:
        empty_state(
            "All of these proposals are decided.",
            to_do="Train on what was accepted and see what it changed.",
            page_path="pages/train.py",
            link="Train",
        )


def _unread(desk: Desk, dealing: Dealing) -> int:
    """How many proposals wait that only a policy decided, where they are not what is being read."""
    if dealing.kind != "proposal" or dealing.source != ALL:
        return 0
    unread = replace(dealing, source=UNREAD, read_only=True)
    return deal_cards(desk, unread, limit_cards=1).progress.waiting
