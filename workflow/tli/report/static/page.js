// What all parts of the page's script use, and the files beside the page: each is a script that hands over its value.
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

const waiting = new Map();
window.tliBeside = (name, value) => waiting.get(name)?.(value);
const beside = (name) => new Promise((done, missed) => {
  waiting.set(name, done);
  const script = element("script", { src: name });
  script.addEventListener("load", () => script.remove());
  script.addEventListener("error", () => missed(new Error(name)));
  document.head.append(script);
});
const missing = (name, instead) => `It lies in ${name}, which is not beside this page: open index.html in its own folder${instead}.`;
