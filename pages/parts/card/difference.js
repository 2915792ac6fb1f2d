// Word-level differences of two texts. Nothing here touches the page.

const MOST_WORDS = 5000; // of one text; longer ones are shown without marks
const MOST_CHANGES = 1200; // words; texts further apart than this are "too different"
const LEAST_COMMON = 0.2; // share of the longer text's words; below it nearly everything would be marked
const TOO_LONG = `too long to mark single words: over ${MOST_WORDS.toLocaleString("en")} words`;
const MANY_CHANGES = `too different to mark single words: over ${MOST_CHANGES.toLocaleString("en")} of them differ`;
const LITTLE_IN_COMMON = `too different to mark single words: under ${100 * LEAST_COMMON}% of them are in both`;

/** Split a text into words and marks, each with the white space after it; joined they give the text again. */
function splitWords(text) {
  return text.match(/^\s+|(?:[\p{L}\p{N}\p{M}_'’]+|[^\s])\s*/gu) || [];
}

/**
 * Compare two texts word by word (Myers 1986, greedy).
 *
 * Returns {before, after, why}: runs {text, changed} that joined give the texts. Where the texts are too long or too
 * different to mark anything of use, there are no runs, and `why` says which of the two it is.
 */
function compareTexts(before, after) {
  const old = splitWords(before);
  const young = splitWords(after);
  if (old.length > MOST_WORDS || young.length > MOST_WORDS) return unmarked(TOO_LONG);
  const oldWords = old.map((word) => word.trimEnd());
  const youngWords = young.map((word) => word.trimEnd());
  let start = 0;
  while (start < old.length && start < young.length && oldWords[start] === youngWords[start]) start += 1;
  let end = 0;
  while (
    end < old.length - start &&
    end < young.length - start &&
    oldWords[old.length - 1 - end] === youngWords[young.length - 1 - end]
  ) {
    end += 1;
  }
  const common = commonWords(oldWords.slice(start, old.length - end), youngWords.slice(start, young.length - end));
  if (common === null) return unmarked(MANY_CHANGES);
  const oldKept = new Uint8Array(old.length).fill(1);
  const youngKept = new Uint8Array(young.length).fill(1);
  oldKept.fill(0, start, old.length - end);
  youngKept.fill(0, start, young.length - end);
  for (const [x, y] of common) {
    oldKept[start + x] = 1;
    youngKept[start + y] = 1;
  }
  const kept = start + end + common.length;
  if (kept < LEAST_COMMON * Math.max(old.length, young.length)) return unmarked(LITTLE_IN_COMMON);
  return { before: asRuns(old, oldKept), after: asRuns(young, youngKept), why: "" };
}

function unmarked(why) {
  return { before: null, after: null, why };
}

/** Positions [x, y] of a longest common subsequence, or null where it takes more than MOST_CHANGES to find. */
function commonWords(a, b) {
  const limit = Math.min(a.length + b.length, MOST_CHANGES);
  const furthest = new Int32Array(2 * limit + 3);
  const trail = [];
  for (let changes = 0; changes <= limit; changes += 1) {
    trail.push(furthest.slice(limit - changes, limit + changes + 3));
    for (let k = -changes; k <= changes; k += 2) {
      const at = limit + 1 + k;
      const down = k === -changes || (k !== changes && furthest[at - 1] < furthest[at + 1]);
      let x = down ? furthest[at + 1] : furthest[at - 1] + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x += 1;
      furthest[at] = x;
      if (x >= a.length && x - k >= b.length) return walkBack(trail, a.length, b.length);
    }
  }
  return null;
}

/** Follow the trail of furthest points back to the start, and collect the words kept on the way. */
function walkBack(trail, x, y) {
  const common = [];
  for (let changes = trail.length - 1; changes >= 0; changes -= 1) {
    const furthest = trail[changes]; // of the diagonals -changes-1 … changes+1
    const k = x - y;
    const at = k + changes + 1;
    const down = k === -changes || (k !== changes && furthest[at - 1] < furthest[at + 1]);
    const fromK = down ? k + 1 : k - 1;
    const fromX = changes === 0 ? 0 : furthest[fromK + changes + 1];
    const fromY = changes === 0 ? 0 : fromX - fromK;
    while (x > fromX && y > fromY) {
      x -= 1;
      y -= 1;
      common.push([x, y]);
    }
    x = fromX;
    y = fromY;
  }
  return common;
}

function asRuns(words, kept) {
  const runs = [];
  for (let index = 0; index < words.length; index += 1) {
    const changed = !kept[index];
    const word = words[index].trimEnd();
    const goesOn = changed && index + 1 < words.length && !kept[index + 1];
    if (changed && !goesOn) {
      addRun(runs, word, true);
      addRun(runs, words[index].slice(word.length), false); // the space after a change is none
    } else addRun(runs, words[index], changed);
  }
  return runs;
}

function addRun(runs, text, changed) {
  const last = runs[runs.length - 1];
  if (last && last.changed === changed) last.text += text;
  else if (text) runs.push({ text, changed });
}
