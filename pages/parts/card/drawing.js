// Drawing one card. Texts from data go in as text nodes only, so nothing in them is ever interpreted.

const SMALLEST_CHARACTER = [6.5, 22]; // pixels, width and height of its line; see firstCharacters
const QUICK_CHARACTERS = 3000; // two texts together are compared before the first paint up to this length

const comparisons = new WeakMap(); // by card: texts that were compared already

/** The comparison of a card's texts under a name; made once. `undefined` where it is not made yet and would be slow. */
function comparisonOf(card, name, before, after, { slowly = false } = {}) {
  if (!comparisons.has(card)) comparisons.set(card, new Map());
  const made = comparisons.get(card);
  if (!made.has(name)) {
    if (!slowly && before.length + after.length > QUICK_CHARACTERS) return undefined;
    made.set(name, compareTexts(before, after));
  }
  return made.get(name);
}

/** The comparisons that a card will need, as [name, before, after]. */
function comparisonsOf(card) {
  if (card.kind === "pair") return [["sides", card.chosen, card.rejected]];
  const sides = ["chosen", "rejected"].filter((side) => !card.unchanged_sides.includes(side));
  const texts = sides.map((side) => [side, card.source[side], card.proposal[side]]);
  const turn = card.proposal.prompt ? changedTurn(card) : -1;
  if (turn >= 0) texts.push(["prompt", card.prompt[turn].content, card.proposal.prompt[turn].content]);
  return texts;
}

/** Index of the turn whose wording the proposal changed; -1 where the prompts cannot be set side by side. */
function changedTurn(card) {
  const proposed = card.proposal.prompt;
  if (proposed.length !== card.prompt.length) return -1;
  return proposed.findLastIndex((turn, index) => turn.content !== card.prompt[index].content);
}

/** Place of the last turn of the user, or of the last turn where none is theirs; -1 without turns. */
function lastTurnOf(turns) {
  const last = turns.findLastIndex((turn) => turn.role === "user");
  return last >= 0 ? last : turns.length - 1;
}

/** Draw a card. `look` is {blind, decided, differences, isWide}; what may wait until after the paint is pushed to `late`. */
function drawSheet(card, look, late) {
  const sheet = element("article", { class: "sheet", "aria-label": look.blind ? "card, labels hidden" : "card" });
  const trail = !look.blind && card.trail && card.trail.length ? drawTrail(card.trail) : null;
  const main = element("div", { class: "main" }, drawPrompt(card, look, late), drawSides(card, look, late));
  if (trail) main.append(trail);
  sheet.append(main);
  const known = drawKnown(card, look);
  if (known) sheet.append(known);
  return sheet;
}

// ------------------------------------------------------------------------------------------------------------ texts

function textBox(label, late) {
  const box = element("div", { class: "text", dir: "auto" });
  late.push(() => {
    if (box.scrollHeight <= box.clientHeight + 1) return;
    for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", label]]) box.setAttribute(name, value);
  });
  return box;
}

/** How many characters of a text can show before its box is scrolled: the rest is not worth waiting for. */
function firstCharacters() {
  const [width, height] = SMALLEST_CHARACTER;
  const column = window.innerWidth > 700 ? window.innerWidth / 3 : window.innerWidth;
  return Math.ceil((column / width) * ((0.46 * window.innerHeight) / height));
}

/** Put runs of text into a box: the beginning now, what is beyond it late. */
function fill(box, runs, mark, late) {
  let room = firstCharacters();
  const rest = [];
  for (const run of runs) {
    if (room <= 0) {
      rest.push(run);
      continue;
    }
    const cut = run.text.length <= room ? run.text.length : wholeCharacters(run.text, room);
    box.append(asNode(run.text.slice(0, cut), run.changed && mark));
    if (cut < run.text.length) rest.push({ text: run.text.slice(cut), changed: run.changed });
    room -= cut;
  }
  if (rest.length) late.push(() => box.append(...rest.map((run) => asNode(run.text, run.changed && mark))));
}

/** Where to cut a text so that no character made of two code units falls apart. */
function wholeCharacters(text, length) {
  const before = text.charCodeAt(length - 1);
  return before >= 0xd800 && before <= 0xdbff ? length + 1 : length;
}

function asNode(text, mark) {
  return mark ? element(mark, {}, text) : document.createTextNode(text);
}

/** Fill the boxes of two texts, with their differences marked where that is wanted and possible. */
function fillCompared(card, name, before, after, look, late) {
  const plain = (box, text) => fill(box, [{ text, changed: false }], "", late);
  const marked = (compared) => {
    for (const [side, box, mark] of [["before", before.box, before.mark], ["after", after.box, after.mark]]) {
      if (box) fill(box, compared[side], mark, late);
    }
  };
  const compared = look.differences ? comparisonOf(card, name, before.text, after.text) : undefined;
  if (compared && !compared.why) {
    marked(compared);
    return;
  }
  if (before.box) plain(before.box, before.text);
  if (after.box) plain(after.box, after.text);
  if (!look.differences) return;
  const say = (why) => after.note && after.note.replaceChildren(why);
  if (compared) say(compared.why);
  else {
    late.push(() => {
      const found = comparisonOf(card, name, before.text, after.text, { slowly: true });
      if (found.why) {
        say(found.why);
        return;
      }
      for (const box of [before.box, after.box]) if (box) box.replaceChildren();
      marked(found);
    });
  }
}

