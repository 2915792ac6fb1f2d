// Arrow keys, and the page keys of a presenter's clicker, press the buttons that lead on and back.
const BUTTONS = { ArrowRight: "next", PageDown: "next", ArrowLeft: "back", PageUp: "back" };
const OWN_KEYS = "input, textarea, select, [contenteditable], [role=tab], [role=slider], [role=combobox], [role=listbox]";

export default function () {
  const press = (event) => {
    const name = BUTTONS[event.key];
    if (!name || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const inner = event.composedPath()[0];
    if (inner instanceof Element && inner.closest(OWN_KEYS)) return;
    const button = document.querySelector(`.st-key-story-${name} button:not([disabled])`);
    if (!button) return;
    event.preventDefault();
    button.click();
  };
  document.addEventListener("keydown", press);
  document.body.dataset.storyKeys = "heard";
  return () => {
    document.removeEventListener("keydown", press);
    delete document.body.dataset.storyKeys;
  };
}
