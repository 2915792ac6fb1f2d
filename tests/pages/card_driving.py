"""Driving the card in a browser: pressing keys as a person does, and seeing which card was painted at each press."""

import json
import time
from dataclasses import dataclass
from typing import Any

from serving_app import AppServer

FIND_DECK = """
const deck = () => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')]
  .map((host) => host.shadowRoot?.querySelector('.deck')).find(Boolean);
"""

RECORDER = (
    """
(() => {"""
    + FIND_DECK
    + """
if (window.testSockets) return;  // another driver of this tab has brought it along
window.testSockets = [];
window.WebSocket = class extends window.WebSocket {
  constructor(...given) { super(...given); window.testSockets.push(this); }
};
const store = (name, entry) => {
  localStorage.setItem(name, (localStorage.getItem(name) || '') + JSON.stringify(entry) + '\\n');
};
window.addEventListener('keydown', (event) => {
  const found = deck();
  if (!found || event.key === 'Shift') return;
  const before = found.dataset.painted || '';
  const started = event.timeStamp;
  store('test:presses', {key: event.key, painted: before, card: found.dataset.card || ''});
  const watch = () => {
    if (deck()?.dataset.painted !== before) store('test:paints', performance.now() - started);
    else if (performance.now() - started < 1000) requestAnimationFrame(watch);
  };
  requestAnimationFrame(watch);
}, true);
})();
"""
)
"""Keeps in localStorage, across reloads, each key with the card painted when it came, and how long the next one took.

It is there before the card is, so that it sees each key first; and it knows the page's sockets.
"""

PRESSER = (
    FIND_DECK
    + """
const [keys, pace, cards] = arguments;
const seen = new Set();
let number = 0;
window.testPressing = setInterval(() => {
  const found = deck();
  const painted = found?.dataset.painted;
  if (painted && seen.size === cards && !seen.has(painted)) {
    clearInterval(window.testPressing);
    window.testPressing = 0;
    return;
  }
  if (painted) seen.add(painted);
  const key = keys[number++ % keys.length];
  document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, composed: true, cancelable: true}));
}, pace);
"""
)
"""Presses keys at a pace, inside the page, until another card is painted than the given number that were."""


@dataclass(frozen=True)
class Press:
    """A key, and the card that was painted when it was pressed."""

    key: str
    painted: str
    decides: bool
    """Whether that card was still to be decided; otherwise it was decided a moment ago and the next not painted yet."""


class CardDriver:
    """A page with a card, in a browser of `open_browser`."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": RECORDER})

    def open(self, address: str) -> None:
        self.browser.get(address)
        self.wait_for_card()

    def deck(self, expression: str) -> Any:
        """A JavaScript expression of `found`, the deck's element; None where there is no deck."""
        script = f"{FIND_DECK} const found = deck(); return found ? ({expression}) : null;"
        return self.browser.execute_script(script)

    @property
    def painted(self) -> str:
        """Id of the card that is painted; "" where none is."""
        return str(self.deck("found.dataset.painted") or "")

    @property
    def unsaved(self) -> int:
        return int(self.deck("found.dataset.unsaved") or 0)

    def text(self, selector: str) -> str:
        return str(self.deck(f"found.querySelector({selector!r})?.textContent") or "")

    def wait(self, is_so: Any, what: str, *, seconds: float = 30) -> Any:
        """Wait until `is_so()` is true, and return what it returned."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = is_so()
            if found:
                return found
            time.sleep(0.05)
        shown = self.deck("found.innerText") or self.browser.execute_script("return document.body.innerText")
        raise AssertionError(f"after {seconds} s still not: {what}; the page shows: {shown}")

    def wait_for_card(self, card: str = "") -> str:
        return str(
            self.wait(lambda: self.painted and self.painted in (card or self.painted) and self.painted, "a card")
        )

    def wait_until_saved(self, *, seconds: float = 30) -> None:
        self.wait(lambda: self.deck("found.dataset.unsaved") == "0", "everything saved", seconds=seconds)

    def press(self, key: str, *, modifiers: int = 0) -> None:
        """Press and let go of a key, through the browser's own input."""
        named = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}
        code = {"windowsVirtualKeyCode": named[key]} if key in named else {}
        text = {"text": key} if len(key) == 1 and not modifiers else {"text": "\r"} if key == "Enter" else {}
        common = {"key": key, "modifiers": modifiers, **code}
        self.browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyDown", **common, **text})
        self.browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", **common})

    def press_while_gone(self, key: str) -> None:
        """Press a key while the card has left the page and is not closed yet.

        Streamlit may draw the page anew when a connection comes back: it takes the card away, and closes it later.
        """
        self.deck("window.testLeft = [found, found.parentNode], found.remove()")
        self.press(key)
        self.browser.execute_script("const [left, place] = window.testLeft; place.append(left)")

    def press_next(self, key: str) -> str:
        """Press a key that moves on, and return the card that is painted then."""
        before = self.painted
        self.press(key)
        self.wait(lambda: self.painted != before, f"another card than {before} after {key!r}")
        return self.painted

    def write(self, text: str) -> None:
        """Write into the field that has the focus."""
        self.browser.execute_cdp_cmd("Input.insertText", {"text": text})

    def keep_pressing(self, keys: str, *, milliseconds: int, cards: int) -> None:
        """Begin to press these keys in turn at a pace, until so many cards were painted and another one is."""
        self.browser.execute_script(PRESSER, keys, milliseconds, cards)

    @property
    def is_pressing(self) -> bool:
        return bool(self.browser.execute_script("return window.testPressing"))

    def cut_sockets(self) -> None:
        """Close the page's connections to the server, as a network does."""
        self.browser.execute_script("window.testSockets.forEach((socket) => socket.close())")

    def _recorded(self, name: str) -> list[Any]:
        lines = self.browser.execute_script("return localStorage.getItem(arguments[0]) || ''", f"test:{name}")
        return [json.loads(line) for line in str(lines).splitlines()]

    def presses(self) -> list[Press]:
        """All presses since the browser was opened, reloads included."""
        return [
            Press(each["key"], each["painted"], each["painted"] != "" and each["painted"] == each["card"])
            for each in self._recorded("presses")
        ]

    def paint_times(self) -> list[float]:
        """Milliseconds from each press that moved on to the next card painted."""
        return [float(each) for each in self._recorded("paints")]


def open_card(browser: Any, server: AppServer, page: str, name: str, more: str = "") -> CardDriver:
    driver = CardDriver(browser)
    driver.open(f"{server.address}/{page}?who={name}{more}")
    return driver
