// The pages work without this file; it saves clicks.
"use strict";

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

// A changed filter applies at once; the button is for browsers without this file.
for (const form of document.querySelectorAll("form.filters")) {
  form.classList.add("is-live");
  form.addEventListener("change", () => form.requestSubmit());
}

// Seconds jump in the player instead of opening the recording.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-second]");
  const player = link && document.getElementById(link.dataset.player);
  if (!player) return;
  event.preventDefault();
  player.currentTime = Number(link.dataset.second);
  player.play().catch(() => {}); // a browser may forbid it; the place is found all the same
});

// The quote that the address points to stands out, in all its pieces.
function showQuote() {
  const wanted = location.hash.slice(1);
  for (const mark of document.querySelectorAll("mark[data-evidence]")) {
    mark.classList.toggle("is-current", mark.dataset.evidence.split(" ").includes(wanted));
  }
}
addEventListener("hashchange", showQuote);
showQuote();
