// A prompt and two answers side by side. Texts go in as text nodes only.

function node(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function textBox(label, text) {
  const box = node("div", "text", text);
  box.dir = "auto";
  box.tabIndex = 0;
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", label);
  return box;
}

function drawPrompt(turns) {
  const prompt = node("section", "prompt");
  prompt.setAttribute("aria-label", "Prompt");
  prompt.append(node("h3", "", turns.length === 1 ? "Prompt" : `Prompt, ${turns.length} turns`));
  if (!turns.length) prompt.append(node("p", "label", "This pair has no prompt."));
  for (const turn of turns) prompt.append(node("p", "label", turn.role), textBox(`Prompt, ${turn.role}`, turn.content));
  return prompt;
}

function drawAnswer(title, text, runs, tag) {
  const side = node("section", "side");
  side.classList.add(title.toLowerCase());
  side.setAttribute("aria-label", title);
  const box = textBox(title, runs ? "" : text);
  for (const run of runs || []) box.append(run.changed ? node(tag, "", run.text) : run.text);
  side.append(node("h3", "", title), box);
  return side;
}

function draw(root, data, marked) {
  const compared = marked ? compareTexts(data.rejected, data.chosen) : null;
  const two = node(
    "div",
    "two",
    drawAnswer("Chosen", data.chosen, compared && compared.after, "ins"),
    drawAnswer("Rejected", data.rejected, compared && compared.before, "del"),
  );
  root.replaceChildren(drawPrompt(data.prompt));
  if (data.can_switch) root.append(drawSwitch(root, data, marked));
  if (compared && compared.why) root.append(node("p", "label", `The answers are ${compared.why}.`));
  root.append(two);
}

function drawSwitch(root, data, marked) {
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = marked;
  box.addEventListener("change", () => {
    draw(root, data, box.checked);
    root.querySelector("input").focus();
  });
  return node("label", "switch", box, " Mark the words that differ");
}

export default function ({ parentElement, data }) {
  let root = parentElement.querySelector(".pair");
  if (!root) {
    root = node("div", "pair");
    parentElement.append(root);
  }
  const shown = JSON.stringify(data);
  if (root.dataset.shown === shown) return;
  root.dataset.shown = shown;
  draw(root, data, true);
}
