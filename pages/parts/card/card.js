// The deck: holds the dealt cards, takes decisions by key or button, and moves on at once.

const NOTHING_DEALT = {
  queue: [],
  recent: [],
  returned: [],
  cards: [],
  has_older: false,
  grids: {},
  gains: {},
  progress: { decided: 0, waiting: 0, seconds_per_decision: null, accepted: 0, new_pairs: 0 },
};

const decks = new WeakMap(); // by the element that Streamlit gives for the component
let keyboardOwner = null; // the deck that was mounted last takes the keys

const NUDGE_AFTER = 5000; // milliseconds between questions for new cards while there are none
const MOMENT = 100; // milliseconds that two requests are kept apart
const CHOICE_OF_ORDER = ".st-key-review-order, .st-key-check-order";
const MOST_LOOKED_BACK = 400; // acts that are kept to look back at

class Deck {
  constructor(host) {
    this.host = host;
    this.cards = new Map(); // by id
    this.queue = []; // ids to read, the first is the one to read now
    this.front = []; // ids taken back by undo, to be read first
    this.decided = new Map(); // id -> sequence of the newest act on it in this page
    this.seen = new Set(); // ids whose labels were shown in this page: never blind again, as what the server says
    this.history = []; // acts that stand, oldest first: {sequence, action, items, note, …}
    this.looking = null; // {act, id} of `past()` while looking back
    this.editing = null; // id of the card that is being edited
    this.note = "";
    this.awaited = 0; // sequence of an undo whose card only the server knows
    this.isPainted = false;
    this.paintedAt = 0;
    this.held = 0; // timer of a request that waits for its moment
    this.isBehind = false; // another tab of the annotator stored something since this one asked for cards
    this.build();
    this.grid = new Grid(this);
    this.onKey = (event) => this.takeKey(event);
    this.onLeave = (event) => this.warn(event);
    this.onReturn = () => this.data && this.send();
    window.addEventListener("keydown", this.onKey, true);
    window.addEventListener("beforeunload", this.onLeave);
    window.addEventListener("online", this.onReturn);
    this.onOtherTab = (event) => this.hearOtherTab(event);
    this.onLook = () => this.catchUp();
    window.addEventListener("storage", this.onOtherTab);
    document.addEventListener("visibilitychange", this.onLook);
    this.timer = window.setInterval(() => this.tick(), 500);
    keyboardOwner = this;
  }

  close() {
    window.removeEventListener("keydown", this.onKey, true);
    window.removeEventListener("beforeunload", this.onLeave);
    window.removeEventListener("online", this.onReturn);
    window.removeEventListener("storage", this.onOtherTab);
    document.removeEventListener("visibilitychange", this.onLook);
    window.clearInterval(this.timer);
    window.clearTimeout(this.held);
    this.root.remove();
    if (keyboardOwner === this) keyboardOwner = null;
  }

  build() {
    this.progress = element("p", { class: "progress" });
    this.saving = element("p", { class: "saving" });
    this.tools = element("div", { class: "tools", role: "group", "aria-label": "View" });
    this.problem = element("div", { class: "problem", role: "alert", hidden: true });
    this.banner = element("p", { class: "banner" });
    this.stage = element("div", { class: "stage" });
    this.noted = element("div", { class: "noted" });
    this.bar = element("div", { class: "bar", role: "group", "aria-label": "Decisions" });
    this.help = element("div", { class: "help", role: "region", "aria-label": "Keys", hidden: true });
    this.live = element("p", { class: "unseen", "aria-live": "polite" });
    const top = element("div", { class: "top" }, this.progress, this.saving, this.tools);
    const foot = element("div", { class: "foot" }, this.noted, this.bar);
    this.root = element(
      "section",
      { class: "deck", role: "region", tabindex: "-1" },
      ...[top, this.help, this.problem, this.banner, this.stage, foot, this.live],
    );
    this.host.append(this.root);
  }

  // ------------------------------------------------------------------------------------------ from the server

  receive(data, setStateValue) {
    this.setStateValue = setStateValue;
    if (this.data && !data.queue) {
      this.keepGoing(data);
      return;
    }
    const isFirst = !this.data;
    const isOther = isFirst || data.deck !== this.data.deck;
    const isOtherView = isFirst || data.view !== this.data.view;
    this.data = data.queue ? data : { ...data, ...NOTHING_DEALT };
    data = this.data;
    if (isFirst) this.begin(data);
    if (isOtherView) {
      this.looking = null;
      this.putEditAside();
    }
    this.settle(data);
    const isRescue = this.resumeRescued();
    for (const card of data.cards) this.cards.set(card.id, card);
    this.remember(data);
    this.arrange(data, isOther);
    this.forgetOld();
    if (!this.log.acts.has(this.awaited)) this.awaited = 0;
    if (isOtherView || this.root.dataset.card !== (this.shown ? this.shown.id : "")) this.show();
    else if (this.isGrid) this.grid.refresh();
    this.drawStatus();
    if (isFirst || (isOther && document.activeElement?.closest(CHOICE_OF_ORDER))) {
      this.root.focus({ preventScroll: true }); // once the order is chosen, keys decide again
    }
    if (isOtherView || isRescue) this.takeUpDraft();
    if (this.log.acts.size || this.hasNews) this.send();
  }