// ----------------------------------------------------------------------------------------------------------- prompt

function drawPrompt(card, look, late) {
  const section = element("section", { class: "prompt", "aria-label": "Prompt" });
  const visible = Math.max(lastTurnOf(card.prompt), 0);
  const earlier = card.prompt.slice(0, visible);
  if (earlier.length) section.append(drawEarlier(earlier, look));
  const changed = card.kind === "proposal" && card.proposal.prompt ? changedTurn(card) : -1;
  card.prompt.slice(visible).forEach((turn, index) => {
    if (index + visible === changed) section.append(...drawChangedTurn(card, changed, look, late));
    else section.append(drawTurn(turn.role, turn.content, late));
  });
  if (card.kind === "proposal" && card.proposal.prompt && (changed < visible || changed < 0)) {
    section.append(element("p", { class: "label" }, "Proposed prompt"));
    for (const turn of card.proposal.prompt) section.append(drawTurn(turn.role, turn.content, late));
  }
  if (!card.prompt.length) section.append(element("p", { class: "label" }, "No prompt"));
  return section;
}

/** Turns before the last of the user's, folded; they are drawn when they are unfolded. */
function drawEarlier(turns, look) {
  const count = turns.length === 1 ? "1 earlier turn" : `${turns.length.toLocaleString("en")} earlier turns`;
  const details = element("details", {}, element("summary", {}, count));
  const draw = () => {
    if (details.childElementCount > 1) return;
    const late = [];
    details.append(...turns.map((turn) => drawTurn(turn.role, turn.content, late)));
    late.forEach((task) => task());
  };
  details.addEventListener("toggle", draw);
  details.open = look.isWide && turns.reduce((sum, turn) => sum + turn.content.length, 0) < 500;
  return details;
}

function drawTurn(role, text, late) {
  const box = textBox(`prompt, ${role}`, late);
  fill(box, [{ text, changed: false }], "", late);
  return element("div", { class: "turn" }, element("p", { class: "label" }, role), box);
}

function drawChangedTurn(card, turn, look, late) {
  const { role, content } = card.prompt[turn];
  const note = element("span", { class: "note" });
  const before = { text: content, box: textBox("prompt, source", late), mark: "del" };
  const after = { text: card.proposal.prompt[turn].content, box: textBox("prompt, proposed", late), mark: "ins", note };
  fillCompared(card, "prompt", before, after, look, late);
  return [
    element(
      "div",
      { class: "two" },
      element("div", { class: "turn" }, element("p", { class: "label" }, `${role} · source`), before.box),
      element("div", { class: "turn proposed" }, element("p", { class: "label" }, `${role} · proposal `, note), after.box),
    ),
  ];
}

// ------------------------------------------------------------------------------------------------------------ sides

/** The card's sides in the order in which they stand: exchanged where it is shown blind and swapped. */
function sidesOf(card, look) {
  return look.blind && card.swapped ? ["rejected", "chosen"] : ["chosen", "rejected"];
}

function sideName(side, position, look) {
  if (look.blind) return position === 0 ? "Answer A" : "Answer B";
  return side === "chosen" ? "Chosen" : "Rejected";
}

function drawSides(card, look, late) {
  const two = element("section", { class: "two sides", "aria-label": "Answers" });
  const order = sidesOf(card, look);
  if (card.kind === "pair") drawPairSides(two, card, order, look, late);
  else order.forEach((side, position) => two.append(drawProposalSide(card, side, position, look, late)));
  return two;
}

/** Two answers; what only one of them has is marked in both, where they have enough in common. */
function drawPairSides(two, card, order, look, late) {
  const boxes = {};
  // Above both, and at no side: beside one of them it would tell a blind reader which is which.
  const note = element("p", { class: "note apart" });
  two.append(note);
  order.forEach((side, position) => {
    const name = sideName(side, position, look);
    boxes[side] = { text: card[side], box: textBox(name, late), mark: "mark", note };
    two.append(element("div", { class: look.blind ? "side" : `side ${side}` }, element("h2", {}, name), boxes[side].box));
  });
  fillCompared(card, "sides", boxes.chosen, boxes.rejected, look, late);
}

function drawProposalSide(card, side, position, look, late) {
  const name = sideName(side, position, look);
  const column = element("div", { class: look.blind ? "side" : `side ${side}` }, element("h2", {}, name));
  const source = { text: card.source[side], box: textBox(`${name}, source`, late), mark: "del" };
  if (card.unchanged_sides.includes(side)) {
    fill(source.box, [{ text: source.text, changed: false }], "", late);
    column.append(element("p", { class: "label" }, "as in the source, unchanged"), source.box);
    return column;
  }
  const note = element("span", { class: "note" });
  const proposal = { text: card.proposal[side], box: textBox(`${name}, proposal`, late), mark: "ins", note };
  fillCompared(card, side, source, proposal, look, late);
  column.append(
    element("div", { class: "source" }, element("p", { class: "label" }, "source"), source.box),
    element("div", { class: "proposed" }, element("p", { class: "label" }, "proposal ", note), proposal.box),
  );
  return column;
}

