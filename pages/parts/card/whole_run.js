// Runs the whole page again when the card asks for it. The card stands in a part of the page that is run by itself; a
// server that was started anew does not know that part before the whole page was run there once.

const listeners = new WeakMap();

export default function ({ parentElement, setStateValue }) {
  const asked = () => setStateValue("asked", Date.now());
  window.removeEventListener("mars:whole-run", listeners.get(parentElement));
  window.addEventListener("mars:whole-run", asked);
  listeners.set(parentElement, asked);
  return () => {
    if (listeners.get(parentElement) === asked) window.removeEventListener("mars:whole-run", asked);
  };
}