  /** The database could not be read: go on with the cards at hand. */
  keepGoing(data) {
    this.settle(data);
    this.drawStatus();
  }

  begin(data) {
    this.log = new Log(data.workspace, data.annotator, data.kind);
    this.blind = data.blind;
    this.differences = remembered("differences", data.differences);
    this.keys = new Map(Object.entries(data.keys).map(([name, key]) => [key.toLowerCase(), name]));
    this.draft = remembered(this.placeName("draft"), null);
    this.note = remembered(this.placeName("note"), "");
    this.rescued = remembered(this.placeName("rescued"), null);
    this.resumeAt = this.draft ? this.draft.id : remembered(this.placeName("card"), "");
    for (const act of this.log.acts.values()) this.applyAct(act);
    const elsewhere = this.log.elsewhere();
    if (elsewhere && !data.read_only) {
      const made = count(elsewhere, "decision", "decisions");
      this.complain(`${made} made in this browser under another name or page wait to be saved: open that one again.`);
    }
    this.root.setAttribute("aria-label", data.kind === "pair" ? "Pairs to check" : "Proposals to review");
  }

  /** The name of something that this browser remembers for the annotator, across reloads. */
  placeName(what) {
    return `${this.data.workspace}:${this.data.kind}:${this.data.annotator}:${what}`;
  }

  /** Drop the acts that the database has, and say which it will never take. */
  settle(data) {
    this.log.finish(data.attempt);
    this.log.saw(data.last_sequence);
    for (const sequence of data.acknowledged) this.log.settle(sequence);
    for (const { sequence, reason } of data.refused) {
      const act = this.log.settle(sequence);
      if (!act) continue;
      this.history = this.history.filter((past) => past.sequence !== sequence);
      for (const id of act.items) if (this.decided.get(id) === sequence) this.decided.delete(id);
      if (act.action === "edit") this.rescue(act);
      this.complain(`Not stored: ${DONE[act.action] || act.action}. ${reason}`);
    }
    if (data.problem) this.complain(data.problem);
    else if (this.isServerIll) this.problem.hidden = true;
    this.isServerIll = Boolean(data.problem);
  }

  /** Keep the texts of an edit that was refused: its card comes up again, with them in the fields. */
  rescue(act) {
    const texts = Object.fromEntries(["prompt", "chosen", "rejected"].filter((name) => act[name]).map((name) => [name, act[name]]));
    this.rescued = { id: act.items[0], texts };
    remember(this.placeName("rescued"), this.rescued);
  }

  /** Make a rescued edit the draft, unless another one is being written. */
  resumeRescued() {
    if (!this.rescued || this.editing || this.isGrid) return false;
    this.draft = this.rescued;
    this.front.unshift(this.draft.id);
    this.rescued = null;
    remember(this.placeName("draft"), this.draft);
    remember(this.placeName("rescued"), null);
    return true;
  }

  /** Make the history what the server says, and after it what this page did since. */
  remember(data) {
    const mine = new Map(this.history.map((act) => [act.sequence, act]));
    const known = data.recent.map(({ id, decision }) => {
      const items = mine.has(decision.sequence) ? mine.get(decision.sequence).items : [id];
      return { ...decision, items, many: decision.items };
    });
    const first = known.length ? known[0].sequence : Infinity;
    const older = data.has_older ? this.history.filter((act) => act.sequence < first) : [];
    this.history = [...older, ...known].filter((act) => !this.log.acts.has(act.sequence));
    for (const act of this.log.acts.values()) this.applyAct(act);
  }

  /** Carry out an act on the history alone: what stands after it. */
  applyAct(act) {
    if (act.action !== "undo") {
      this.history.push(act);
      if (revealsLabels(act)) for (const id of act.items) this.seen.add(id);
      for (const id of act.items) this.decided.set(id, act.sequence);
      return;
    }
    const past = this.history.pop();
    for (const id of past ? past.items : []) {
      const before = this.history.findLast((each) => each.items.includes(id));
      if (before) this.decided.set(id, before.sequence);
      else this.decided.delete(id);
    }
  }

