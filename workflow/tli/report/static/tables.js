// Tables that sort, filter, copy and download. Rows are kept by column; only those in view are ever in the document.
const HEIGHT = 30; // of a row, as in the style
const AROUND = 12; // rows beyond those in view
const PRINTED = 60; // rows that go on paper
const sheets = JSON.parse(document.getElementById("sheets").textContent);
let data = null; // parsed when the first table is opened: the first screen does not wait for it

const rowsOf = async (name) => {
  if (sheets[name].beside) return beside(sheets[name].beside);
  data ??= JSON.parse(document.getElementById("data").textContent);
  return data[name];
};

// A number for the eye; the download has all digits.
const shown = (value) => {
  if (value === null) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return Math.abs(value) >= 100000 ? value.toLocaleString("en") : String(value);
  const size = Math.abs(value);
  return size < 1e-3 || size >= 1e6 ? value.toExponential(2) : size >= 100 ? value.toFixed(1) : value.toFixed(4);
};

const compare = (a, b, way) => {
  if (a === b) return 0;
  if (a === null || a === "") return 1; // what is undefined stays at the end
  if (b === null || b === "") return -1;
  const both = typeof a === "number" && typeof b === "number";
  return way * (both ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
};

const start = (place, table_of) => {
  const name = place.dataset.sheet;
  const { columns: names, kinds, data: values } = table_of;
  const { title, filters, main } = sheets[name];
  const value = (column, row) => (values[column].codes ? values[column].levels[values[column].codes[row]] : values[column][row]);
  const levelsOf = (column) => values[column].levels ?? [...new Set(values[column])];
  const every = Array.from({ length: sheets[name].rows }, (_, row) => row);
  const state = { rows: every, at: 0, by: -1, way: 1, all: main.length === 0, chosen: new Map(), text: "", printed: false };
  const live = place.querySelector(".live");

  const controls = element("div", { class: "controls" });
  for (const filter of filters) {
    const column = names.indexOf(filter);
    const levels = [...levelsOf(column)].sort((a, b) => compare(a, b, 1));
    const select = element("select", { "data-filter": filter }, element("option", { value: "" }, "all"));
    levels.forEach((level, number) => select.append(element("option", { value: String(number) }, shown(level) === "" ? "(none)" : shown(level))));
    select.addEventListener("change", () => {
      if (select.value === "") state.chosen.delete(column);
      else state.chosen.set(column, levels[Number(select.value)]);
      update();
    });
    controls.append(element("label", {}, filter.replaceAll("_", " "), select));
  }
  const search = element("input", { type: "search", placeholder: "any text column" });
  search.addEventListener("input", () => { state.text = search.value.toLowerCase(); update(); });
  controls.append(element("label", {}, "search", search));
  if (main.length) {
    const box = element("input", { type: "checkbox" });
    box.addEventListener("change", () => { state.all = box.checked; widths.clear(); head.replaceChildren(); draw(); });
    controls.append(element("label", { class: "inline" }, box, `all ${names.length} columns`));
  }
  const tsv = () => {
    const line = (cells) => cells.map((cell) => (cell === null ? "" : String(cell))).join("\t");
    return [line(names), ...state.rows.map((row) => line(names.map((_, column) => value(column, row))))].join("\n") + "\n";
  };
  const copyButton = element("button", { type: "button", "data-action": "copy" }, "Copy");
  copyButton.addEventListener("click", () => copy(tsv(), `${state.rows.length} rows`));
  const download = element("button", { type: "button", "data-action": "download" }, "Download TSV");
  download.addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob([tsv()], { type: "text/tab-separated-values" }));
    const link = element("a", { href: address, download: `${name}.tsv` });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
    say(`${state.rows.length} rows downloaded`);
  });
  controls.append(copyButton, download);

  const table = element("table", {}, element("caption", { class: "unseen" }, title));
  const head = element("thead");
  const body = element("tbody");
  table.append(head, body);
  const count = element("p", { class: "note count", "aria-live": "polite" });
  const box = element("div", { class: "scroll rows", tabindex: "0", role: "region", "aria-label": `${title}, rows` }, table);
  const full = element("div", { class: "in-full", hidden: true });
  live.replaceChildren(controls, count, box, full);

  const visible = () => (state.all ? names.map((_, column) => column) : main.map((one) => names.indexOf(one)));
  const widths = new Map(); // columns only grow while rows pass by

  const sortBy = (column) => {
    state.way = state.by === column ? -state.way : 1;
    state.by = column;
    update();
    head.querySelector(`button[data-column="${column}"]`)?.focus();
  };

  const drawHead = (columns) => {
    head.replaceChildren(element("tr", {}, ...columns.map((column) => {
      const sorted = state.by === column ? (state.way > 0 ? "ascending" : "descending") : "none";
      const arrow = sorted === "none" ? "" : sorted === "ascending" ? " ▲" : " ▼";
      const button = element("button", { type: "button", "data-column": String(column) }, names[column].replaceAll("_", " ") + arrow);
      button.addEventListener("click", () => sortBy(column));
      const cell = element("th", { scope: "col", "aria-sort": sorted }, button);
      if (widths.has(column)) cell.style.minWidth = `${widths.get(column)}px`;
      return cell;
    })));
  };

  const drawRow = (number, columns) => {
    const row = state.rows[number];
    const line = element("tr", { "aria-rowindex": String(number + 2), "data-row": String(number) }, ...columns.map((column) => {
      const one = value(column, row);
      const cell = element("td", {}, shown(one));
      if (kinds[column] === "number") cell.className = "number";
      else {
        cell.dir = "auto";
        if (cell.textContent.length > 30) cell.className = "long";
      }
      if ((typeof one === "number" && !Number.isInteger(one)) || cell.className === "long") cell.title = String(one);
      return cell;
    }));
    if (number === state.at) line.setAttribute("aria-current", "true");
    return line;
  };

  const gap = (rows) => element("tr", { class: "gap", "aria-hidden": "true", style: `height:${rows * HEIGHT}px` });
  const first = () => Math.floor(box.scrollTop / HEIGHT);
  const inView = () => Math.max(1, Math.floor((box.clientHeight - head.offsetHeight) / HEIGHT));
  const range = () => {
    if (state.printed) return [Math.min(first(), state.rows.length), Math.min(first() + PRINTED, state.rows.length)];
    const from = Math.max(0, Math.min(first(), state.rows.length - 1) - AROUND);
    return [from, Math.min(state.rows.length, from + inView() + 2 * AROUND + 2)];
  };
  const draw = () => {
    const columns = visible();
    if (!head.firstChild) drawHead(columns);
    const [from, to] = range();
    const lines = Array.from({ length: to - from }, (_, place) => drawRow(from + place, columns));
    body.replaceChildren(...(state.printed ? lines : [gap(from), ...lines, gap(state.rows.length - to)]));
    table.setAttribute("aria-rowcount", String(state.rows.length + 1));
    [...head.querySelectorAll("th")].forEach((cell, place) => {
      const wide = cell.offsetWidth;
      if (wide > (widths.get(columns[place]) ?? 0)) widths.set(columns[place], wide);
      cell.style.minWidth = `${widths.get(columns[place])}px`;
    });
    const left = state.rows.length.toLocaleString("en");
    const without = state.rows.length < every.length ? ` of ${every.length.toLocaleString("en")}, by the filters` : "";
    count.textContent = state.printed
      ? `On paper: rows ${(from + 1).toLocaleString("en")} to ${to.toLocaleString("en")} of ${left}${without}; tables/${name}.tsv has all.`
      : state.rows.length ? `${left} rows${without}` : "no row is left by the filters";
  };

  const texts = names.map((_, column) => column).filter((column) => kinds[column] === "text");
  const update = () => {
    const chosen = [...state.chosen];
    const found = texts.map((column) => { // what is searched for is looked up once a label
      const has = (text) => String(text).toLowerCase().includes(state.text);
      if (!values[column].codes) return (row) => has(values[column][row]);
      const labels = values[column].levels.map(has);
      return (row) => labels[values[column].codes[row]];
    });
    state.rows = every.filter((row) => chosen.every(([column, one]) => value(column, row) === one)
      && (state.text === "" || found.some((is) => is(row))));
    if (state.by >= 0) {
      const ranks = values[state.by].codes && new Map([...values[state.by].levels].sort((a, b) => compare(a, b, 1)).map((level, rank) => [level, rank]));
      const key = ranks ? (row) => { const one = value(state.by, row); return one === "" ? one : ranks.get(one); } : (row) => value(state.by, row);
      state.rows = [...state.rows].sort((a, b) => compare(key(a), key(b), state.way) || a - b);
    }
    state.at = 0;
    box.scrollTop = 0;
    full.hidden = true;
    head.replaceChildren();
    draw();
  };

  const goTo = (number) => {
    state.at = Math.max(0, Math.min(state.rows.length - 1, number));
    if (state.at < first()) box.scrollTop = state.at * HEIGHT;
    else if (state.at >= first() + inView()) box.scrollTop = (state.at - inView() + 1) * HEIGHT;
    draw();
  };
  const showFull = () => {
    const row = state.rows[state.at];
    if (row === undefined) return;
    full.hidden = false;
    full.replaceChildren(element("p", { class: "note" }, `Row ${state.at + 1} in full`), element("dl", {}, ...names.flatMap((column, place) => [
      element("dt", {}, column.replaceAll("_", " ")), element("dd", { dir: "auto" }, value(place, row) === null ? "–" : String(value(place, row)))])));
    say(`Row ${state.at + 1} is shown in full below`);
  };
  const moves = { ArrowDown: () => 1, ArrowUp: () => -1, PageDown: inView, PageUp: () => -inView(), Home: () => -Infinity, End: () => Infinity };
  box.addEventListener("keydown", (event) => {
    if (event.target !== box) return; // a column's button has keys of its own
    if (event.key === "Enter") showFull();
    else if (moves[event.key]) goTo(state.at + moves[event.key]());
    else if (event.key === "Escape") full.hidden = true;
    else return;
    event.preventDefault();
  });
  body.addEventListener("click", (event) => {
    const line = event.target.closest("tr[data-row]");
    if (!line || String(getSelection())) return;
    goTo(Number(line.dataset.row));
    showFull();
  });
  let asked = 0;
  box.addEventListener("scroll", () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(draw);
  }, { passive: true });
  printing.push((on) => {
    state.printed = on;
    draw();
  });
  draw();
};

const printing = []; // what each started table does before and after it is printed
const started = new Set();
const places = document.querySelectorAll("details.sheet");
const startOnce = (place) => {
  if (!place.open || started.has(place)) return;
  started.add(place);
  const { beside: file, size } = sheets[place.dataset.sheet];
  const live = place.querySelector(".live");
  if (file) live.replaceChildren(element("p", { class: "note" }, `Reading ${(size / 1e6).toFixed(1)} MB from ${file} …`));
  rowsOf(place.dataset.sheet).then((rows) => start(place, rows),
    () => live.replaceChildren(element("p", { class: "alert" }, missing(file, ", or the TSV file named above"))));
};
const watch = new IntersectionObserver((seen) => seen.forEach((one) => { if (one.isIntersecting) startOnce(one.target); }));
for (const place of places) {
  watch.observe(place);
  place.addEventListener("toggle", () => startOnce(place));
}
