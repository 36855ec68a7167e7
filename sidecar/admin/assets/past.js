// What the plots show: ten minutes of rates per route. The sidecar keeps the past; what comes live is added to it.

const STEP = 5; // seconds between two points, as the sidecar keeps them
const POINTS = 120;
const FIGURES = ["requests_per_second", "error_share", "fallback_share", "refused_share", "p50", "p99"];

const routes = new Map();

const empty = () => ({ times: [], ...Object.fromEntries(FIGURES.map((figure) => [figure, []])) });

/** Asks for the past: at the start, and after a break. */
export async function remember() {
  const answer = await fetch("/history", { cache: "no-store" }).catch(() => null);
  if (!answer || !answer.ok) return;
  const past = await answer.json();
  routes.clear();
  for (const [name, figures] of Object.entries(past.routes)) routes.set(name, { times: [...past.times], ...figures });
}

/** Adds what a status says of a route. The newest point moves until its step is over. */
export function add(route, now) {
  if (!routes.has(route.name)) routes.set(route.name, empty());
  const past = routes.get(route.name);
  const { times } = past;
  const settled = times.at(-2) ?? -Infinity;
  const moving = times.length > 1 && now - settled < STEP;
  if (moving) times[times.length - 1] = now;
  else times.push(now);
  for (const figure of FIGURES) {
    if (moving) past[figure][times.length - 1] = route.rates[figure];
    else past[figure].push(route.rates[figure]);
  }
  if (times.length > POINTS) for (const list of [times, ...FIGURES.map((figure) => past[figure])]) list.shift();
}

export const of = (name) => routes.get(name) ?? empty();