  /** Order the cards to read: what undo took back, the card that is being read, then as they were dealt. */
  arrange(data, isOther) {
    const isOpen = (id) => this.cards.has(id) && !this.isDecidedSince(id, data.last_sequence);
    const dealt = data.queue.filter(isOpen);
    for (const id of data.returned) if (dealt.includes(id) && !this.front.includes(id)) this.front.unshift(id);
    this.front = this.front.filter((id) => this.cards.has(id) && !this.decided.has(id));
    const reading = isOther ? null : this.queue[0];
    const first = [...this.front];
    if (reading && !this.decided.has(reading)) first.push(reading);
    if (this.isGrid && !isOther) first.push(...this.grid.tiles.filter((id) => this.queue.includes(id)));
    if (this.resumeAt && dealt.includes(this.resumeAt)) first.push(this.resumeAt);
    this.resumeAt = "";
    for (const id of dealt) this.decided.delete(id); // the server knows what was decided of it and deals it again
    this.queue = [...new Set([...first, ...dealt])];
  }

  /** Whether a card was decided here in an act that the server did not know when it dealt. */
  isDecidedSince(id, lastSequence) {
    const sequence = this.decided.get(id);
    return sequence !== undefined && (sequence > lastSequence || this.log.acts.has(sequence));
  }

  /** Keep only cards that may be shown again. */
  forgetOld() {
    this.history = this.history.slice(-MOST_LOOKED_BACK);
    if (this.cards.size < 2 * MOST_LOOKED_BACK) return;
    const kept = new Set([...this.queue, ...this.history.flatMap((act) => act.items)]);
    for (const id of this.cards.keys()) if (!kept.has(id)) this.cards.delete(id);
  }

  // -------------------------------------------------------------------------------------------- to the server

  send() {
    this.hasNews = this.log.isWaiting;
    if (this.hasNews) return; // the answer to the request under way brings the next one about
    window.clearTimeout(this.held);
    const apart = MOMENT - (Date.now() - (window.marsLookedAt ?? 0));
    if (apart > 0) {
      // Streamlit would put the log into the request for the live figures, and run their part of the page alone.
      this.held = window.setTimeout(() => this.send(), apart);
      return;
    }
    window.marsLogSentAt = Date.now();
    const isUnheard = this.log.attempt > this.log.answered;
    const recent = this.history.slice(-40).flatMap((act) => act.items);
    this.setStateValue("log", {
      attempt: this.log.begin(),
      deck: this.data.deck,
      acts: [...this.log.acts.values()],
      held: [...this.queue, ...recent].filter((id) => this.cards.has(id)),
      blind: this.blind,
    });
    // Streamlit puts what is said in one moment into one request; this one has to be a request of its own.
    if (isUnheard) window.setTimeout(() => window.dispatchEvent(new Event("mars:whole-run")), 250);
    this.drawStatus();
  }

  /** Another tab of the annotator decided, which takes its cards from here, or the database has what it decided. */
  hearOtherTab(event) {
    if (!this.data || !event.key || !event.key.startsWith(this.log.prefix)) return;
    const act = parsed(event.newValue);
    if (act === null) {
      this.isBehind = true;
      this.catchUp();
      return;
    }
    this.log.saw(act.sequence);
    const shown = this.shown;
    for (const id of act.items) this.decided.set(id, act.sequence);
    this.dropDecided();
    if (this.shown === shown && !this.isGrid) return;
    this.show();
    this.say("decided in another tab");
  }

  /** Ask for what another tab changed, once this one is looked at. */
  catchUp() {
    if (!this.isBehind || document.hidden || !this.data) return;
    this.isBehind = false;
    this.send();
  }

  /** Send again what was not answered, and ask for cards while there are none. */
  tick() {
    if (!this.data || this.log.isWaiting) return;
    const isWaiting = this.data.progress.waiting > 0 || this.isServerIll;
    const isIdle = this.queue.length === 0 && isWaiting && !this.data.read_only;
    if (this.log.acts.size || (isIdle && Date.now() - this.log.attempt > NUDGE_AFTER)) this.send();
  }

  warn(event) {
    if (!this.data || !this.log.acts.size) return;
    event.preventDefault();
    event.returnValue = ""; // older browsers ask only for this
  }

  // ------------------------------------------------------------------------------------------------ decisions

  /** The card that is on the screen; null where there is none. */
  get shown() {
    if (this.isGrid) return null;
    if (this.looking) return this.cards.get(this.looking.id) ?? null;
    return this.awaited ? null : (this.cards.get(this.queue[0]) ?? null);
  }

  /** What was decided and can be looked at, oldest first: {act, id}. */
  past() {
    return this.history.flatMap((act) => act.items.map((id) => ({ act, id }))).filter(({ id }) => this.cards.has(id));
  }

  /** Where one looks in the past; its length where one reads the next card. */
  placeIn(past) {
    if (!this.looking) return past.length;
    const { act, id } = this.looking;
    const place = past.findIndex((each) => each.id === id && each.act.sequence === act.sequence);
    return place < 0 ? past.length : place;
  }

