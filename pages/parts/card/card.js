// The deck on the screen: takes keys and buttons, and draws the card, its status and its buttons.

class Deck extends Deciding {
  // ------------------------------------------------------------------------------------------------- keyboard

  takeKey(event) {
    if (!this.root.isConnected) return; // Streamlit took it from the page, and closes it in a moment
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
    if (!name || (!isInside && isBusyElsewhere(target, event.key in ARROWS))) return;
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
    const decided = this.looking !== null && this.looking.act.action !== "skip";
    return { blind: this.isBlindNow(card), decided, differences: this.differences, isWide: window.innerWidth > 700 };
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
    this.onward.classList.toggle("waits", !rest.accepted);
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
    const moved = this.movedWords();
    const card = this.cards.get(last.items[0]);
    const second = card && many === 1 && last.action !== "skip" ? opinionWords(card.opinions, last.action) : "";
    if (!card || !last.presented || last.presented === "open" || !revealsLabels(last)) return `Last: ${done}.${moved}${second}`;
    const chosen = last.presented === "blind_swapped" ? "B" : "A";
    const margin = card.figures[0];
    const figure = margin ? `, ${margin.label} ${number(margin.before)} ${margin.unit || ""}` : "";
    return `Last: ${done}. ${chosen} was labelled chosen${figure}.${moved}${second}`;
  }

  /** How the newest refit moved the margin of the card that was decided last when it began; see `live.py`. */
  movedWords() {
    const moved = window.marsMoved;
    const place = moved ? this.history.findLastIndex((act) => act.items.includes(moved.item)) : -1;
    if (place < 0 || (this.blind && !revealsLabels(this.history[place]))) return "";
    const later = this.history.length - 1 - place;
    const whose = later === 0 ? "Its margin" : later === 1 ? "Margin of the one before" : `Margin of the one ${later} before`;
    return ` ${whose}, refitted: ${number(moved.before)} → ${number(moved.after)}.`;
  }

  tellMoved() {
    const moved = JSON.stringify(window.marsMoved);
    if (!this.data || this.toldMoved === moved) return;
    this.toldMoved = moved;
    this.drawBanner();
    this.live.textContent = this.movedWords();
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

/** Go to Train by Streamlit's own link where it is on the page, so that it need not be loaded anew. */
function goToTrain() {
  const link = document.querySelector('[data-testid="stSidebarNavLink"][href$="/train"]');
  if (link) link.click();
  else window.location.assign("train");
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

function whenIdle(task) {
  if (window.requestIdleCallback) window.requestIdleCallback(task, { timeout: 300 });
  else window.setTimeout(task, 0);
}

export default mounting(Deck);
