// Enhances pages that work without it: live sections, more rows, one press of a button, questions before danger.

const live = () => document.querySelectorAll("[data-live]");
const edited = (section) => section.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")
  || section.querySelector("form[data-edited]") !== null || section.querySelector("details[data-touched][open]") !== null;

// -- live sections: the stream says which topics have news; the page is asked again and those sections are put in place
// (a form's key is new each time it is made, and what is unfolded is the reader's: neither is news)
const bare = (section) => section.innerHTML.replace(/ name="_key" value="[^"]*"| open=""/g, "");
let waiting = new Set();
let asking = false;
async function refresh() {
  if (asking || !waiting.size || document.hidden) return;
  asking = true;
  const topics = waiting;
  waiting = new Set();
  try {
    const answer = await fetch(location.href, { headers: { "X-Requested-With": "live" }, redirect: "error" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const section of live()) {
      const next = section.id && fresh.getElementById(section.id);
      const told = section.dataset.live.split(" ").some((topic) => topics.has(topic));
      if (!next || !told || edited(section) || bare(next) === bare(section)) continue;
      const opened = [...section.querySelectorAll("details")].map((one) => one.open);
      section.replaceChildren(...next.childNodes);
      section.querySelectorAll("details").forEach((one, at) => { one.open = opened[at] ?? one.open; });
      section.classList.remove("fresh");
      void section.offsetWidth;
      section.classList.add("fresh");
      section.dispatchEvent(new CustomEvent("riskpool:fresh", { bubbles: true }));
    }
  } catch { /* the next news asks again */ } finally {
    asking = false;
    if (waiting.size) setTimeout(refresh, 100);
  }
}
let stream = null;
function listen() {
  const url = document.body.dataset.liveUrl;
  // a refused form stands at the address that it was posted to, which answers nothing else
  if (!url || stream || document.hidden || location.pathname.startsWith("/do/") || !live().length) return;
  stream = new EventSource(url);
  stream.addEventListener("news", (news) => {
    news.data.split(" ").forEach((topic) => waiting.add(topic));
    document.dispatchEvent(new CustomEvent("riskpool:news"));
    refresh();
  });
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { stream?.close(); stream = null; }
  else { live().forEach((one) => one.dataset.live.split(" ").forEach((topic) => waiting.add(topic))); listen(); refresh(); }
});
listen();

// -- forms: what is being edited is not swapped; one press sends once; the last row makes room for another
document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (form) form.dataset.edited = "";
  const row = event.target.closest("[data-row]");
  if (row && row === row.parentElement.querySelector("[data-row]:last-of-type")) addRow(row);
});
function addRow(row) {
  const at = [...row.parentElement.querySelectorAll("[data-row]")].length;
  const copy = row.cloneNode(true);
  copy.querySelectorAll("[name], [id], [for]").forEach((one) => {
    for (const name of ["name", "id", "for"]) {
      const value = one.getAttribute(name);
      if (value) one.setAttribute(name, value.replace(/([.-])\d+([.-])(?!.*[.-]\d+[.-])/, `$1${at}$2`));
    }
    if ("value" in one && !["checkbox", "radio"].includes(one.type)) one.value = "";
    if ("checked" in one) one.checked = false;
  });
  row.after(copy);
}
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent !== undefined) { event.preventDefault(); return; }
  if (form.method === "post") {
    form.dataset.sent = "";
    setTimeout(() => form.querySelectorAll("button").forEach((one) => { one.disabled = true; }));
  }
});
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  document.querySelectorAll("form[data-sent]").forEach((form) => {
    delete form.dataset.sent;
    form.querySelectorAll("button").forEach((one) => { one.disabled = false; });
  });
});

// -- small screens: the menu begins closed
const menu = document.querySelector(".menu");
if (menu && matchMedia("(max-width: 900px)").matches) menu.open = false;

// -- filters apply as soon as a choice is made
document.addEventListener("change", (event) => {
  if (event.target.matches("form.filters select")) event.target.form.requestSubmit?.();
});

// -- the referral's form: checked while typed, saved while typed, files sent as soon as they are chosen or dropped
const referral = document.querySelector("form[data-referral]");
if (referral) {
  const later = (wait, act) => { let timer; const again = () => { clearTimeout(timer); timer = setTimeout(act, wait); }; again.stop = () => clearTimeout(timer); return again; };
  const field = (name) => referral.elements.namedItem(name);
  const telling = (path, names, id) => {
    let asked = 0;
    return later(250, async () => {
      const mine = ++asked;
      const query = new URLSearchParams(names.map((name) => [name, field(name)?.value ?? ""]));
      const answer = await fetch(`${path}?${query}`, { headers: { Accept: "application/json" }, redirect: "error" }).catch(() => null);
      const place = document.getElementById(id);
      if (!answer?.ok || mine !== asked || !place) return;
      place.replaceChildren(...(await answer.json()).checks.map((one) => Object.assign(document.createElement("p"), { className: `check check--${one.state}`, textContent: one.message })));
    });
  };
  const checks = [[["uscc"], telling("/refer/check", ["uscc"], "uscc-checks")]];
  const figures = ["industry", "employees", "revenue", "assets"];
  checks.push([figures, telling("/refer/size", figures, "size-checks")]);
  const leaving = new AbortController();
  const save = later(3000, async () => {
    const typed = [...new FormData(referral)].filter(([name, value]) => typeof value === "string" && !name.startsWith("_"));
    const answer = await fetch(referral.dataset.draft, { method: "POST", body: new URLSearchParams(typed), headers: { Accept: "application/json" }, redirect: "error", signal: leaving.signal }).catch(() => null);
    if (answer?.ok) referral.querySelector("[data-draft-state]").textContent = (await answer.json()).message;
  });
  const typed = (event) => {
    checks.forEach(([names, check]) => { if (names.includes(event.target.name)) check(); });
    if (event.target.type !== "file") save();
  };
  referral.addEventListener("input", typed);
  referral.addEventListener("submit", () => { save.stop(); leaving.abort(); });
  const send = async (input) => {
    const row = input.closest("[data-material]");
    const said = row.querySelector(".error");
    if (!input.files.length) return;
    if (field("uscc").type !== "hidden" && document.querySelector("#uscc-checks .check--ok") === null) { said.textContent = referral.dataset.later; return; }
    said.textContent = referral.dataset.uploading;
    for (const file of [...input.files]) {
      const body = new FormData();
      body.append("about", field("uscc").value.trim().toUpperCase());
      body.append("kind", row.dataset.material);
      body.append("file", file);
      const answer = await fetch("/documents", { method: "POST", body, headers: { Accept: "application/json" }, redirect: "error" }).catch(() => null);
      const found = await answer?.json().catch(() => null);
      if (!answer?.ok) { said.textContent = found?.detail ?? referral.dataset.failed; if (found?.detail) input.value = ""; return; }
      found.forEach((one) => {
        const item = document.createElement("li");
        item.append(Object.assign(document.createElement("a"), { href: `/documents/${one.id}`, textContent: one.name, download: "" }));
        row.querySelector(".files").append(item);
      });
      const tick = row.querySelector("input[name=materials]");
      if (tick) tick.checked = true;
    }
    input.value = "";
    said.textContent = "";
    save();
  };
  referral.addEventListener("change", (event) => { if (event.target.matches(".drop")) send(event.target); });
}
