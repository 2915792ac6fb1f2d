// A click on a point of a figure opens its pair. Streamlit tells of clicks only where nothing can be brushed.
const wired = new WeakSet();
let tell = () => {};

export default function ({ setTriggerValue }) {
  tell = (place) => setTriggerValue("place", place);
  const wire = (event) => {
    const graph = event.target instanceof Element && event.target.closest(".js-plotly-plot");
    if (!graph || !graph.on || wired.has(graph)) return;
    wired.add(graph);
    graph.on("plotly_click", ({ points }) => {
      const place = points.map((point) => point.customdata).flat().find((each) => each !== undefined);
      if (place !== undefined) tell(Number(place));
    });
  };
  const events = ["pointerover", "pointerdown"];
  events.forEach((name) => document.addEventListener(name, wire, true));
  return () => events.forEach((name) => document.removeEventListener(name, wire, true));
}
