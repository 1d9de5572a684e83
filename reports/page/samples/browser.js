// The controls, the address and the list: a change of any is a new state, and a state is shown whole.
const browser = document.getElementById("browser");

if (browser && INDEX?.tasks.length) {
  const form = browser.querySelector("form");
  const status = browser.querySelector("output");
  const cards = browser.querySelector(".samples");
  const steps = browser.querySelectorAll("[data-step]");
  let state = {};
  let showing = 0;
  let typing;

  const choose = (name, options, value) => {
    const select = form.elements[name];
    select.replaceChildren(
      ...options.map(([group, items]) => {
        const made = items.map(([value, text]) => new Option(text, value));
        return group ? make("optgroup", { label: group }, ...made) : made;
      }).flat(),
    );
    select.value = value ?? "";
    if (select.selectedIndex < 0) select.selectedIndex = 0;
  };
  const clip = (text) => (text.length > 80 ? `${text.slice(0, 80)}…` : text);
  const plainly = (values) => values.map((value) => [value, clip(value)]);
  const different = (values) => [...new Set(values)];
  const hide = (name, hidden) => (form.querySelector(`[data-for="${name}"]`).hidden = hidden);

  function control(task, sheet) {
    const { cases } = task;
    const pick = (name, label, values) => {
      choose(name, [["", [["", label], ...plainly(values)]]], state[name]);
      hide(name, values.length < 2);
    };
    choose("task", [["", INDEX.tasks.map(({ name, samples }) => [name, `${clip(name)} (${samples.toLocaleString("en")})`])]], task.name);
    pick("model", "all models", different(cases.map((one) => one.model)));
    pick("regime", "all regimes", different(cases.map((one) => one.regime)));
    const seeds = different(cases.map((one) => String(one.seed)));
    choose("seed", [["", [...seeds.map((seed) => [seed, `seed ${seed}`]), ["all", "all seeds"]]]], state.seed || seeds[0]);
    hide("seed", seeds.length < 2);
    const kinds = ["general", "medical"];
    const both = kinds.every((kind) => cases.some((one) => one.kind === kind));
    const several = (one) => (seeds.length > 1 ? `, seed ${one.seed}` : "");
    const grouped = kinds.map((kind) => [kind, cases.filter((one) => one.kind === kind).map((one) => [one.id, clip(`${one.model}, ${one.regime}${several(one)}`)])]);
    const pair = pairOf(state, task);
    ["first", "second"].forEach((name, i) => choose(name, grouped.filter(([, items]) => items.length), cases[pair[i]].id));
    const names = both && cases[pair[0]].kind !== cases[pair[1]].kind ? pair.map((place) => cases[place].kind) : ["first", "second"];
    const told = (key) => key.replace("first", names[0]).replace("second", names[1]);
    choose("outcome", [["", [["", "any outcome"], ...Object.keys(OUTCOMES).map((key) => [key, told(key)])]]], state.outcome);
    const forms = different(sheet.form.values).filter(Boolean);
    const skills = different(sheet.skill.values).filter(Boolean);
    choose("type", [["", [["", "all types"]]], ["form", forms.map((form) => [form, FORMS[form] ?? form])], ["skill", plainly(skills)]].filter(([, items]) => items.length), state.type);
    hide("type", forms.length + skills.length < 2);
    const groups = sheet.attributes.map(([name, { values }]) => [clip(name), values.filter(Boolean).sort().map((value) => [`${name}=${value}`, clip(value)])]);
    choose("subgroup", [["", [["", "all samples"]]], ...groups], state.subgroup);
    hide("subgroup", !groups.length);
    choose("sort", [["", Object.entries(SORTS)]], state.sort);
    if (document.activeElement !== form.elements.text) form.elements.text.value = state.text ?? "";
  }

  // Cases with their answers, or why these are not there
  async function answersOf(task, places) {
    return Promise.all(
      places.map(async (place) => {
        const about = task.cases[place];
        try {
          return { about, place, part: await part(about.part) };
        } catch (error) {
          return { about, place, lost: `Its answers are not here: ${error.message}.` };
        }
      }),
    );
  }

  async function show({ focus = false } = {}) {
    const mine = ++showing;
    const task = taskOf(state);
    let sheet;
    try {
      sheet = await part(task.part);
    } catch (error) {
      if (mine === showing) lack(task, error);
      return;
    }
    const { shown, more } = answering(state, task);
    const cases = await answersOf(task, shown);
    if (mine !== showing) return;
    control(task, sheet);
    const rows = matching(state, task, sheet, cases.flatMap((one) => one.part ?? []));
    const wanted = state.sample ? sheet.id.indexOf(linked(state.sample)?.id) : -1;
    const pages = Math.max(1, Math.ceil(rows.length / EACH_PAGE));
    const place = rows.indexOf(wanted);
    const page = Math.min(pages, Math.max(1, place >= 0 ? 1 + Math.floor(place / EACH_PAGE) : Number.parseInt(state.page, 10) || 1));
    const some = rows.slice((page - 1) * EACH_PAGE, page * EACH_PAGE);
    const alone = wanted >= 0 && place < 0;
    const view = { cases, address: (id) => writeHash({ ...state, task: "", page: "", sample: `${task.name}/${id}` }) };
    cards.replaceChildren(...(alone ? [wanted, ...some] : some).map((row) => card(sheet, row, view)));
    if (alone) cards.firstElementChild.prepend(make("p", { className: "aside", text: "The linked sample; the filters leave it out." }));
    if (more) cards.prepend(everything(more));
    tell(task, sheet, rows, page, pages, wanted);
    pictures(task, sheet);
    if (wanted >= 0) point(wanted, focus);
  }

  function everything(more) {
    const button = make("button", { type: "button", text: "Show them all" });
    button.addEventListener("click", () => change({ all: "1" }));
    return make("p", { className: "note" }, `${more.toLocaleString("en")} more answers to each sample: choose a model or a regime. `, button);
  }

  function tell(task, sheet, rows, page, pages, wanted) {
    const of = `${rows.length.toLocaleString("en")} of ${sheet.id.length.toLocaleString("en")} samples`;
    const lost = state.sample && wanted < 0 ? " The linked sample is not in this report." : "";
    status.textContent = `${of}${pages > 1 ? `, page ${page} of ${pages.toLocaleString("en")}` : ""}.${lost}`;
    for (const button of steps) {
      button.disabled = button.dataset.step < 0 ? page === 1 : page === pages;
      button.onclick = () => turn(page + Number(button.dataset.step), pages);
    }
    const notes = task.notes.flatMap(([name, note], i) => [i ? "; " : "", foreign(`${name}: ${note}`)]);
    browser.querySelector(".notes").hidden = !notes.length;
    browser.querySelector(".notes p").replaceChildren(make("small", {}, ...notes));
    cards.dataset.page = page;
    cards.dataset.pages = pages;
  }

  function lack(task, error) {
    choose("task", [["", INDEX.tasks.map(({ name }) => [name, clip(name)])]], task.name);
    cards.replaceChildren(make("p", { className: "note warn", text: `The samples of this task are not here: ${error.message}. Keep the folder “samples” beside report.html.` }));
    status.textContent = "No samples.";
  }

  function pictures(task, sheet) {
    const folder = task.local ? "samples/local" : "samples";
    for (const element of cards.querySelectorAll("[data-row]")) {
      const row = Number(element.dataset.row);
      const place = sheet.picture[row];
      const frame = element.querySelector(".picture");
      if (place === null) continue;
      part(`${task.pictures}-${Math.floor(place / INDEX.each)}`, folder).then(
        (found) => fillPicture(frame, found[place % INDEX.each], sheet.id[row]),
        (error) => fillPicture(frame, { absent: task.local ? `the images of this task stay where the report was made (${error.message})` : error.message }),
      );
    }
  }

  function point(row, focus) {
    const element = cards.querySelector(`[data-row="${row}"]`);
    element.classList.add("linked");
    if (!focus) return;
    element.scrollIntoView({ block: "start" });
    element.focus({ preventScroll: true });
  }

  function change(said, { replace = false } = {}) {
    state = { ...state, page: "", sample: "", ...said };
    history[replace ? "replaceState" : "pushState"](null, "", writeHash(state));
    return show();
  }

  async function turn(page, pages) {
    if (page < 1 || page > pages) return;
    await change({ task: taskOf(state).name, page: page > 1 ? String(page) : "" });
    browser.querySelector(".matches").scrollIntoView({ block: "start" });
    cards.querySelector("article")?.focus({ preventScroll: true });
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", ({ target }) => {
    if (target.name === "text") return;
    const task = taskOf(state).name;
    if (target.name === "task") change({ task: target.value, model: "", regime: "", seed: "", type: "", subgroup: "", first: "", second: "" });
    else change({ task, [target.name]: target.value });
  });
  form.elements.text.addEventListener("input", ({ target }) => {
    clearTimeout(typing);
    typing = setTimeout(() => change({ task: taskOf(state).name, text: target.value }, { replace: true }), 120);
  });
  form.addEventListener("reset", () => {
    form.elements.text.value = "";
    change(Object.fromEntries(KEYS.map((key) => [key, key === "task" ? taskOf(state).name : ""])));
  });

  cards.addEventListener("keydown", (event) => {
    const here = event.target.closest("article");
    if (!here || event.ctrlKey || event.altKey || event.metaKey) return;
    const { page, pages } = cards.dataset;
    const other = { j: here.nextElementSibling, k: here.previousElementSibling }[event.key];
    if (other?.matches("article")) other.focus();
    else if (event.key === "n" || event.key === "p") turn(Number(page) + (event.key === "n" ? 1 : -1), Number(pages));
    else return;
    event.preventDefault();
  });

  const restore = (event) => {
    const said = readHash(location.hash);
    if (event && !said && location.hash.length > 1) return; // the address of another section
    state = said ?? {};
    show({ focus: Boolean(state.sample) }).then(() => {
      if (said && !state.sample) browser.scrollIntoView({ block: "start" });
    });
  };
  addEventListener("popstate", restore);
  browser.hidden = false;
  restore();
}
