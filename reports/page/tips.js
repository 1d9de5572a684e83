const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
tip.setAttribute("role", "status");
document.body.append(tip);

const MARKS = "[role=graphics-symbol][aria-label]:not([aria-roledescription=axis], [aria-roledescription=legend])";
let chosen = null; // the mark whose words are shown

function show(mark, spoken = false) {
  chosen?.classList.remove("chosen");
  chosen = mark;
  tip.hidden = !mark;
  if (!mark) return;
  mark.classList.add("chosen");
  tip.setAttribute("aria-hidden", String(!spoken)); // where a pointer is, the mark's own label is read
  tip.textContent = mark.getAttribute("aria-label");
  const { left, top, width } = mark.getBoundingClientRect();
  const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(8, Math.min(left + width / 2 - tip.offsetWidth / 2, room)) + scrollX}px`;
  tip.style.top = `${Math.max(top - tip.offsetHeight - 8, 8) + scrollY}px`;
}

document.addEventListener("pointerover", (event) => show(event.target.closest?.(`.canvas ${MARKS}`) ?? null));
document.addEventListener("focusout", () => show(null));

document.addEventListener("keydown", (event) => { // in a chart: the words of one mark after the other
  const canvas = event.target;
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (event.key === "Escape") show(null);
  if (!step || !canvas.matches?.(".canvas")) return;
  const marks = [...canvas.querySelectorAll(MARKS)];
  if (!marks.length) return;
  event.preventDefault();
  const at = marks.indexOf(chosen);
  const next = marks[at < 0 ? (step > 0 ? 0 : marks.length - 1) : (at + step + marks.length) % marks.length];
  next.scrollIntoView({ block: "nearest", inline: "nearest" });
  show(next, true);
});