  press(name) {
    if (this.data.read_only) return; // shown to an audience: nothing moves, and no control says how
    if (this.editing !== null && name !== "help") return;
    if (name === "help") this.toggleHelp();
    else if (name === "differences") this.toggleDifferences();
    else if (this.isGrid && (name === "back" || name === "forward")) this.grid.turn(name === "back" ? -1 : 1);
    else if (name === "back" || name === "forward") this.look(name === "back" ? -1 : 1);
    else if (name === "blind" && !this.isGrid) this.toggleBlind();
    else if (name === "undo") this.undo();
    else if (name === "note") this.askNote();
    else if (name === "edit" && !this.isGrid) this.edit();
    else if (DECISIONS.has(name)) this.decide(name);
  }

  decide(name, texts = {}) {
    if (this.isGrid) {
      this.decideTogether(name);
      return;
    }
    const card = this.shown;
    const action = card && this.translated(name, card);
    if (!action) return;
    this.act(action, [card.id], this.presented(card), texts);
    this.looking = null;
    this.show();
    this.say(DONE[action]);
  }

  /** Decide about the selected small cards in one act. */
  decideTogether(name) {
    const items = this.grid.chosen();
    if (!items.length || !this.offers(name)) return;
    this.act(name, items, "open");
    this.show();
    this.say(`${DONE[name]}: ${count(items.length, "card", "cards")}`);
  }

  get isGrid() {
    return this.data.view === "grid";
  }

  /** What a name means for this card: sides of a blind card become chosen or rejected. */
  translated(name, card) {
    if (name !== "left" && name !== "right") return this.offers(name) ? name : null;
    if (!this.offers(name)) return null;
    const side = sidesOf(card, this.lookOf())[name === "left" ? 0 : 1];
    if (card.kind === "pair") return side === "chosen" ? "label_right" : "flip";
    return side === "chosen" ? "accept_chosen" : "accept_rejected";
  }

  offers(name) {
    return this.offered().some(([offered]) => offered === name);
  }

  /** The buttons of decisions, as [name, label]. */
  offered() {
    if (this.isGrid) return GRID_BUTTONS;
    return (this.isBlindNow() ? BLIND_BUTTONS : BUTTONS)[this.data.kind];
  }

  presented(card) {
    if (!this.isBlindNow(card)) return "open";
    return card.swapped ? "blind_swapped" : "blind";
  }

  /** Keep an act, take its cards from the queue, and send. */
  act(action, items, presented, texts = {}) {
    const act = this.log.add({
      annotator: this.data.annotator,
      kind: this.data.kind,
      items,
      action,
      chosen: null,
      rejected: null,
      prompt: null,
      ...texts,
      note: action === "undo" ? "" : this.note,
      seconds: Math.round((performance.now() - this.shownAt) / 10) / 100,
      presented,
    });
    if (action !== "undo") this.setNote("");
    this.applyAct(act);
    this.dropDecided();
    this.send();
    return act;
  }

  /** Take from the cards to read what was decided here, or in another tab. */
  dropDecided() {
    this.queue = this.queue.filter((id) => !this.decided.has(id));
    this.front = this.front.filter((id) => !this.decided.has(id));
  }

  undo() {
    this.looking = null;
    const last = this.history[this.history.length - 1];
    if (!last && !this.data.has_older) {
      this.say("nothing to take back");
      this.drawStatus();
      return;
    }
    const act = this.act("undo", [], "open");
    if (last) {
      const free = last.items.filter((id) => this.cards.has(id) && !this.history.some((past) => past.items.includes(id)));
      this.front = [...free, ...this.front];
      this.queue = [...new Set([...free, ...this.queue])];
    } else {
      this.awaited = act.sequence;
    }
    this.show();
    this.say(last ? `took back: ${DONE[last.action]}` : "taking back what you decided before");
  }

  look(step) {
    const past = this.past();
    const place = this.placeIn(past) + step;
    if (place < 0 || place > past.length) return;
    this.looking = place === past.length ? null : past[place];
    this.show();
  }

  // ------------------------------------------------------------------------------------------- notes and edits

  askNote() {
    if (!this.shown && !this.isGrid) return;
    const input = element("input", { type: "text", id: "note", value: this.note, maxlength: "2000", autocomplete: "off" });
    this.noted.replaceChildren(element("label", { for: "note" }, "Note for the next decision (Enter keeps it)"), input);
    input.focus();
    input.addEventListener("blur", () => this.keepNote(input.value));
  }

  keepNote(text) {
    this.setNote(text.trim());
    this.drawNote();
  }

  setNote(text) {
    this.note = text;
    remember(this.placeName("note"), text);
  }

  drawNote() {
    this.noted.replaceChildren(this.note ? element("p", {}, `Note for the next decision: ${this.note}`) : "");
  }

  /** Go on with an edit that a reload, a lost connection or the other view broke off. */
  takeUpDraft() {
    if (this.draft && this.shown && this.shown.id === this.draft.id && !this.isGrid) this.edit(this.draft.texts);
  }

