const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
tip.setAttribute("aria-hidden", "true"); // it repeats the label of the mark
document.body.append(tip);

document.addEventListener("pointerover", (event) => {
  const mark = event.target.closest?.(".canvas [role=graphics-symbol][aria-label]:not([aria-roledescription=axis], [aria-roledescription=legend])");
  tip.hidden = !mark;
  if (!mark) return;
  tip.textContent = mark.getAttribute("aria-label");
  const { left, top, width } = mark.getBoundingClientRect();
  const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(8, Math.min(left + width / 2 - tip.offsetWidth / 2, room)) + scrollX}px`;
  tip.style.top = `${Math.max(top - tip.offsetHeight - 8, 8) + scrollY}px`;
});