// ------------------------------------------------------------------------------------------------------------ trail

/** The rewrites that were tried to sharpen the contrast, folded; they are drawn when they are unfolded. */
function drawTrail(trail) {
  const kept = trail.find((each) => each.verdict === "kept");
  const outcome = kept ? `the ${kept.side} side was rewritten` : "none sufficed, so the pair stays unrefined";
  const summary = `${count(trail.length, "try", "tries")} to sharpen the contrast: ${outcome}`;
  const details = element("details", { class: "trail" }, element("summary", {}, summary));
  details.addEventListener("toggle", () => {
    if (details.childElementCount > 1) return;
    const late = [];
    details.append(element("ol", {}, ...trail.map((each, place) => drawTry(each, place + 1, late))));
    late.forEach((task) => task());
  });
  return details;
}

function drawTry(each, place, late) {
  const distance = each.distance === null ? "" : ` · distance ${number(each.distance)}`;
  const label = element("p", { class: "label" }, `${each.side} side${distance} · ${each.verdict} · by ${each.generator}`);
  if (each.text === null) return element("li", {}, label);
  const box = textBox(`try ${place}, ${each.side} side`, late);
  fill(box, [{ text: each.text, changed: false }], "", late);
  return element("li", {}, label, box);
}

// ---------------------------------------------------------------------------------------------------- what is known

/** What the engine knows of a card; nothing of it shows in blind mode. */
function drawKnown(card, look) {
  if (look.blind) return null;
  const facts = [card.method, card.subset, card.dataset].filter(Boolean).join(" · ");
  const status = card.status && card.status !== "pending" ? `stands as ${card.status}` : "";
  const known = element(
    "div",
    { class: "known", role: "group", "aria-label": "What is known of it" },
    element("p", { class: "facts" }, facts),
    element("p", { class: "facts" }, [status, card.skipped ? "you skipped it before" : ""].filter(Boolean).join(" · ")),
    card.why ? element("p", { class: "why" }, card.why) : null,
    card.kind === "proposal" ? element("p", { class: "adds" }) : null,
  );
  if (card.figures.length) known.append(drawFigures(card.figures, card.kind));
  if (card.gates && card.gates.length) known.append(drawGates(card.gates));
  if (card.opinions && card.opinions.length && (look.decided || card.opinions_first)) known.append(drawOpinions(card.opinions));
  for (const generator of card.generators || []) known.append(element("p", { class: "facts" }, `by ${generator}`));
  return known;
}

function drawFigures(figures, kind) {
  const compares = kind === "proposal";
  const heads = compares ? ["", "before", "after", "change"] : ["", "value"];
  const head = element("tr", {}, ...heads.map((name) => element(name ? "th" : "td", name ? { scope: "col" } : {}, name)));
  const rows = figures.map((figure) => {
    const name = element("th", { scope: "row" }, figure.label, element("span", { class: "unit" }, figure.unit || ""));
    const values = compares
      ? [number(figure.before), number(figure.after), change(figure.before, figure.after)]
      : [number(figure.before)];
    return element("tr", {}, name, ...values.map((value) => element("td", {}, value)));
  });
  return element("table", { class: "figures" }, element("thead", {}, head), element("tbody", {}, ...rows));
}

/** What judges say of a pair's label. */
function drawOpinions(opinions) {
  const rows = opinions.map((each) => element("li", {}, element("strong", { class: "verdict" }, each.judge), ` ${trueMinus(each.words)}`));
  return element("ul", { class: "gates opinions", "aria-label": "Second opinions" }, ...rows);
}

/** What judges say beside a decision that was made, as sentences. */
function opinionWords(opinions, action) {
  const said = (opinions || []).map((each) => {
    const agrees = each.agrees_with === action ? "agrees" : each.agrees_with ? "does not agree" : "does not tell";
    return ` ${each.judge} ${agrees}: ${trueMinus(each.words)}.`;
  });
  return said.join("");
}

function drawGates(gates) {
  const rows = gates.map((gate) => {
    const verdict = element("strong", { class: "verdict" }, gate.passed ? "✓ passed" : "✗ failed");
    return element("li", { class: gate.passed ? "passed" : "failed" }, verdict, ` ${trueMinus(gate.text)}`);
  });
  return element("ul", { class: "gates", "aria-label": "Quality gates" }, ...rows);
}

/** A text with a minus sign before its negative numbers, where it has a hyphen. */
function trueMinus(text) {
  return text.replace(/(?<![\w.)\]])-(?=[\d.])/g, "−");
}

/** A number with a true minus sign; a dash where it is not known. */
function number(value) {
  if (value === null || value === undefined) return "–";
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Number.isInteger(value) ? 0 : 3;
  const shown = value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return shown.replace("-", "−");
}

function change(before, after) {
  if (before === null || before === undefined || after === null || after === undefined) return "–";
  const difference = after - before;
  return difference > 0 ? `+${number(difference)}` : number(difference);
}
