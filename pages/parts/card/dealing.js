// What a deck holds: the dealt cards, the log of what was decided, and when the two are sent and asked for.

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

let keyboardOwner = null; // the deck that was mounted last takes the keys

const NUDGE_AFTER = 5000; // milliseconds between questions for new cards while there are none
const MOMENT = 100; // milliseconds that two requests are kept apart
const CHOICE_OF_ORDER = ".st-key-review-order, .st-key-check-order";
const MOST_LOOKED_BACK = 400; // acts that are kept to look back at

/** Holds the cards that were dealt to one person, and tells the server what they decided. */
class Dealing {
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
    this.onMoved = () => this.tellMoved();
    window.addEventListener("mars:moved", this.onMoved);
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
    window.removeEventListener("mars:moved", this.onMoved);
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
    this.onward = element("button", { type: "button", class: "onward" }, "Train on what is accepted →");
    this.onward.addEventListener("click", () => goToTrain());
    this.stage = element("div", { class: "stage" });
    this.noted = element("div", { class: "noted" });
    this.bar = element("div", { class: "bar", role: "group", "aria-label": "Decisions" });
    this.help = element("div", { class: "help", role: "region", "aria-label": "Keys", hidden: true });
    this.live = element("p", { class: "unseen", "aria-live": "polite" });
    const top = element("div", { class: "top" }, this.progress, this.saving, this.tools);
    const said = element("div", { class: "said" }, this.banner, this.onward);
    const foot = element("div", { class: "foot" }, this.noted, this.bar);
    this.root = element(
      "section",
      { class: "deck", role: "region", tabindex: "-1" },
      ...[top, this.help, this.problem, said, this.stage, foot, this.live],
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
    this.onward.hidden = data.kind === "pair";
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
}
