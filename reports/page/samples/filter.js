// Which samples and answers are shown, as a function of the state: what the controls say, and the page's address.
const KEYS = ["task", "model", "regime", "seed", "type", "subgroup", "text", "sort", "first", "second", "outcome", "all", "page", "sample"];
const EACH_PAGE = 20;
const MOST_PICTURES = 1e6; // more than the samples with a thumbnail, which are those on which models disagree most
const MOST_ANSWERS = 12; // of a sample, until all are asked for

const isRight = (letter) => letter === "r";
const isWrong = (letter) => letter === "w" || letter === "f";
const OUTCOMES = {
  "both right": (a, b) => isRight(a) && isRight(b),
  "both wrong": (a, b) => isWrong(a) && isWrong(b),
  "only first wrong": (a, b) => isWrong(a) && isRight(b),
  "only second wrong": (a, b) => isRight(a) && isWrong(b),
  "one right, one wrong": (a, b) => (isWrong(a) && isRight(b)) || (isRight(a) && isWrong(b)),
  "one failed or both": (a, b) => a === "f" || b === "f",
};
const SORTS = {
  "": "models disagree most",
  data: "as in the data set",
  hardest: "most often wrong",
  easiest: "most often right",
};
const FORMS = { label: "diagnosis", findings: "several findings", closed: "closed", choice: "choice", open: "open" };

const at = (column, row) => column.values[column.rows[row]];

function readHash(hash) {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const state = Object.fromEntries(KEYS.filter((key) => said.get(key)).map((key) => [key, said.get(key)]));
  return Object.keys(state).length ? state : null;
}

function writeHash(state) {
  const said = KEYS.filter((key) => state[key]).map((key) => [key, state[key]]);
  return `#${new URLSearchParams(said)}`;
}

// "TASK/ID": a name may hold a slash, so that the longest task that fits is meant
function linked(sample) {
  const tasks = INDEX.tasks.filter((task) => sample.startsWith(`${task.name}/`));
  const task = tasks.sort((a, b) => b.name.length - a.name.length)[0];
  return task && { task, id: sample.slice(task.name.length + 1) };
}

const byName = (name) => INDEX.tasks.find((task) => task.name === name);
const taskOf = (state) => (state.sample && linked(state.sample)?.task) || byName(state.task) || INDEX.tasks[0];

// Places of the two cases that are held against each other
function pairOf(state, task) {
  const place = (id, otherwise) => {
    const found = task.cases.findIndex((one) => one.id === id);
    return found < 0 ? otherwise : found;
  };
  return [place(state.first, task.pair[0]), place(state.second, task.pair[1])];
}

// Places of the cases whose answers are shown, the two that are held against each other first
function answering(state, task) {
  const seeds = [...new Set(task.cases.map((one) => one.seed))];
  const seed = state.seed || String(seeds[0]); // "" where another task was chosen
  const alike = (one) => task.cases.filter(({ model, regime }) => model === one.model && regime === one.regime);
  const speaks = (one) => String(one.seed) === seed || !alike(one).some((other) => String(other.seed) === seed); // or has no such seed
  const fits = (one) =>
    (!state.model || one.model === state.model) && (!state.regime || one.regime === state.regime) && (seed === "all" || speaks(one));
  const places = task.cases.map((_, place) => place).filter((place) => fits(task.cases[place]));
  const pair = pairOf(state, task).filter((place) => state.outcome || places.includes(place));
  const all = [...new Set([...pair, ...places])];
  return { shown: state.all ? all : all.slice(0, MOST_ANSWERS), more: state.all ? 0 : Math.max(0, all.length - MOST_ANSWERS) };
}

// For each sample how often it was answered rightly, and how often at all; worked out once a task
function tallies(sheet) {
  if (!sheet.tallies) {
    const right = new Uint32Array(sheet.id.length);
    const scored = new Uint32Array(sheet.id.length);
    for (const letters of sheet.letters)
      for (let row = 0; row < letters.length; row++) {
        const letter = letters[row];
        if (letter === "r") right[row]++;
        if (letter === "r" || isWrong(letter)) scored[row]++;
      }
    sheet.tallies = { right, scored };
  }
  return sheet.tallies;
}

function holding(column, needle) {
  const holds = column.values.map((value) => value.toLowerCase().includes(needle));
  return (row) => holds[column.rows[row]];
}

// Rows of the samples that match, in order; `answers` are the parts of the cases shown, where they are loaded
function matching(state, task, sheet, answers) {
  const [first, second] = pairOf(state, task).map((place) => sheet.letters[place]);
  const tests = [];
  const outcome = Object.hasOwn(OUTCOMES, state.outcome ?? "") && OUTCOMES[state.outcome];
  if (outcome) tests.push((row) => outcome(first[row], second[row]));
  if (state.type) tests.push((row) => at(sheet.form, row) === state.type || at(sheet.skill, row) === state.type);
  if (state.subgroup) {
    const columns = sheet.attributes.map(([name, column]) => (row) => `${name}=${at(column, row)}` === state.subgroup);
    tests.push((row) => columns.some((test) => test(row)));
  }
  if (state.text) {
    const needle = state.text.toLowerCase();
    const places = [sheet.question, sheet.truth, ...answers.map((part) => part.answer)].map((column) => holding(column, needle));
    tests.push((row) => sheet.id[row].toLowerCase().includes(needle) || places.some((holds) => holds(row)));
  }
  const rows = [...sheet.id.keys()].filter((row) => tests.every((test) => test(row)));
  return sorted(rows, state.sort, sheet);
}

function sorted(rows, sort, sheet) {
  const { right, scored } = tallies(sheet);
  const share = (row) => (scored[row] ? right[row] / scored[row] : NaN);
  const ranks = {
    "": (row) => sheet.picture[row] ?? MOST_PICTURES + Math.abs(share(row) - 0.5),
    hardest: share,
    easiest: (row) => -share(row),
  };
  const rank = Object.hasOwn(ranks, sort ?? "") && ranks[sort ?? ""];
  if (!rank) return rows;
  const keys = new Map(rows.map((row) => [row, rank(row)]).map(([row, key]) => [row, Number.isNaN(key) ? Infinity : key]));
  return rows.sort((a, b) => (keys.get(a) === keys.get(b) ? a - b : keys.get(a) - keys.get(b)));
}
