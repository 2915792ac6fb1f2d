// The log of acts that the database has not acknowledged yet. It outlives a reload, a crash and a lost connection.

const RESEND_AFTER = 2000; // milliseconds without an answer
const RESEND_AT_MOST = 5000; // after several without one: a request interrupts a server that is slow, as when it starts

/**
 * Keeps every act in memory and in localStorage until it is acknowledged, and sends the whole log.
 *
 * One request is under way at a time: a new one would interrupt the server's work on the one before. An act sent twice
 * is stored once, because it keeps its sequence number. Each act has a storage entry of its own, so that two tabs of
 * one annotator never overwrite each other's.
 */
class Log {
  constructor(workspace, annotator, kind) {
    this.room = `mars:${workspace}:`;
    this.prefix = `${this.room}${kind}:${encodeURIComponent(annotator)}:act:`;
    this.acts = new Map(); // by sequence, oldest first
    this.last = 0; // greatest sequence given out or seen
    this.attempt = 0; // of the newest request; attempts are moments, so that they grow across reloads
    this.answered = 0;
    this.unheard = 0; // requests since the last answer
    this.isKept = true; // false where the browser refuses to store
    this.restore();
  }

  /** Take up what an earlier page of this browser left, this tab's or another's. */
  restore() {
    for (const act of storedActs(this.prefix)) this.acts.set(act.sequence, act);
    this.acts = new Map([...this.acts].sort((one, other) => one[0] - other[0]));
    for (const sequence of this.acts.keys()) this.saw(sequence);
  }

  /** How many acts other names or pages of this workspace left unsaved in this browser. */
  elsewhere() {
    return storedActs(this.room).filter((act) => !this.acts.has(act.sequence)).length;
  }

  saw(sequence) {
    this.last = Math.max(this.last, sequence);
  }

  /** Number an act and keep it. */
  add(act) {
    const sequence = Math.max(this.last + 1, Date.now() * 1000 + Math.floor(Math.random() * 1000));
    const numbered = { ...act, sequence };
    this.last = sequence;
    this.acts.set(sequence, numbered);
    try {
      localStorage.setItem(this.prefix + sequence, JSON.stringify(numbered));
    } catch {
      this.isKept = false;
    }
    return numbered;
  }

  /** Forget an act that the database has, or will never take; returns it if it was here. */
  settle(sequence) {
    const act = this.acts.get(sequence);
    this.acts.delete(sequence);
    try {
      localStorage.removeItem(this.prefix + sequence);
    } catch {
      this.isKept = false;
    }
    return act;
  }

  get isWaiting() {
    const patience = Math.min(RESEND_AFTER * 1.4 ** Math.max(0, this.unheard - 1), RESEND_AT_MOST);
    return this.attempt > this.answered && Date.now() - this.attempt < patience;
  }

  /** The number of a new request, which carries the whole log. */
  begin() {
    this.attempt = Math.max(this.attempt + 1, Date.now());
    this.unheard += 1;
    return this.attempt;
  }

  /** The server has answered this request or a later one. */
  finish(attempt) {
    if (attempt > this.answered) this.unheard = 0;
    this.answered = Math.max(this.answered, attempt);
  }
}

function storedActs(prefix) {
  const acts = [];
  try {
    for (let index = 0; index < localStorage.length; index += 1) {
      const name = localStorage.key(index);
      if (!name.startsWith(prefix) || !name.includes(":act:")) continue;
      const act = parsed(localStorage.getItem(name));
      if (act && Number.isSafeInteger(act.sequence)) acts.push(act);
    }
  } catch {
    return acts; // the browser keeps nothing for this page
  }
  return acts;
}

function parsed(json) {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

/** Remember or read one small setting of this browser, such as whether differences are marked. */
function remember(name, value) {
  try {
    localStorage.setItem(`mars:setting:${name}`, JSON.stringify(value));
  } catch {
    // a setting that is not remembered is a nuisance only
  }
}

function remembered(name, otherwise) {
  try {
    const value = parsed(localStorage.getItem(`mars:setting:${name}`));
    return value === null ? otherwise : value;
  } catch {
    return otherwise;
  }
}
