// One sample: image, question, truth, and each model's answer beside the others. Text is only ever put in as text.
const MARKS = {
  r: ["✓", "right", "right"],
  w: ["✗", "wrong", "wrong"],
  f: ["!", "failed, counts as wrong", "wrong"],
  n: ["–", "neither right nor wrong", "neither"],
  ".": ["", "was not asked", "neither"],
};

function make(tag, { text, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

// Its direction is its own, and what steers text without being seen is shown as a box
const foreign = (text, tag = "bdi") => make(tag, { dir: "auto", text: text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd") });

function card(sheet, row, view) {
  const id = sheet.id[row];
  const title = make("h3", {}, make("a", { href: view.address(id), title: "Link to this sample" }, foreign(id)));
  const options = at(sheet.options, row);
  const asked = make("div", { className: "asked" }, title);
  asked.append(make("p", { className: "question" }, foreign(at(sheet.question, row) || "Which class?")));
  if (options.length) asked.append(make("p", { className: "soft" }, "Of: ", ...list(options, " · ")));
  asked.append(make("p", {}, "Truth: ", make("b", {}, foreign(at(sheet.truth, row) || "none"))), about(sheet, row));
  const answers = make("ul", { className: "said" }, ...view.cases.map((one) => answer(sheet, row, one)));
  const element = make("article", { className: "card", tabIndex: -1 }, picture(sheet, row), asked, answers);
  element.dataset.row = row;
  element.setAttribute("aria-label", `Sample ${id}`);
  return element;
}

const list = (texts, between) => texts.flatMap((text, i) => (i ? [between, foreign(text)] : [foreign(text)]));

function about(sheet, row) {
  const said = [FORMS[at(sheet.form, row)] ?? at(sheet.form, row), at(sheet.skill, row)];
  if (at(sheet.group, row) !== sheet.id[row]) said.push(`group ${at(sheet.group, row)}`);
  for (const [name, column] of sheet.attributes) if (at(column, row)) said.push(`${name}: ${at(column, row)}`);
  return make("p", {}, make("small", {}, ...list(said.filter(Boolean), " · ")));
}

function answer(sheet, row, { about, place, part, lost }) {
  const letter = sheet.letters[place][row];
  const [sign, word, look] = MARKS[letter];
  const head = make("div", { className: "who" }, foreign(about.model, "b"), " ");
  head.append(make("small", {}, foreign(about.regime), about.seed ? ` seed ${about.seed}` : ""));
  const verdict = make("span", { className: `mark ${look}` }, make("i", { ariaHidden: "true", text: sign }), word);
  const element = make("li", { className: about.kind === "general" ? "general" : "medical" }, head, verdict);
  if (lost) element.append(make("p", { text: lost }));
  if (!part || letter === ".") return element;
  const probability = part.probability[row];
  if (probability !== null) element.append(make("small", { text: `probability ${(probability / 1000).toFixed(3)}` }));
  if (at(part.answer, row)) element.append(make("p", { className: "words" }, foreign(at(part.answer, row))));
  element.append(make("p", {}, make("small", {}, foreign(at(part.why, row)))));
  return element;
}

function picture(sheet, row) {
  const frame = make("div", { className: "picture" });
  frame.append(make("small", { text: sheet.picture[row] === null ? "No thumbnail is kept for this sample." : "Loading the image…" }));
  return frame;
}

function fillPicture(frame, found, id) {
  if (found.jpeg && /^[A-Za-z0-9+/=]+$/.test(found.jpeg))
    frame.replaceChildren(make("img", { src: `data:image/jpeg;base64,${found.jpeg}`, alt: `Image of sample ${id}` }));
  else frame.replaceChildren(make("small", {}, "No picture: ", foreign(found.absent ?? "damaged")));
}
