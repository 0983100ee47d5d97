// Runs in a loaded page by WebDriver's "execute async script": waits, presses, scrolls, and hands the page over.
// wanted: {waitFor, loadMore: {selector, times} | null, scroll, stepMs, waitMs, maximum, phases: ["wait", "act", "read"]}
const [wanted, done] = arguments;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(condition, ms) {
  const end = performance.now() + ms;
  for (;;) {
    const value = condition();
    if (value) return value;
    if (performance.now() >= end) return null;
    await pause(20);
  }
}

const size = () => document.getElementsByTagName("*").length;

// Content arrives in pieces: what a step added counts as complete once the page has not grown for 150 ms.
async function grown(before) {
  if (!(await until(() => size() > before, wanted.stepMs))) return false;
  for (let last = size(), same = 0; same < 3; ) {
    await pause(50);
    same = size() === last ? same + 1 : 0;
    last = size();
  }
  return true;
}

// The button, once it can be pressed; null when it is gone, or does not come back after a press.
function button() {
  const found = document.querySelector(wanted.loadMore.selector);
  return found && !found.disabled && found.getClientRects().length > 0 ? found : null;
}

async function act() {
  for (let press = 0; wanted.loadMore && press < wanted.loadMore.times; press++) {
    const found = await until(button, press ? 300 : wanted.stepMs);
    if (!found) break;
    const before = size();
    found.click();
    if (!(await grown(before))) break;
  }
  for (let step = 0; step < wanted.scroll; step++) {
    const before = size();
    window.scrollTo(0, document.documentElement.scrollHeight);
    if (!(await grown(before))) break;
  }
}

async function run() {
  const navigation = performance.getEntriesByType("navigation")[0];
  const result = { status: (navigation && navigation.responseStatus) || 200, url: location.href };
  if (result.status < 400) {
    if (wanted.phases.includes("wait")) {
      const complete = wanted.waitFor
        ? () => document.querySelector(wanted.waitFor)
        : () => document.readyState === "complete";
      if (!(await until(complete, wanted.waitMs))) return { ...result, missing: wanted.waitFor || "its load event" };
    }
    if (wanted.phases.includes("act")) await act();
  }
  if (wanted.phases.includes("read")) {
    const html = document.documentElement ? document.documentElement.outerHTML : "";
    result.url = location.href;
    result.characters = html.length;
    result.html = html.length > wanted.maximum ? "" : html;
  }
  return result;
}

run().then(done, (problem) => done({ problem: String(problem) }));
