// Many small cards at once, for the easy ones: filter, select, and decide in one act, which one undo takes back.

const TILES = 24; // on one page
const MOST_BEFORE_CHANGE = 60; // characters of a text before its first change

const GRID_BUTTONS = [
  ["accept", "Accept selected"],
  ["reject", "Reject selected"],
  ["flag", "Flag selected"],
  ["skip", "Skip selected"],
  ["note", "Note"],
  ["undo", "Undo"],
];

const GRID_TOOLS = [
  ["back", "Page before"],
  ["forward", "Next page"],
  ["differences", "Differences"],
  ["help", "Keys"],
];
const GRID_MEANING = { back: "turn to the page before", forward: "turn to the next page" };

class Grid {
  constructor(deck) {
    this.deck = deck;
    this.selected = new Set();
    this.tiles = []; // ids that are shown
    this.page = 0;
    this.filter = { passed: false, method: "", gain: "" };
  }

  get matching() {
    return this.deck.queue.filter((id) => this.matches(this.deck.cards.get(id)));
  }

  matches(card) {
    if (this.filter.passed && card.gates.some((gate) => !gate.passed)) return false;
    if (this.filter.method && card.method !== this.filter.method) return false;
    return this.filter.gain === "" || distanceGain(card) >= Number(this.filter.gain);
  }

  turn(step) {
    const pages = Math.max(1, Math.ceil(this.matching.length / TILES));
    this.page = Math.min(Math.max(this.page + step, 0), pages - 1);
    this.draw();
  }

  /** The ids to decide about: those selected that are on the screen. */
  chosen() {
    return this.tiles.filter((id) => this.selected.has(id));
  }

  /** Draw again if other cards are to be seen than are. */
  refresh() {
    const tiles = this.matching.slice(this.page * TILES, (this.page + 1) * TILES);
    if (tiles.length !== this.tiles.length || tiles.some((id, place) => id !== this.tiles[place])) this.draw();
  }

  draw() {
    const matching = this.matching;
    this.page = Math.min(this.page, Math.max(0, Math.ceil(matching.length / TILES) - 1));
    this.tiles = matching.slice(this.page * TILES, (this.page + 1) * TILES);
    this.selected = new Set(this.chosen());
    for (const id of this.tiles) this.deck.seen.add(id);
    const tiles = this.tiles.map((id) => this.tile(this.deck.cards.get(id)));
    const grid = tiles.length
      ? element("div", { class: "tiles", role: "group", "aria-label": "Proposals" }, ...tiles)
      : element("p", { class: "empty" }, this.deck.queue.length ? "None of these cards passes the filters." : this.deck.emptyWords());
    this.counted = element("p", { class: "counted" });
    this.deck.stage.replaceChildren(this.filters(), grid);
    this.count();
  }

  count() {
    const all = this.matching.length;
    const first = this.page * TILES;
    const dealt = this.deck.queue.length;
    const shown = all ? `${first + 1}–${first + this.tiles.length} of ${all}` : "0";
    // Others of those that wait are dealt as these are decided: too many to be held at once.
    const hasMore = this.deck.data.progress.waiting > dealt;
    const which = `${all < dealt ? " that pass the filters" : ""}${hasMore ? " dealt to you so far" : ""}`;
    this.counted.textContent = `${this.selected.size} selected · ${shown}${which || " here"}`;
    const hasAll = this.tiles.length > 0 && this.selected.size === this.tiles.length;
    this.all.checked = hasAll;
    this.all.indeterminate = !hasAll && this.selected.size > 0;
  }

  filters() {
    const methods = [...new Set([...this.deck.cards.values()].map((card) => card.method))].sort();
    const passed = element("input", { type: "checkbox", checked: this.filter.passed });
    const method = element("select", {}, element("option", { value: "" }, "any"));
    method.append(...methods.map((name) => element("option", { value: name }, name)));
    method.value = this.filter.method;
    const gain = element("select", {}, element("option", { value: "" }, "any"));
    for (const least of ["0", "0.05", "0.1", "0.2"]) gain.append(element("option", { value: least }, `at least ${least}`));
    gain.value = this.filter.gain;
    this.all = element("input", { type: "checkbox" });
    const change = (apply) => () => {
      apply();
      this.page = 0;
      this.draw();
      this.deck.root.focus({ preventScroll: true });
    };
    passed.addEventListener("change", change(() => (this.filter.passed = passed.checked)));
    method.addEventListener("change", change(() => (this.filter.method = method.value)));
    gain.addEventListener("change", change(() => (this.filter.gain = gain.value)));
    this.all.addEventListener("change", () => this.selectAll(this.all.checked));
    return element(
      "div",
      { class: "filters" },
      element("label", {}, this.all, "Select all shown"),
      this.counted,
      element("label", {}, passed, "Passed all gates"),
      element("label", {}, "Method ", method),
      element("label", {}, "Distance gained (1 − cos) ", gain),
    );
  }

  selectAll(isOn) {
    this.selected = new Set(isOn ? this.tiles : []);
    for (const box of this.deck.stage.querySelectorAll(".tile input")) box.checked = isOn;
    this.count();
  }

  tile(card) {
    const box = element("input", { type: "checkbox", checked: this.selected.has(card.id) });
    box.addEventListener("change", () => {
      if (box.checked) this.selected.add(card.id);
      else this.selected.delete(card.id);
      this.count();
    });
    const turn = card.prompt[lastTurnOf(card.prompt)];
    const faults = card.gates.filter((gate) => !gate.passed).map((gate) => trueMinus(gate.text));
    const gates = faults.length ? `✗ ${faults.join("; ")}` : "✓ gates passed";
    const gain = distanceGain(card);
    const moved = Number.isFinite(gain) ? ` · distance ${gain >= 0 ? "+" : ""}${number(gain)}` : "";
    return element(
      "label",
      { class: "tile", "data-card": card.id },
      element("span", { class: "head" }, box, element("span", { class: "facts" }, `${card.method} · ${gates}${moved}`)),
      element("span", { class: "asked", dir: "auto" }, turn ? turn.content.slice(0, 300) : ""),
      ...["chosen", "rejected"].map((side) => this.tileSide(card, side)),
    );
  }

  tileSide(card, side) {
    const name = element("span", { class: "label" }, side);
    if (card.unchanged_sides.includes(side)) return element("span", { class: "answer" }, name, " unchanged");
    const text = element("span", { dir: "auto" });
    const compared = this.deck.differences ? comparisonOf(card, side, card.source[side], card.proposal[side]) : null;
    fill(text, compared?.after ? fromFirstChange(compared.after) : [{ text: card.proposal[side], changed: false }], "ins", []);
    return element("span", { class: "answer" }, name, " ", text);
  }
}

/** The runs of a text from a little before the first change, so that a small card shows it. */
function fromFirstChange(runs) {
  const first = runs.findIndex((run) => run.changed);
  if (first < 1 || runs[0].text.length <= MOST_BEFORE_CHANGE) return runs;
  const before = runs[0].text.slice(-MOST_BEFORE_CHANGE);
  return [{ text: `… ${before.slice(before.search(/\s/) + 1)}`, changed: false }, ...runs.slice(1)];
}

/** By how much the answers lie further apart than in the source; NaN where it is not known. */
function distanceGain(card) {
  const distance = card.figures.find((figure) => figure.label.includes("distance"));
  if (!distance || typeof distance.before !== "number" || typeof distance.after !== "number") return NaN;
  return distance.after - distance.before;
}