  keepDraft() {
    const texts = Object.fromEntries(this.fields.map(({ name, area }) => [name, area.value]));
    this.draft = { id: this.editing, texts };
    remember(this.placeName("draft"), this.draft);
  }

  /** Leave an edit for the other view; it opens again with its card. */
  putEditAside() {
    if (this.editing === null) return;
    this.keepDraft();
    this.editing = null;
    this.bar.hidden = false;
  }

  edit(draft = {}) {
    const card = this.shown;
    if (!card || card.kind !== "proposal") return;
    this.editing = card.id;
    this.seen.add(card.id); // the fields say which side is which
    const proposal = this.proposalShown(card);
    const look = this.lookOf();
    this.fields = sidesOf(card, look).map((side, position) => this.field(side, sideName(side, position, look), proposal[side]));
    const turns = proposal.prompt || card.prompt;
    const last = lastTurnOf(turns);
    const rows = Math.max(...this.fields.map(({ area }) => area.rows));
    for (const { area } of this.fields) area.rows = rows; // beside each other, so level
    if (last >= 0) this.fields.unshift(this.field("prompt", "Prompt, last turn of the user", turns[last].content));
    const save = element("button", { type: "button", class: "strong" }, "Save ", element("kbd", {}, "Ctrl+Enter"));
    const cancel = element("button", { type: "button" }, "Cancel ", element("kbd", {}, "Esc"));
    save.addEventListener("click", () => this.saveEdit());
    cancel.addEventListener("click", () => this.endEdit());
    const boxes = this.fields.map(({ name, label, area }) =>
      element("label", { class: `edited ${name}` }, element("span", {}, label), area),
    );
    this.stage.replaceChildren(element("form", { class: "edit" }, ...boxes, element("div", { class: "buttons" }, save, cancel)));
    this.bar.hidden = true;
    for (const { name, area } of this.fields) {
      area.value = draft[name] ?? area.value;
      area.addEventListener("input", () => this.keepDraft());
    }
    this.fields.find(({ name }) => name !== "prompt").area.focus();
  }

  field(name, label, text) {
    const area = element("textarea", { dir: "auto", rows: String(Math.min(14, 3 + Math.ceil(text.length / 90))) });
    area.value = text;
    return { name, label, area, before: area.value };
  }

  saveEdit() {
    const texts = {};
    for (const { name, area, before } of this.fields) texts[name] = area.value === before ? null : area.value;
    const final = Object.fromEntries(this.fields.map(({ name, area }) => [name, area.value]));
    const edited = Object.values(texts).filter((text) => text !== null);
    if (!edited.length) {
      this.complain("Nothing was changed. Change a text, or cancel and accept the proposal.");
      return;
    }
    if (edited.some((text) => !text.trim())) {
      this.complain("An edited text is empty. Write something, or cancel and reject the proposal.");
      return;
    }
    if (plain(final.chosen) === plain(final.rejected)) {
      this.complain("The two edited answers are the same, white space and case aside. Make them differ, or cancel and reject the proposal.");
      return;
    }
    const card = this.cards.get(this.editing);
    const kept = this.proposalShown(card);
    for (const side of ["chosen", "rejected"]) {
      if (texts[side] === null && kept[side] !== card.proposal[side]) texts[side] = kept[side];
    }
    this.leaveEdit();
    this.decide("edit", texts);
  }

  endEdit() {
    this.leaveEdit();
    this.show();
  }

  leaveEdit() {
    this.editing = null;
    this.bar.hidden = false;
    this.problem.hidden = true;
    this.draft = null;
    remember(this.placeName("draft"), null);
    this.root.focus({ preventScroll: true });
  }

  /** The proposal's texts as they stand: as edited where one looks back at an edit. */
  proposalShown(card) {
    const act = this.looking ? this.looking.act : null;
    if (!act || act.action !== "edit") return card.proposal;
    const prompt = act.prompt ? withLastTurn(card.proposal.prompt || card.prompt, act.prompt) : card.proposal.prompt;
    return { prompt, chosen: act.chosen ?? card.proposal.chosen, rejected: act.rejected ?? card.proposal.rejected };
  }

  // ------------------------------------------------------------------------------------------------- keyboard

