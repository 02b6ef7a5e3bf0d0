// Enhances pages that work without it: live sections, more rows, one press of a button, questions before danger.

const live = () => document.querySelectorAll("[data-live]");
const edited = (section) => section.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")
  || section.querySelector("form[data-edited]") !== null || section.querySelector("details[data-touched][open]") !== null;

// -- live sections: the stream says which topics have news; the page is asked again and those sections are put in place
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
      if (!next || !told || edited(section) || next.innerHTML === section.innerHTML) continue;
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
  if (!url || stream || document.hidden || !live().length) return;
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
