"""Live figures beside the card: what the decisions made so far do to the reward model. They never hold up a card."""

from collections.abc import Callable

import streamlit as st

from mars_engine.core.errors import MarsError
from mars_engine.core.review_records import ItemKind
from mars_engine.curate.live import LiveFigures
from mars_engine.service.desk import Desk
from pages.parts.drawing.numbers import change_of, true_minus
from pages.parts.frame.page import annotator, show_error
from pages.parts.frame.words import explain

MILLISECONDS_BETWEEN_LOOKS = 2_000

PULSE = """
const timers = new WeakMap();

export default function ({ parentElement, data, setTriggerValue }) {
  parentElement.querySelector("span").textContent = data.says;
  window.marsMoved = data.moved;
  window.dispatchEvent(new Event("mars:moved"));
  window.clearInterval(timers.get(parentElement));
  if (!data.milliseconds) return;
  const look = () => {
    if (Date.now() - (window.marsLogSentAt ?? 0) < 100) return; // the answer to that request looks too
    window.marsLookedAt = Date.now();
    setTriggerValue("look", Date.now());
  };
  const timer = window.setInterval(look, data.milliseconds);
  timers.set(parentElement, timer);
  return () => window.clearInterval(timer);
}
"""
PULSE_STYLE = "span { font: 0.875rem var(--st-font); color: var(--st-text-color); }"
_pulse = st.components.v2.component("mars_live_pulse", html="<span role='status'></span>", css=PULSE_STYLE, js=PULSE)
"""Runs the fragment again every now and then, if asked to. A fragment's own timer cannot be ended without running the
whole page. Two requests in one moment become one, which runs the fragment of the first alone; so this and the card's
log (`dealing.js`) each tell on `window` when they asked, and keep out of the other's way. How the last item's margin
moved is told there too, for the card to say it where one looks."""

QUEUE_NAMES: dict[ItemKind, str] = {"pair": "undecided suspects", "proposal": "sources of pending proposals"}
UNREAD_NAME = "sources of proposals that no person has read"


def draw_live(
    desk: Desk, kind: ItemKind, draw_first: Callable[[Desk], bool] | None = None, *, of_unread: bool = False
) -> None:
    """Show the newest live figures and how they changed since the page was opened. Call it where decisions are stored.

    A refit runs in the worker; the browser asks for its result every two seconds, only while one is under way.

    Args:
        desk: the workspace.
        kind: what is decided about.
        draw_first: draws something else that is made in the background, and returns whether it is under way.
        of_unread: whether the queue is of all that no person has read, whatever a policy has decided.
    """
    st.fragment(_draw)(desk, kind, draw_first, of_unread)


def _name(kind: ItemKind) -> str:
    return f"live-{kind}"


def _draw(desk: Desk, kind: ItemKind, draw_first: Callable[[Desk], bool] | None, of_unread: bool) -> None:
    is_more_under_way = draw_first(desk) if draw_first is not None else False
    try:
        view = desk.live.look(kind)
    except MarsError as error:
        show_error(error)
        return
    figures = view.figures
    if view.error is not None:
        show_error(view.error)
        return
    is_under_way = view.under_way or is_more_under_way
    with st.container(border=True):
        if figures is not None:
            opened: LiveFigures = st.session_state.setdefault(f"{_name(kind)}-opened", figures)
        if figures is None:
            st.text("The first live figures are being made.")
        elif figures.decisions == 0:
            st.text("Live figures start with the first decision.")
        else:
            _show(figures, opened, of_unread=of_unread)
        _pulse(
            key=f"{_name(kind)}-pulse",
            data={
                "milliseconds": MILLISECONDS_BETWEEN_LOOKS if is_under_way else 0,
                "says": "Refitting …" if is_under_way else "Up to date.",
                "moved": _last_moved(figures),
            },
            on_look_change=_nothing,
        )


def _last_moved(figures: LiveFigures | None) -> dict[str, str | float] | None:
    """How the margin of the item moved that the annotator decided last, for the card to tell; None if not known."""
    moved = figures.moved.get(annotator()) if figures is not None else None
    return {"item": moved.item_id, "before": moved.before, "after": moved.after} if moved is not None else None


def _nothing() -> None:
    """A trigger has to have a callback; that it runs the fragment again is all that is wanted."""


def _show(figures: LiveFigures, opened: LiveFigures, *, of_unread: bool) -> None:
    with st.container(horizontal=True):
        if figures.heldout_pairs:
            _metric(
                f"accuracy on {figures.heldout_pairs:,} held-out pairs (%)",
                100 * figures.heldout_accuracy,
                100 * opened.heldout_accuracy,
                "{:.1f}".format,
            )
        if of_unread and figures.unread_pairs:
            _metric(
                f"mean margin of {figures.unread_pairs:,} {UNREAD_NAME} (reward units)",
                figures.unread_margin,
                opened.unread_margin,
                "{:.3f}".format,
            )
        elif not of_unread and figures.queue_pairs:
            _metric(
                f"mean margin of {figures.queue_pairs:,} {QUEUE_NAMES[figures.kind]} (reward units)",
                figures.queue_margin,
                opened.queue_margin,
                "{:.3f}".format,
            )
        _metric(
            "curvature of the loss, trace",
            figures.curvature.trace,
            opened.curvature.trace,
            "{:.4f}".format,
            good_when_higher=False,
        )
        moved = figures.moved.get(annotator())
        if moved is not None:
            _metric("margin of your last item (reward units)", moved.after, moved.before, "{:+.3f}".format)
    st.text(true_minus("\n".join(_lines(figures))))
    explain("curvature", "effective rank")


def _metric(
    label: str, value: float, before: float, form: Callable[[float], str], *, good_when_higher: bool = True
) -> None:
    """Show a figure and its change, which is left out where it does not show in the digits."""
    change = value - before
    shows = form(abs(change)).strip("+") != form(0.0).strip("+")
    size = form(abs(change)).strip("+")
    told = change_of(f"{'+' if change > 0 else '-'}{size}", change, good_when_higher=good_when_higher or None)
    st.metric(label, true_minus(form(value)), **(told if shows else {}), width="content")


def _lines(figures: LiveFigures) -> list[str]:
    """What stands below the figures, in plain words."""
    lines = []
    if not figures.heldout_pairs:
        lines.append("There are no held-out pairs, so the accuracy is not known. Import some under Data.")
    gain = figures.gain
    if gain is not None:
        lines.append(
            f"Checking the other {gain.open_suspects:,} suspects may change the accuracy by {100 * gain.accuracy:+.1f} "
            f"points, if they turn out as the {gain.judged:,} decided so far, {gain.mislabel_rate:.0%} of which were "
            "flipped or dropped."
        )
    curvature = figures.curvature
    lines.append(
        f"Curvature: eigenvalues {curvature.smallest:.2g} to {curvature.largest:.2g}, "
        f"effective rank {curvature.effective_rank:.1f}."
    )
    lines.append(
        f"Decisions counted: {figures.decisions:,}. Refitted on {figures.base_pairs:,} pairs and {figures.proposals:,} "
        f"accepted proposals in {figures.seconds:.1f} s. Changes are since this page was opened, your last item's "
        "since the refit before."
    )
    if figures.sample:
        lines.append(f"A sample: {figures.sample}.")
    return lines
