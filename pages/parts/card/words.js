// What the buttons and messages say.

const BUTTONS = {
  proposal: [
    ["accept", "Accept"],
    ["accept_chosen", "Only chosen"],
    ["accept_rejected", "Only rejected"],
    ["reject", "Reject"],
    ["edit", "Edit"],
    ["flag", "Flag"],
    ["skip", "Skip"],
    ["note", "Note"],
    ["undo", "Undo"],
  ],
  pair: [
    ["label_right", "Label right"],
    ["flip", "Flip"],
    ["drop", "Drop"],
    ["ambiguous", "Ambiguous"],
    ["skip", "Skip"],
    ["note", "Note"],
    ["undo", "Undo"],
  ],
};
const BLIND_BUTTONS = {
  proposal: [
    ["accept", "Accept"],
    ["left", "Only A"],
    ["right", "Only B"],
    ["reject", "Reject"],
    ["edit", "Edit"],
    ["flag", "Flag"],
    ["skip", "Skip"],
    ["note", "Note"],
    ["undo", "Undo"],
  ],
  pair: [
    ["left", "A is better"],
    ["right", "B is better"],
    ["drop", "Drop"],
    ["ambiguous", "Ambiguous"],
    ["skip", "Skip"],
    ["note", "Note"],
    ["undo", "Undo"],
  ],
};
const TOOLS = [
  ["back", "Look back"],
  ["forward", "Forward"],
  ["blind", "Blind"],
  ["differences", "Differences"],
  ["help", "Keys"],
];
const ARROWS = { ArrowLeft: "back", ArrowRight: "forward" };
const KEY_SHOWN = { back: "←", forward: "→" };
const KEY_NAMES = { back: "ArrowLeft", forward: "ArrowRight" };

const DONE = {
  accept: "accepted",
  accept_chosen: "accepted the chosen side",
  accept_rejected: "accepted the rejected side",
  edit: "edited",
  reject: "rejected",
  flag: "flagged",
  skip: "skipped",
  label_right: "label right",
  flip: "flipped",
  drop: "dropped",
  ambiguous: "ambiguous",
};
const COUNTED = "Accepted proposals are counted without what others decided on those that wait for you too: that stays hidden until you have decided.";
const SEEN_BEFORE = "You have seen which answer is which here, so this card is shown openly and does not count as blind.";
const DECISIONS = new Set([...Object.keys(DONE), "left", "right"]);

const MEANING = {
  accept: "take the proposal as it is",
  accept_chosen: "take the proposed chosen side alone",
  accept_rejected: "take the proposed rejected side alone",
  left: "the answer on the left, A",
  right: "the answer on the right, B",
  reject: "leave the proposal out",
  edit: "change the texts here; Ctrl+Enter saves, Esc cancels",
  flag: "set it aside for somebody else to look at",
  label_right: "the chosen answer is the better one",
  flip: "the rejected answer is the better one",
  drop: "leave the pair out of training",
  ambiguous: "neither answer is clearly better",
  skip: "decide later",
  undo: "take your newest decision back; again for the one before",
  note: "write a note for the next decision; Enter keeps it, Esc drops it",
  blind: "hide labels, figures and gates until you have decided; what you have seen stays open",
  differences: "mark words that differ, or not",
  back: "look at what you decided before; a decision there decides anew",
  forward: "go on towards the card to read",
  help: "show or hide this list",
};

function count(number, one, many) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** "12 decided · 300 wait · 4 s each · about 20 min left · 5 accepted make up to 35 new pairs" */
function progressLine(progress, kind) {
  const parts = [`${progress.decided.toLocaleString("en")} decided`, `${progress.waiting.toLocaleString("en")} wait`];
  const pace = progress.seconds_per_decision;
  if (pace) {
    parts.push(`${pace < 10 ? pace.toFixed(1) : Math.round(pace)} s each`);
    if (progress.waiting) parts.push(`about ${duration(pace * progress.waiting)} left`);
  }
  if (kind === "proposal" && progress.accepted) {
    const gives = progress.new_pairs === null ? "(their pairs are being counted)" : `make up to ${count(progress.new_pairs, "new pair", "new pairs")}`;
    parts.push(`${progress.accepted.toLocaleString("en")} accepted ${gives}`);
  }
  return parts.join(" · ");
}

/** "Accepting it adds up to 5 more pairs: 8 from its source, with the 1 accepted before." */
function gridWords(grid) {
  if (!grid) return "The pairs of its source are being counted.";
  const more = grid.pairs_with_it - grid.pairs;
  if (more === 0) return "Accepting it adds no new pair: its texts are the source's or approved already.";
  if (grid.accepted === 0) return `Accepting it adds up to ${count(more, "new pair", "new pairs")} from its source.`;
  const all = `${grid.pairs_with_it.toLocaleString("en")} from its source, with the ${grid.accepted.toLocaleString("en")} accepted before`;
  return `Accepting it adds up to ${count(more, "more pair", "more pairs")}: ${all}.`;
}

function gainWords(nats) {
  return `Expected gain beside what is accepted and what comes before it: ${number(nats)} nats.`;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
