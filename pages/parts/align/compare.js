// A blind comparison: two answers to a prompt, one key a vote. Every vote stands in the log until the database has it.

const ACTIONS = [
  ["left", "Left is better", "1"],
  ["right", "Right is better", "2"],
  ["tie", "Neither", "0"],
  ["skip", "Skip", "S"],
  ["undo", "Undo", "U"],
];
const SAID = { left: "left is better", right: "right is better", tie: "neither", skip: "skipped" };
const ROLES = { user: "User", assistant: "Assistant", system: "System" };

let comparingWithKeys = null; // the one that was mounted last takes the keys

class Comparing {
  constructor(host) {
    this.host = host;
    this.front = null; // number of the prompt that undo took back: it is shown until it is decided
    this.isSure = false; // whether the result was asked for once while prompts were left
    this.paintedAt = Infinity;
    this.build();
    this.listeners = [
      [window, "keydown", (event) => this.takeKey(event), true],
      [window, "online", () => this.data && this.send()],
      [window, "storage", (event) => this.hearOtherTab(event)],
      [window, "beforeunload", (event) => this.warn(event)],
    ];
    for (const [target, name, act, isFirst] of this.listeners) target.addEventListener(name, act, Boolean(isFirst));
    this.timer = window.setInterval(() => this.tick(), 500);
    comparingWithKeys = this;
  }

  close() {
    for (const [target, name, act, isFirst] of this.listeners) target.removeEventListener(name, act, Boolean(isFirst));
    window.clearInterval(this.timer);
    this.root.remove();
    if (comparingWithKeys === this) comparingWithKeys = null;
  }

  build() {
    this.progress = element("p", { class: "progress" });
    this.saving = element("p", { class: "saving" });
    this.problem = element("div", { class: "problem", role: "alert", hidden: true });
    this.banner = element("p", { class: "banner" });
    this.stage = element("div", { class: "stage" });
    this.bar = element("div", { class: "bar", role: "group", "aria-label": "Votes" });
    this.live = element("p", { class: "unseen", "aria-live": "polite" });
    for (const [name, label, key] of ACTIONS) this.bar.append(this.button(name, label, key));
    this.result = element("button", { type: "button", "data-name": "reveal", style: "margin-left: auto" });
    this.result.addEventListener("click", () => this.askForResult());
    this.bar.append(this.result);
    const top = element("div", { class: "top" }, this.progress, this.saving);
    this.foot = element("div", { class: "foot" }, this.bar);
    const parts = [top, this.problem, this.banner, this.stage, this.foot, this.live];
    this.root = element("section", { class: "deck compare", role: "region", tabindex: "-1", "aria-label": "Blind comparison" }, ...parts);
    this.host.append(this.root);
  }

  button(name, label, key) {
    const made = element("button", { type: "button", "data-name": name, "aria-keyshortcuts": key });
    made.append(element("span", {}, label), element("kbd", { "aria-hidden": "true" }, key));
    made.addEventListener("click", () => this.press(name));
    return made;
  }

  // ------------------------------------------------------------------------------------------ from the server

  receive(data, setStateValue) {
    this.setStateValue = setStateValue;
    const isOther = !this.data || data.comparison !== this.data.comparison || data.annotator !== this.data.annotator;
    if (isOther) {
      this.log = new Log(data.workspace, data.annotator, `comparison-${data.comparison}`);
      this.front = null;
    }
    const before = this.data;
    this.data = !isOther && data.cards === null ? { ...before, ...data, cards: before.cards, votes: before.votes } : data;
    this.cards = new Map((this.data.cards || []).map((card) => [card.number, card]));
    this.settle(data);
    this.apply();
    this.draw();
    if (isOther) this.root.focus({ preventScroll: true });
    if (this.log.acts.size) this.send();
  }

