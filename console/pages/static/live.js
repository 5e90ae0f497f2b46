// Keeps an open page up to date while an evaluation runs: asks for the version, and when it has grown fetches the page
// again and exchanges its live parts. The server stays the only one that renders.
const EVERY_MS = 2000;
const TIMEOUT_MS = 5000;
const standing = () => document.getElementById("standing");

async function ask(url) {
  const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer;
}

async function exchange() {
  const page = new DOMParser().parseFromString(await (await ask(location.href)).text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(old.id);
    if (fresh) old.replaceWith(document.adoptNode(fresh));
  }
  document.dispatchEvent(new Event("winnow:changed"));
}

async function look() {
  try {
    const state = await (await ask("/state.json")).json();
    if (String(state.version) !== standing().dataset.version) await exchange();
    document.getElementById("lost").hidden = true;
  } catch {
    document.getElementById("lost").hidden = false;
  }
  if (standing().dataset.running === "1") setTimeout(look, EVERY_MS);
}

if (standing().dataset.running === "1") setTimeout(look, EVERY_MS);