  takeKey(event) {
    keyboardOwner ??= this; // the one that took them is gone, and this is still here
    if (keyboardOwner !== this || !this.data || event.isComposing) return;
    const target = event.composedPath()[0];
    const isInside = this.root.contains(target);
    if (isInside && event.key === "Enter" && event.repeat) event.preventDefault(); // one press, one click
    if (takesText(target)) {
      if (isInside) this.takeFieldKey(event, target);
      return;
    }
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const name = this.nameOf(event.key);
    if (!name || (!isInside && isBusyElsewhere(target, event.key))) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.repeat && name !== "back" && name !== "forward") return;
    if (DECISIONS.has(name) && !this.wasPaintedAt(event.timeStamp)) return;
    this.press(name);
  }

  nameOf(key) {
    if (key in ARROWS) return ARROWS[key];
    const name = this.keys.get(key.toLowerCase());
    if (!this.isBlindNow()) return name === "left" || name === "right" ? undefined : name;
    const sides = { accept_chosen: "left", accept_rejected: "right" };
    return sides[name] || name;
  }

  /** Whether the card was on the screen when a key went down: a key that waited is no decision about a later card. */
  wasPaintedAt(moment) {
    return this.isPainted && moment >= this.paintedAt;
  }

  takeFieldKey(event, target) {
    const isSave = event.key === "Enter" && (event.ctrlKey || event.metaKey);
    if (this.editing !== null && (isSave || event.key === "Escape")) {
      event.preventDefault();
      event.stopImmediatePropagation();
      if (isSave) this.saveEdit();
      else this.endEdit();
    } else if (target.id === "note" && (event.key === "Enter" || event.key === "Escape")) {
      event.preventDefault();
      if (event.key === "Escape") target.value = "";
      this.root.focus({ preventScroll: true });
    }
    event.stopPropagation();
  }

  // -------------------------------------------------------------------------------------------------- drawing

  /** Whether a card is shown without labels: in blind mode, until the annotator has learnt them. */
  isBlindNow(card = this.shown) {
    return this.blind && !this.isGrid && this.editing === null && !(card && this.hasSeen(card));
  }

  hasSeen(card) {
    return card.seen || this.seen.has(card.id);
  }

  lookOf(card = this.shown) {
    return { blind: this.isBlindNow(card), differences: this.differences, isWide: window.innerWidth > 700 };
  }

  show() {
    if (this.editing !== null) return;
    const card = this.shown;
    let late = [];
    const hadFocus = this.stage.contains(this.root.getRootNode().activeElement);
    if (this.offered() !== this.drawnButtons) this.drawButtons();
    if (this.isGrid) {
      this.grid.draw();
    } else if (card) {
      if (!this.isBlindNow()) this.seen.add(card.id);
      late = this.putOnStage(card);
    } else {
      this.stage.replaceChildren(element("p", { class: "empty" }, this.emptyWords()));
    }
    if (hadFocus) this.root.focus({ preventScroll: true });
    this.root.dataset.card = card ? card.id : "";
    this.shownAt = performance.now();
    if (card && this.looking === null) remember(this.placeName("card"), card.id);
    this.drawStatus();
    this.drawBanner();
    this.drawNote();
    this.afterPaint(card, late);
  }

  /** Put a card on the stage, drawn anew or ahead of time; returns what may wait until it is painted. */
  putOnStage(card) {
    const ahead = this.ahead;
    this.ahead = null;
    const look = this.lookOf();
    const isReady = ahead && ahead.card === card && !this.looking && ahead.look === JSON.stringify(look);
    if (isReady && ahead.sheet.isConnected) {
      while (this.stage.firstChild !== ahead.sheet) this.stage.firstChild.remove();
      ahead.sheet.classList.remove("ahead");
      return ahead.late;
    }
    const late = [];
    const proposal = card.kind === "proposal" ? this.proposalShown(card) : null;
    const isEdited = proposal && proposal !== card.proposal;
    this.stage.replaceChildren(drawSheet(isEdited ? editedCard(card, proposal) : card, look, late));
    return late;
  }

  emptyWords() {
    if (this.awaited) return "Fetching what you decided before …";
    if (this.log.acts.size || this.log.attempt > this.log.answered) return "Fetching the next cards …";
    if (this.isServerIll) return "The next cards come as soon as the database can be read.";
    if (this.data.progress.waiting) return "Others are reading the rest. What they leave comes here by itself.";
    return "Nothing waits here.";
  }

  /** Whether all is decided and saved: then there is nothing that a decision could be about. */
  get isOver() {
    const isSettled = !this.awaited && !this.log.acts.size && this.log.attempt <= this.log.answered && !this.isServerIll;
    return isSettled && !this.queue.length && !this.looking && this.data.progress.waiting === 0;
  }

  /** Note when the card is painted; then draw what was left for late, and prepare the next card. */
  afterPaint(card, late) {
    this.isPainted = false;
    const turn = (this.turn = (this.turn || 0) + 1);
    requestAnimationFrame(() => {
      if (turn !== this.turn) return;
      this.isPainted = true;
      this.paintedAt = performance.now();
      this.root.dataset.painted = card ? card.id : "";
      this.bringIntoView();
      whenIdle(() => {
        if (turn !== this.turn) return;
        late.forEach((task) => task());
        whenIdle(() => turn === this.turn && this.prepareNext());
      });
    });
  }

  /** Show the card from its beginning where the page was scrolled; on a small screen also below the page's head. */
  bringIntoView() {
    const top = this.root.getBoundingClientRect().top;
    const isBelow = window.innerWidth < 700 && this.history.length > 0 && top > window.innerHeight * 0.3;
    if (top < 0 || isBelow) this.root.scrollIntoView({ block: "start" });
  }

  /** Draw the next card behind the stage, so that it only has to be shown: laying out texts takes the longest. */
  prepareNext() {
    const card = this.cards.get(this.queue[1]);
    if (!card || this.isGrid || this.looking || this.editing !== null) return;
    const look = this.lookOf(card);
    if (look.differences) {
      for (const [name, before, after] of comparisonsOf(card)) comparisonOf(card, name, before, after, { slowly: true });
    }
    const late = [];
    const sheet = drawSheet(card, look, late);
    sheet.classList.add("ahead");
    this.stage.append(sheet);
    this.ahead = { card, look: JSON.stringify(look), sheet, late };
  }

  drawStatus() {
    const open = [...this.log.acts.values()].filter((act) => act.sequence > this.data.last_sequence);
    const moved = open.reduce((sum, act) => sum + (act.action === "undo" ? -1 : act.items.length), 0);
    const { decided, waiting, ...rest } = this.data.progress;
    const progress = { decided: Math.max(0, decided + moved), waiting: Math.max(0, waiting - moved), ...rest };
    this.progress.title = this.data.kind === "proposal" ? COUNTED : "";
    this.progress.textContent = progressLine(progress, this.data.kind);
    const unsaved = this.log.acts.size;
    const words = unsaved ? `${unsaved.toLocaleString("en")} unsaved` : "saved";
    if (this.saving.textContent !== words) this.saving.textContent = words;
    this.saving.classList.toggle("waits", unsaved > 0);
    this.saving.title = this.log.isKept ? "" : "This browser keeps nothing: leave the tab open until all is saved.";
    this.root.dataset.unsaved = unsaved;
    this.drawGain();
    if (!this.shown && !this.isGrid && this.editing === null) {
      const empty = this.stage.querySelector(".empty");
      if (empty) empty.textContent = this.emptyWords();
    }
    this.liftDecisions(Boolean(this.shown));
  }

  /** What accepting the card adds to the grid of its source: it changes with every decision about the source. */
  drawGain() {
    const line = this.stage.querySelector(".sheet:not(.ahead) .adds");
    const card = this.shown;
    if (!line || !card) return;
    const isMoving = [...this.log.acts.values()].some((act) =>
      act.action === "undo" || act.items.some((id) => this.cards.get(id)?.source_id === card.source_id),
    );
    const grid = isMoving ? null : this.data.grids[card.id];
    const words = this.looking || grid === undefined ? [] : [gridWords(grid)];
    if (words.length && card.id in this.data.gains) words.push(gainWords(this.data.gains[card.id]));
    const said = words.join(" ");
    if (line.textContent !== said) line.textContent = said;
  }

  drawBanner() {
    this.banner.classList.toggle("back", this.looking !== null);
    if (this.looking !== null) {
      const past = this.past();
      const { act } = this.looking;
      const note = act.note ? ` Note: ${act.note}.` : "";
      const place = `Looking back, ${this.placeIn(past) + 1} of ${past.length}`;
      this.banner.textContent = `${place}: ${DONE[act.action]}.${note} A decision now decides anew; → goes on.`;
      return;
    }
    if (this.isGrid && this.draft && !this.decided.has(this.draft.id)) {
      this.banner.textContent = "The edit that you began is kept: it opens again in the view Card.";
      return;
    }
    const isKnown = this.blind && this.shown && this.hasSeen(this.shown);
    this.banner.textContent = [this.lastWords(), isKnown ? SEEN_BEFORE : ""].filter(Boolean).join(" ");
  }

  /** What was decided last; after a blind vote, what it meant. */
  lastWords() {
    const last = this.history[this.history.length - 1];
    if (!last) return "";
    const many = last.many || last.items.length;
    const done = many > 1 ? `${DONE[last.action]} (${count(many, "card", "cards")})` : DONE[last.action];
    const card = this.cards.get(last.items[0]);
    if (!card || !last.presented || last.presented === "open" || !revealsLabels(last)) return `Last: ${done}.`;
    const chosen = last.presented === "blind_swapped" ? "B" : "A";
    const margin = card.figures[0];
    const figure = margin ? `, ${margin.label} ${number(margin.before)} ${margin.unit || ""}` : "";
    return `Last: ${done}. ${chosen} was labelled chosen${figure}.`;
  }

  say(words) {
    const next = this.shown;
    const turn = next && next.prompt[lastTurnOf(next.prompt)];
    this.live.textContent = turn ? `${words}; next: ${turn.content.slice(0, 80)}` : words;
  }

  complain(words) {
    const close = element("button", { type: "button" }, "Close");
    close.addEventListener("click", () => {
      this.problem.hidden = true;
      this.root.focus({ preventScroll: true });
    });
    this.problem.replaceChildren(element("p", {}, words), close);
    this.problem.hidden = false;
  }

  drawButtons() {
    const isBlind = this.isBlindNow();
    this.drawnButtons = this.offered();
    this.bar.replaceChildren(...this.offered().map(([name, label], place) => this.button(name, label, place === 0 && !isBlind)));
    this.bar.hidden = this.data.read_only;
    this.root.classList.toggle("presented", this.data.read_only);
    const tools = this.isGrid ? GRID_TOOLS : TOOLS;
    this.tools.replaceChildren(...tools.map(([name, label]) => this.button(name, label, false)));
    for (const [name, isOn] of [["blind", this.blind], ["differences", this.differences]]) {
      const button = this.tools.querySelector(`[data-name=${name}]`);
      if (button) button.setAttribute("aria-pressed", String(isOn));
    }
  }

  /** Let the buttons that decide about a card be pressed only while there is one, and show none where all is over. */
  liftDecisions(hasCard) {
    for (const button of this.bar.children) {
      const { name } = button.dataset;
      const decides = DECISIONS.has(name) || name === "note";
      button.disabled = !hasCard && !this.isGrid && decides;
      button.hidden = decides && this.isOver;
    }
  }

  button(name, label, isStrong) {
    const key = this.keyOf(name);
    const made = element("button", { type: "button", "data-name": name, "aria-keyshortcuts": KEY_NAMES[name] || key, class: isStrong && "strong" });
    made.append(element("span", {}, label), element("kbd", { "aria-hidden": "true" }, key));
    made.addEventListener("click", () => this.press(name));
    return made;
  }

  keyOf(name) {
    if (name in KEY_SHOWN) return KEY_SHOWN[name];
    const sides = this.data.kind === "proposal" ? { left: "accept_chosen", right: "accept_rejected" } : {};
    return this.data.keys[sides[name] || name] || "";
  }

  toggleBlind() {
    this.blind = !this.blind;
    this.drawButtons();
    this.show();
    this.say(this.blind ? "blind: labels are hidden, from the next card on where they were seen" : "labels are shown");
    this.send();
  }

  toggleDifferences() {
    this.differences = !this.differences;
    remember("differences", this.differences);
    this.drawButtons();
    this.show();
  }

  toggleHelp() {
    this.help.hidden = !this.help.hidden;
    const names = [...this.offered(), ...(this.isGrid ? GRID_TOOLS : TOOLS)];
    const rows = names.map(([name, label]) =>
      element(
        "tr",
        {},
        element("td", {}, element("kbd", {}, this.keyOf(name))),
        element("th", { scope: "row" }, label),
        element("td", {}, (this.isGrid && GRID_MEANING[name]) || MEANING[name]),
      ),
    );
    this.help.replaceChildren(element("table", {}, element("tbody", {}, ...rows)));
  }
}

