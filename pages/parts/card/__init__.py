"""The card: one component for Check and Review, which holds the next cards and moves on in the browser.

What a person decides stands in the component's log, in the browser, until the database has it. The log comes here as
the whole list of what is not acknowledged yet, again and again if need be; storing it twice changes nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from mars_engine.core.errors import StoreError
from mars_engine.core.records import content_id
from mars_engine.curate.decision_log import LogOutcome, outcome_as_json, take_log
from mars_engine.curate.deck import Deal, as_json, deal
from mars_engine.curate.reading import Reading
from mars_engine.service.desk import Desk
from pages.parts.review.keys import load_keys

FOLDER = Path(__file__).parent
SCRIPTS = (
    "words.js",
    "element.js",
    "mounting.js",
    "keyboard.js",
    "difference.js",
    "log.js",
    "drawing.js",
    "grid.js",
    "dealing.js",
    "deciding.js",
    "card.js",
)
"""Parts of one script, in the order in which they build on each other."""

CARDS: dict[str, tuple[int, int]] = {"card": (15, 60), "grid": (48, 240)}
"""The fewest and the most cards that the browser holds, by view."""

FAIR_SHARE = 5
"""One person holds no more than one in so many of the cards that wait: several may read in a small workspace."""

BLIND = "blind"
"""Name of the query parameter that says whether labels are hidden."""

View = Literal["card", "grid"]


def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


_component = st.components.v2.component("mars_card", js="\n".join(map(_file, SCRIPTS)), css=_file("card.css"))
_whole_run = st.components.v2.component("mars_whole_run", js=_file("whole_run.js"))


@dataclass(frozen=True, slots=True)
class Dealing(Reading):
    """Which cards are dealt to whom, in which view."""

    view: View = "card"

    @property
    def by_gain(self) -> bool:
        """Whether the browser gets cards in the order in which proposals add most, which is made in the background."""
        return self.kind == "proposal" and self.order == "gain"

    @property
    def deck(self) -> str:
        """Identifies the cards that the browser is to hold: it changes when those it has are no longer wanted."""
        return content_id(self.kind, self.annotator, self.order, self.source, self.overlap_percent)


@dataclass(frozen=True, slots=True)
class _Request:
    """What the browser said last; nothing of it is trusted beyond its shape."""

    attempt: int = 0
    acts: tuple[Any, ...] = ()
    held: frozenset[str] = frozenset()
    blind: bool | None = None


def mount_whole_run() -> None:
    """What the card needs outside the fragment: a way to have the whole page run, where nothing else is answered."""
    _whole_run(key="whole-run", on_asked_change=_nothing)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the component is told next."""

    key: str
    attempt: int
    data: dict[str, Any]

    @property
    def nothing_waits(self) -> bool:
        """Whether no card is left: the annotator has decided about all that there is."""
        progress = self.data["progress"]
        return progress is not None and progress["waiting"] == 0


def answer_browser(desk: Desk, dealing: Dealing) -> Answer:
    """Store what was decided on the browser's cards, and deal the next ones. What is not stored stays in the browser.

    Raises:
        MarsError: the annotator's name cannot be used. A database that is out of order is no error here: the component
            says so, keeps what was decided, and asks again.
    """
    key = f"deck-{dealing.kind}-{content_id(dealing.annotator)}"
    request = _read_request(st.session_state.get(key))
    if request.blind is not None:
        _remember_blind(request.blind)
    return Answer(key, request.attempt, _answer(desk, dealing, request))


def mount(answer: Answer) -> None:
    """Show the card. Call it inside a fragment."""
    shown = _component(key=answer.key, data=answer.data, on_log_change=_nothing)
    if _read_request(shown).attempt != answer.attempt:
        # Only the first run of a session comes here: it learns what the browser kept from the session before.
        st.rerun()


def _nothing() -> None:
    """A state of the component has to have a callback; its value is read in every run instead."""


