// Links within the page, print, and the sign that all is ready.
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", () => copy(document.getElementById(button.dataset.copy).innerText, "Text"));
}
// A link lands where its target is when all that stands above it has its height: open tables get their rows before, and a folded part opens.
const land = (hash) => {
  const target = hash.length > 1 ? document.getElementById(decodeURIComponent(hash.slice(1))) : null;
  if (!target) return;
  places.forEach(startOnce);
  for (let place = target; place; place = place.parentElement) if (place.tagName === "DETAILS") place.open = true;
  const there = [...document.querySelectorAll(".drawn[data-beside]")].filter((one) => one.closest("details:not([open])") === null);
  const before = there.filter((one) => target.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_PRECEDING);
  target.scrollIntoView();
  if (before.length) Promise.all(before.map(drawOnce)).then(() => target.scrollIntoView());
};
addEventListener("hashchange", () => land(location.hash));
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (link && link.hash === location.hash) land(link.hash); // the same link again changes no hash
});
land(location.hash);
let folded = [];
addEventListener("beforeprint", () => { // tables print where the reader opened them: all together they are dozens of pages
  folded = [...document.querySelectorAll("details:not([open]):not(.sheet)")];
  folded.forEach((one) => { one.open = true; });
  places.forEach(startOnce);
  printing.forEach((print) => print(true));
});
addEventListener("afterprint", () => {
  folded.forEach((one) => { one.open = false; });
  printing.forEach((print) => print(false));
});
document.documentElement.dataset.ready = "yes";