  /** Drop the votes that the database has, and say which it will never take. */
  settle(data) {
    this.log.finish(data.attempt);
    this.log.saw(data.last_sequence);
    for (const sequence of data.acknowledged) this.log.settle(sequence);
    for (const { sequence, reason } of data.refused) {
      const act = this.log.settle(sequence);
      if (act) this.complain(`Not stored: ${SAID[act.action] || act.action}. It was refused because ${reason}.`);
    }
    if (data.problem) this.complain(data.problem);
    else if (this.isServerIll) this.problem.hidden = true;
    this.isServerIll = Boolean(data.problem);
  }

  /** What stands: the votes that the server knows, and after them what it does not know yet. */
  apply() {
    this.votes = new Map((this.data.votes || []).map(({ number, action }) => [number, [action]]));
    this.order = (this.data.votes || []).map(({ number }) => number); // oldest first
    this.isAsked = this.data.over;
    for (const act of this.log.acts.values()) this.applyAct(act);
  }

  applyAct({ number, action }) {
    if (action === "reveal") {
      this.isAsked = true;
      return;
    }
    const before = this.votes.get(number) || [];
    const after = action === "undo" ? before.slice(0, -1) : [...before, action];
    this.order = this.order.filter((each) => each !== number);
    if (after.length) {
      this.votes.set(number, after);
      this.order.push(number);
    } else {
      this.votes.delete(number);
    }
  }

  voteOn(number) {
    return (this.votes.get(number) || []).at(-1);
  }

  /** The prompt to vote on: what undo took back, the first without a vote, then what was put off longest ago. */
  get shown() {
    if (this.isAsked) return null;
    const open = [...this.cards.keys()].filter((number) => !this.votes.has(number));
    const putOff = this.order.filter((number) => this.voteOn(number) === "skip" && this.cards.has(number));
    const next = this.front ?? open[0] ?? putOff[0];
    return next === undefined ? null : this.cards.get(next);
  }

  get left() {
    return [...this.cards.keys()].filter((number) => !["left", "right", "tie"].includes(this.voteOn(number))).length;
  }

  // -------------------------------------------------------------------------------------------- to the server

  press(name) {
    if (!this.data || this.isAsked) return;
    if (name === "undo") {
      this.undo();
      return;
    }
    const card = this.shown;
    if (!card) return;
    this.front = null;
    this.add(card.number, name);
    this.say(SAID[name]);
  }

  undo() {
    const newest = this.order.at(-1);
    if (newest === undefined) {
      this.complain("There is nothing left to take back.");
      return;
    }
    this.front = newest;
    this.add(newest, "undo");
    this.say("taken back");
  }

  /** Ask for the result; where prompts are left, only at the second press. */
  askForResult() {
    if (this.isAsked || this.left === this.cards.size) return;
    if (this.left && !this.isSure) {
      this.isSure = true;
      this.draw();
      return;
    }
    this.add(-1, "reveal");
  }

  add(number, action) {
    const seconds = Math.max(0, (performance.now() - this.shownAt) / 1000);
    const { annotator, comparison } = this.data;
    this.isSure = this.isSure && action === "reveal";
    this.problem.hidden = this.isServerIll ? this.problem.hidden : true;
    this.applyAct(this.log.add({ annotator, comparison, number, action, seconds }));
    this.draw();
    this.send();
  }

  send() {
    if (this.log.isWaiting) return; // the answer to the request under way brings the next one about
    const isUnheard = this.log.attempt > this.log.answered;
    this.setStateValue("log", { attempt: this.log.begin(), votes: [...this.log.acts.values()] });
    if (isUnheard) window.setTimeout(() => window.dispatchEvent(new Event("mars:whole-run")), 250);
    this.drawStatus();
  }

  tick() {
    if (this.data && (this.log.acts.size || this.isServerIll) && !this.log.isWaiting) this.send();
  }

  /** Another tab of the same person voted: ask for what stands once the database has it. */
  hearOtherTab(event) {
    if (!this.data || !event.key || !event.key.startsWith(this.log.prefix)) return;
    const act = parsed(event.newValue);
    if (act) this.log.saw(act.sequence);
    else this.send();
  }

  warn(event) {
    if (!this.data || !this.log.acts.size) return;
    event.preventDefault();
    event.returnValue = ""; // older browsers ask only for this
  }

