// What a person does with the cards: decide, take back, look back, note, edit.

class Deciding extends Dealing {
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
}