/** Whether who did this knows the labels of its items since: a decision says what it meant, a blind skip does not. */
function revealsLabels(act) {
  return act.action !== "undo" && (act.action !== "skip" || act.presented === "open");
}

function editedCard(card, proposal) {
  const unchanged = card.unchanged_sides.filter((side) => proposal[side] === card.source[side]);
  return { ...card, proposal, unchanged_sides: unchanged };
}

/** A text without differences in case and white space, much as the server compares two answers. */
function plain(text) {
  return text.trim().split(/\s+/).join(" ").toLowerCase();
}

function withLastTurn(turns, text) {
  const last = lastTurnOf(turns);
  return turns.map((turn, index) => (index === last ? { ...turn, content: text } : turn));
}

function takesText(target) {
  if (!(target instanceof Element)) return false;
  if (target.isContentEditable || target.matches("textarea, select")) return true;
  return target.matches("input:not([type=checkbox], [type=radio], [type=button], [type=range], [type=submit])");
}

/** Whether an element outside the deck needs this key itself. */
function isBusyElsewhere(target, key) {
  if (!(target instanceof Element) || target === document.body) return false;
  if (target.closest("[role=dialog], [role=listbox], [role=menu], [role=combobox], [role=grid]")) return true;
  return key in ARROWS && target.matches("input, [role=slider], [role=tab], [role=radio], [role=option], .js-plotly-plot *");
}

function whenIdle(task) {
  if (window.requestIdleCallback) window.requestIdleCallback(task, { timeout: 300 });
  else window.setTimeout(task, 0);
}

/** What Streamlit calls at the mount and at every change of the data. */
export default function (component) {
  const { parentElement, data, setStateValue } = component;
  let deck = decks.get(parentElement);
  if (!deck) {
    deck = new Deck(parentElement);
    decks.set(parentElement, deck);
  }
  deck.calls = (deck.calls || 0) + 1;
  const call = deck.calls;
  deck.receive(data, setStateValue);
  return () => {
    if (deck.calls !== call) return; // a newer call is in charge
    deck.close();
    decks.delete(parentElement);
  };
}
