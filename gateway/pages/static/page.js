// The pages work without this file; it saves clicks. Nothing here writes HTML.
"use strict";

const one = (css, within = document) => within.querySelector(css);
const all = (css, within = document) => [...within.querySelectorAll(css)];

// The server shows times in the reader's zone as soon as it knows it.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && zone !== document.documentElement.dataset.zone) {
  document.cookie = `yuqing_zone=${zone}; path=/; max-age=31536000; samesite=lax` + (location.protocol === "https:" ? "; secure" : "");
}

// A sign-in link carries the key behind "#", which browsers never send; it goes into the form and out of the address.
function takeKey() {
  const form = document.getElementById("sign-in");
  if (!form || !location.hash.startsWith("#yq_")) return;
  form.elements.key.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname + location.search);
  form.requestSubmit();
}
addEventListener("hashchange", takeKey);
takeKey();

// A changed field of a live form applies at once; its button is for browsers without this file.
addEventListener("change", (event) => {
  const form = event.target.closest?.("form[data-at-once]");
  if (form) form.requestSubmit();
});
// Empty fields stay out of the address, so that a link holds what was chosen and no more.
addEventListener("formdata", (event) => {
  if (event.target.method !== "get") return;
  for (const [name, value] of [...event.formData]) {
    if (value !== "") continue;
    const others = event.formData.getAll(name).filter((each) => each !== "");
    event.formData.delete(name);
    for (const each of others) event.formData.append(name, each);
  }
});

// Menus close when one clicks elsewhere or presses Escape.
addEventListener("click", (event) => {
  for (const menu of all("details.menu[open], details.pop[open]")) if (!menu.contains(event.target)) menu.open = false;
});
addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = event.target.closest?.("details.menu[open], details.pop[open]");
  if (menu) {
    menu.open = false;
    one("summary", menu).focus();
  }
});

function step(by) {
  const links = all("[data-item]").filter((link) => link.offsetParent);
  if (!links.length) return;
  const place = links.indexOf(document.activeElement);
  const next = links[Math.max(0, Math.min(links.length - 1, place < 0 ? 0 : place + by))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}
const KEYS = {
  "/": () => one(".find input")?.focus(),
  j: () => step(1),
  k: () => step(-1),
  c: () => {
    const form = one("details.correct");
    if (!form) return;
    form.open = true;
    one("input:checked", form)?.focus();
  },
  "?": () => document.getElementById("shortcuts")?.showModal(),
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || one("dialog[open]")) return;
  if (event.target.closest?.("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]")) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

addEventListener("click", async (event) => {
  if (event.target.closest("[data-shortcuts]")) document.getElementById("shortcuts").showModal();
  if (event.target.closest("[data-print]")) print();
  const share = event.target.closest("[data-share]");
  if (share) {
    await navigator.clipboard?.writeText(location.href).catch(() => {});
    say(share.dataset.share);
  }
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    await navigator.clipboard?.writeText(copy.dataset.copy).catch(() => {});
    say(copy.dataset.copied);
  }
});
function say(words) {
  const toast = document.createElement("p");
  toast.className = "toast";
  toast.role = "status";
  toast.textContent = words;
  document.body.append(toast);
  setTimeout(() => toast.remove(), 3000);
}

// What is new comes by itself: the parts of the page that listen for "news" are asked for again, at most every two seconds.
function listen(section) {
  const state = one(".live-state", section);
  const show = (on) => {
    state.className = `live-state hint ${on ? "is-on" : "is-off"}`;
    state.textContent = on ? section.dataset.on : section.dataset.off;
  };
  const known = new Set(all("[data-id]", section).map((item) => item.dataset.id));
  const source = new EventSource(section.dataset.live);
  let waiting = null;
  const news = () => {
    waiting ??= setTimeout(() => {
      waiting = null;
      htmx.trigger(document.body, "news");
    }, 2000);
  };
  source.addEventListener("open", () => show(true));
  source.addEventListener("error", () => show(false));
  for (const kind of ["document", "verdict"]) source.addEventListener(kind, news);
  document.addEventListener("htmx:afterSettle", () => {
    for (const item of all("[data-id]", section)) {
      if (known.has(item.dataset.id)) continue;
      known.add(item.dataset.id);
      item.classList.add("is-new");
    }
  });
  addEventListener("pagehide", () => source.close());
}
for (const section of all("[data-live^='/']")) listen(section);

// Filters are folded on a narrow screen; their button stays for browsers without this file.
for (const folded of all(".filters details")) folded.open = matchMedia("(min-width: 60.01rem)").matches;

// Seconds jump in the player instead of opening the recording; the line that is being said stands out and stays in sight.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-second]");
  const player = link && document.getElementById(link.dataset.player);
  if (!player) return;
  event.preventDefault();
  player.currentTime = Number(link.dataset.second);
  player.play().catch(() => {}); // a browser may forbid it; the place is found all the same
  follow(player);
});
function follow(player) {
  const lines = one(`[data-lines="${player.id}"]`);
  if (!lines) return;
  const said = all("li", lines).find((line) => player.currentTime >= Number(line.dataset.from) && player.currentTime < Number(line.dataset.to));
  const before = one(".is-playing", lines);
  if (said === (before ?? undefined)) return;
  before?.classList.remove("is-playing");
  said?.classList.add("is-playing");
  const wanted = one(`[data-follow="${player.id}"]`)?.checked && !player.paused;
  if (said && wanted) said.scrollIntoView({ block: "center" });
}
document.addEventListener("timeupdate", (event) => event.target.id && follow(event.target), true);

// The quote that the address points to stands out, in all its pieces.
function showQuote() {
  const wanted = location.hash.slice(1);
  for (const mark of all("mark[data-evidence]")) {
    mark.classList.toggle("is-current", mark.dataset.evidence.split(" ").includes(wanted));
  }
}
addEventListener("hashchange", showQuote);

// Marks of one company at a time.
addEventListener("change", (event) => {
  if (event.target.name !== "spotlight") return;
  for (const mark of all("article [data-of]")) {
    mark.classList.toggle("is-off-light", event.target.value !== "" && !mark.dataset.of.split(" ").includes(event.target.value));
  }
});

// A sentence that is selected in the text becomes the evidence of the correction that is open.
document.addEventListener("selectionchange", () => {
  const selection = getSelection();
  const field = one("details.correct[open] [data-quote]");
  const text = one("article .text");
  if (!field || !text || selection.isCollapsed || !text.contains(selection.anchorNode) || !text.contains(selection.focusNode)) return;
  field.value = selection.toString().trim();
});

// Tabs that do not fit a phone: the current one is in sight.
for (const tab of all(".tabs [aria-current]")) tab.parentElement.scrollLeft = tab.offsetLeft + tab.offsetWidth / 2 - tab.parentElement.offsetWidth / 2;

function refresh() {
  for (const each of all(".spotlight")) each.hidden = false;
  showQuote();
}
document.addEventListener("htmx:afterSettle", refresh);
refresh();