def _answer(desk: Desk, dealing: Dealing, request: _Request) -> dict[str, Any]:
    """What the component is told: what is stored now, and the next cards but for those that it holds."""
    outcome, problem = _take(desk, dealing, request)
    try:
        dealt = _deal(desk, dealing, request)
    except StoreError as error:
        dealt = NOT_DEALT
        problem = problem or f"The next cards cannot be read at the moment; they come as soon as they can be. {error}"
    return {
        "kind": dealing.kind,
        "annotator": dealing.annotator,
        "workspace": content_id(str(desk.root)),
        "deck": dealing.deck,
        "view": dealing.view,
        "attempt": request.attempt,
        **outcome_as_json(outcome),
        "returned": list(outcome.items) if _has_undo(request) else [],
        **dealt,
        "problem": problem,
        "keys": load_keys(desk, dealing.kind),
        "blind": st.query_params.get(BLIND) == "1",
        "differences": True,
        "read_only": dealing.read_only,
    }


NOT_DEALT: dict[str, Any] = {"queue": None, "last_sequence": 0, "progress": None, "grids": {}, "gains": {}}
"""What the component is told where the database cannot be read: it keeps the cards that it has, and asks again."""


def deal_cards(desk: Desk, dealing: Dealing, *, limit_cards: int, held: Collection[str] = ()) -> Deal:
    """Deal the browser the next cards of a reading, but for those that it holds already."""
    return deal(
        desk.deck_cache,
        desk.index(),
        desk.config,
        dealing,
        clock=desk.clock,
        limit_cards=limit_cards,
        held=held,
        gains=desk.gains.look("proposal").figures if dealing.by_gain else None,
    )


def _deal(desk: Desk, dealing: Dealing, request: _Request) -> dict[str, Any]:
    """The next cards, what was decided last, and how far the annotator has come."""
    dealt = as_json(deal_cards(desk, dealing, limit_cards=_cards_to_hold(dealing), held=request.held))
    st.session_state[_waiting_name(dealing)] = dealt["progress"]["waiting"]
    told = {name: dealt[name] for name in ("queue", "last_sequence", "progress", "grids", "gains")}
    return {**told, **_cards(dealt)}


def _cards_to_hold(dealing: Dealing) -> int:
    """How many cards to deal: few at first, so that the first is there at once; then by how many wait."""
    fewest, most = CARDS[dealing.view]
    return min(max(fewest, int(st.session_state.get(_waiting_name(dealing), 0)) // FAIR_SHARE), most)


def _waiting_name(dealing: Dealing) -> str:
    return f"waiting-{dealing.kind}"


def _take(desk: Desk, dealing: Dealing, request: _Request) -> tuple[LogOutcome, str]:
    """Store the browser's acts; where the database cannot be written they stay in the browser, which says so."""
    nothing = LogOutcome((), (), ())
    if not request.acts or dealing.read_only:
        return nothing, ""
    try:
        outcome = take_log(
            desk.store, kind=dealing.kind, annotator=dealing.annotator, acts=list(request.acts), clock=desk.clock
        )
    except StoreError as error:
        return nothing, f"Your decisions could not be stored yet, and are kept in this browser. {error}"
    return outcome, ""


def _cards(dealt: dict[str, Any]) -> dict[str, Any]:
    """What was decided last, and the texts that the browser lacks of it and of the queue."""
    looked_back = [act["card"] for act in dealt["recent"] if act["card"] is not None]
    texts = {card["id"]: card for card in [*looked_back, *dealt["cards"]]}
    return {
        "recent": [{"id": act["id"], "decision": act["decision"]} for act in dealt["recent"]],
        "has_older": bool(dealt["recent"]),
        "cards": list(texts.values()),
    }


def _has_undo(request: _Request) -> bool:
    return any(isinstance(act, dict) and act.get("action") == "undo" for act in request.acts)


def _remember_blind(blind: bool) -> None:
    if blind and st.query_params.get(BLIND) != "1":
        st.query_params[BLIND] = "1"
    elif not blind and BLIND in st.query_params:
        del st.query_params[BLIND]


def _read_request(state: Any) -> _Request:
    """Read what the component asks for. Malformed state is treated as empty."""
    log = state.get("log") if hasattr(state, "get") else None
    if not isinstance(log, dict):
        return _Request()
    attempt, acts, held, blind = (log.get(name) for name in ("attempt", "acts", "held", "blind"))
    return _Request(
        attempt=attempt if isinstance(attempt, int) else 0,
        acts=tuple(acts) if isinstance(acts, list) else (),
        held=frozenset(str(each) for each in held) if isinstance(held, list) else frozenset(),
        blind=blind if isinstance(blind, bool) else None,
    )
