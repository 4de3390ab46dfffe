"use strict";
// Tables that sort, filter, copy and download. Rows are kept by column; only one page of them is ever in the document.
(() => {
  const PAGE = 25;
  const sheets = JSON.parse(document.getElementById("sheets").textContent);
  let data = null; // parsed when the first table is opened: the first screen does not wait for it
  const said = document.getElementById("said");

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key in made && typeof value !== "string") made[key] = value;
      else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  };

  const say = (text) => {
    said.textContent = text;
    setTimeout(() => { if (said.textContent === text) said.textContent = ""; }, 2500);
  };

  const copy = async (text, what) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch (refused) { // a page opened from disk may not have the clipboard
      const area = element("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    say(`${what} copied`);
  };

  const columnsOf = (name) => {
    data ??= JSON.parse(document.getElementById("data").textContent);
    const table = data[name];
    const values = table.data.map((column) => (Array.isArray(column) ? column : column.codes.map((code) => column.levels[code])));
    return { names: table.columns, kinds: table.kinds, values };
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

  const start = (place) => {
    const name = place.dataset.sheet;
    const { names, kinds, values } = columnsOf(name);
    const { title, filters, main } = sheets[name];
    const every = Array.from({ length: values[0].length }, (_, row) => row);
    const state = { rows: every, page: 0, by: -1, way: 1, all: main.length === 0, chosen: new Map(), text: "" };
    const live = place.querySelector(".live");

    const controls = element("div", { class: "controls" });
    for (const filter of filters) {
      const column = names.indexOf(filter);
      const levels = [...new Set(values[column])].sort((a, b) => compare(a, b, 1));
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
      box.addEventListener("change", () => { state.all = box.checked; draw(); });
      controls.append(element("label", { class: "inline" }, box, `all ${names.length} columns`));
    }
    const tsv = () => {
      const line = (cells) => cells.map((cell) => (cell === null ? "" : String(cell))).join("\t");
      return [line(names), ...state.rows.map((row) => line(values.map((column) => column[row])))].join("\n") + "\n";
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

    const table = element("table", {}, element("caption", {}, title));
    const head = element("thead");
    const body = element("tbody");
    table.append(head, body);
    const count = element("span", { class: "note", "aria-live": "polite" });
    const back = element("button", { type: "button" }, "Previous");
    const on = element("button", { type: "button" }, "Next");
    back.addEventListener("click", () => { state.page -= 1; draw(); });
    on.addEventListener("click", () => { state.page += 1; draw(); });
    live.replaceChildren(controls, element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, table),
      element("div", { class: "controls" }, back, on, count));

    const visible = () => (state.all ? names.map((_, column) => column) : main.map((one) => names.indexOf(one)));

    const sortBy = (column) => {
      state.way = state.by === column ? -state.way : 1;
      state.by = column;
      update();
      head.querySelector(`button[data-column="${column}"]`)?.focus();
    };

    const draw = () => {
      const columns = visible();
      head.replaceChildren(element("tr", {}, ...columns.map((column) => {
        const sorted = state.by === column ? (state.way > 0 ? "ascending" : "descending") : "none";
        const arrow = sorted === "none" ? "" : sorted === "ascending" ? " ▲" : " ▼";
        const button = element("button", { type: "button", "data-column": String(column) }, names[column].replaceAll("_", " ") + arrow);
        button.addEventListener("click", () => sortBy(column));
        return element("th", { scope: "col", "aria-sort": sorted }, button);
      })));
      const last = Math.max(0, Math.ceil(state.rows.length / PAGE) - 1);
      state.page = Math.min(Math.max(0, state.page), last);
      const from = state.page * PAGE;
      body.replaceChildren(...state.rows.slice(from, from + PAGE).map((row) => element("tr", {}, ...columns.map((column) => {
        const value = values[column][row];
        const cell = element("td", {}, shown(value));
        if (kinds[column] === "number") cell.className = "number";
        else {
          cell.dir = "auto";
          if (cell.textContent.length > 30) cell.className = "long";
        }
        if (typeof value === "number" && !Number.isInteger(value)) cell.title = String(value);
        return cell;
      }))));
      count.textContent = state.rows.length
        ? `rows ${from + 1} to ${Math.min(from + PAGE, state.rows.length)} of ${state.rows.length}`
          + (state.rows.length < every.length ? ` (${every.length} without filters)` : "")
        : "no row is left by the filters";
      back.disabled = state.page === 0;
      on.disabled = state.page === last;
    };

    const texts = names.map((_, column) => column).filter((column) => kinds[column] === "text");
    const update = () => {
      const chosen = [...state.chosen];
      state.rows = every.filter((row) => chosen.every(([column, value]) => values[column][row] === value)
        && (state.text === "" || texts.some((column) => String(values[column][row]).toLowerCase().includes(state.text))));
      if (state.by >= 0) state.rows = [...state.rows].sort((a, b) => compare(values[state.by][a], values[state.by][b], state.way) || a - b);
      state.page = 0;
      draw();
    };
    draw();
  };

  const started = new Set();
  const startOnce = (place) => {
    if (place.open && !started.has(place)) {
      started.add(place);
      start(place);
    }
  };
  const places = document.querySelectorAll("details.sheet");
  const watch = new IntersectionObserver((seen) => seen.forEach((one) => { if (one.isIntersecting) startOnce(one.target); }));
  for (const place of places) {
    watch.observe(place);
    place.addEventListener("toggle", () => startOnce(place));
  }
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.addEventListener("click", () => copy(document.getElementById(button.dataset.copy).innerText, "Text"));
  }
  // A link lands where its target is when all that stands above it has its height: open tables get their rows before, and a folded part opens.
  const land = (hash) => {
    const target = hash.length > 1 ? document.getElementById(decodeURIComponent(hash.slice(1))) : null;
    if (!target) return;
    places.forEach(startOnce);
    for (let place = target; place; place = place.parentElement) if (place.tagName === "DETAILS") place.open = true;
    target.scrollIntoView();
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
  });
  addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));
  document.documentElement.dataset.ready = "yes";
})();