  // ------------------------------------------------------------------------------------------------- keyboard

  takeKey(event) {
    if (!this.root.isConnected) return; // Streamlit took it from the page, and closes it in a moment
    comparingWithKeys ??= this;
    if (comparingWithKeys !== this || !this.data || this.isAsked || event.isComposing) return;
    const target = event.composedPath()[0];
    if (takesText(target) || event.ctrlKey || event.altKey || event.metaKey) return;
    const found = ACTIONS.find(([, , key]) => key.toLowerCase() === event.key.toLowerCase());
    if (!found || (!this.root.contains(target) && isBusyElsewhere(target, false))) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.repeat) return;
    // A key that was pressed before the card was on the screen is no vote about it.
    if (found[0] !== "undo" && event.timeStamp < this.paintedAt) return;
    this.press(found[0]);
  }

  // -------------------------------------------------------------------------------------------------- drawing

  draw() {
    const card = this.shown;
    const name = card ? String(card.number) : "";
    if (this.drawn !== name || this.drawnOf !== this.data.comparison) {
      this.drawn = name;
      this.drawnOf = this.data.comparison;
      this.shownAt = performance.now();
      this.paintedAt = Infinity;
      this.root.dataset.card = name;
      this.stage.replaceChildren(card ? this.sheet(card) : element("p", { class: "empty" }, this.emptyWords()));
      requestAnimationFrame(() => {
        this.paintedAt = performance.now();
        this.root.dataset.painted = name;
      });
    }
    this.stage.hidden = this.data.over;
    this.foot.hidden = this.isAsked;
    this.root.classList.toggle("over", this.data.over);
    for (const button of this.bar.querySelectorAll("button")) {
      const action = button.dataset.name;
      if (action === "undo") button.disabled = !this.order.length;
      else if (action === "reveal") button.disabled = this.left === this.cards.size;
      else button.disabled = !card;
    }
    this.result.textContent = this.resultWords();
    this.result.classList.toggle("strong", this.left === 0);
    this.drawStatus();
    this.banner.textContent = this.bannerWords();
  }

  sheet(card) {
    const turns = card.prompt.map(({ role, content }) =>
      element("div", { class: "turn" }, element("p", { class: "label" }, ROLES[role] || role), this.text(content)),
    );
    const sides = [["Left", "1", card.left], ["Right", "2", card.right]].map(([title, key, text]) =>
      element("section", { class: "side", "aria-label": title }, element("h2", {}, `${title} `, element("kbd", { "aria-hidden": "true" }, key)), this.text(text)),
    );
    return element("div", { class: "main" }, element("div", { class: "prompt" }, ...turns), element("div", { class: "two" }, ...sides));
  }

  text(content) {
    const made = element("div", { class: "text", tabindex: "0" });
    made.textContent = content;
    return made;
  }

  emptyWords() {
    if (this.isAsked) return "Fetching the result …";
    if (!this.cards.size) return "The answers come as soon as the database can be read.";
    return `You have voted on all ${this.cards.size} prompts. U takes the last vote back; “See the result” tells whose answers they are.`;
  }

  resultWords() {
    if (!this.left) return "See the result";
    if (!this.isSure) return "End here";
    return `${this.left} left: end and see the result?`;
  }

  bannerWords() {
    if (this.data.over) return "";
    const last = this.order.at(-1);
    return last === undefined ? "Whose answers these are stays hidden until you end." : `Last: ${SAID[this.voteOn(last)]}.`;
  }

  drawStatus() {
    const unsaved = this.log.acts.size;
    const done = this.cards.size - this.left;
    this.root.dataset.unsaved = String(unsaved);
    this.progress.textContent = this.data.over ? "" : `${done} of ${this.cards.size} decided`;
    this.saving.textContent = unsaved ? `${unsaved} not saved yet` : "saved";
    this.saving.classList.toggle("waits", unsaved > 0);
    this.saving.hidden = this.data.over && !unsaved;
  }

  say(words) {
    const turn = this.shown && this.shown.prompt.at(-1);
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
}

export default mounting(Comparing);
