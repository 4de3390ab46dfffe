// Figures: those beside the page come when their place is opened, a mark says its value, arms are switched off and on.
const tip = element("div", { id: "tip", "aria-live": "polite", hidden: true });
document.body.append(tip);

const marksOf = (place) => [...place.querySelectorAll("svg use, svg path")].filter((one) => one.dataset.tip || one.querySelector(":scope > title"));
const textOf = (mark) => {
  const title = mark.querySelector(":scope > title");
  if (title) { // the browser's own, slower tip would stand over ours
    mark.dataset.tip = title.textContent;
    title.remove();
  }
  return mark.dataset.tip;
};

let told = null;
let byKey = false; // such a tip goes along when its place scrolls
const hide = () => {
  told?.classList.remove("told");
  told = null;
  tip.hidden = true;
};
const tell = (mark, x, y) => {
  hide();
  told = mark;
  mark.classList.add("told");
  tip.textContent = textOf(mark);
  tip.hidden = false;
  put(x, y);
};
const put = (x, y) => {
  const size = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - size.width - 8))}px`;
  tip.style.top = `${y + 16 + size.height > innerHeight ? y - size.height - 10 : y + 16}px`;
};
document.addEventListener("pointerover", (event) => {
  const mark = event.target.closest?.(".drawn use, .drawn path");
  if (mark && textOf(mark)) {
    byKey = false;
    tell(mark, event.clientX, event.clientY);
  } else if (told && !byKey) hide();
});
document.addEventListener("keydown", (event) => {
  const place = document.activeElement;
  if (event.key === "Escape") hide();
  if (!place?.classList.contains("drawn") || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  const marks = marksOf(place).filter((one) => !one.closest(".off"));
  if (!marks.length) return;
  const from = marks.indexOf(told);
  const to = from < 0 ? 0 : (from + (event.key === "ArrowRight" ? 1 : marks.length - 1)) % marks.length;
  marks[to].scrollIntoView({ block: "nearest", inline: "nearest" });
  const box = marks[to].getBoundingClientRect();
  byKey = true;
  tell(marks[to], box.right, box.bottom);
  event.preventDefault();
});
document.addEventListener("focusout", hide);
addEventListener("scroll", () => {
  if (!told) return;
  const box = told.getBoundingClientRect();
  if (byKey) put(box.right, box.bottom);
  else hide();
}, { passive: true, capture: true });

const SVG = "http://www.w3.org/2000/svg";
const swatch = (group) => { // the arm's own mark, or a line where it has none
  const drawn = group.matches("use, path") ? group : group.querySelector("use") ?? group.querySelector("path");
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", "-7 -7 14 14");
  picture.setAttribute("aria-hidden", "true");
  if (!drawn) return picture;
  const style = getComputedStyle(drawn);
  const mark = document.createElementNS(SVG, drawn.tagName === "use" ? "use" : "path");
  if (drawn.tagName === "use") mark.setAttribute("href", drawn.getAttribute("href"));
  else mark.setAttribute("d", "M-7 0L7 0");
  for (const name of ["fill", "fill-opacity", "stroke", "stroke-width"]) mark.style.setProperty(name, style.getPropertyValue(name));
  if (drawn.tagName !== "use") mark.style.strokeWidth = "3";
  picture.append(mark);
  return picture;
};

const switches = (place) => {
  const groups = [...place.querySelectorAll("[data-arm]")];
  const arms = [...new Set(groups.map((one) => one.dataset.arm))];
  if (arms.length < 2) return;
  const row = element("div", { class: "arms", role: "group", "aria-label": "Arms shown" });
  for (const arm of arms) {
    const own = groups.filter((one) => one.dataset.arm === arm);
    const button = element("button", { type: "button", "aria-pressed": "true", "data-switches": arm }, swatch(own.find((one) => one.querySelector("use")) ?? own[0]), arm);
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      own.forEach((one) => one.classList.toggle("off", !on));
      hide();
    });
    row.append(button);
  }
  place.before(row);
};

const drawOnce = (place) => {
  const name = place.dataset.beside;
  if (!name) return Promise.resolve();
  delete place.dataset.beside;
  return beside(name).then((text) => {
    place.innerHTML = text;
    switches(place);
  }, () => { place.firstElementChild.append(` ${missing(name, "")}`); });
};
const watchFigures = new IntersectionObserver((seen) => seen.forEach((one) => {
  if (!one.isIntersecting) return;
  watchFigures.unobserve(one.target);
  drawOnce(one.target);
}), { rootMargin: "600px" });
for (const place of document.querySelectorAll(".drawn")) {
  if (place.dataset.beside) watchFigures.observe(place);
  else switches(place);
}
