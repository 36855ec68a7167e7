// The table of routes: ill ones first, each with its details below it when it is opened.

import { byId, make, mark, match, say } from "./dom.js";
import { Detail } from "./detail.js";
import * as past from "./past.js";
import { LEVELS, breakerNote, breakerWord, everCalled, level, now, rate, seconds, share } from "./words.js";

const COLUMNS = ["Route", "Breaker", "Calls/s", "Errors", "Fallback", "Refused", "p50", "p99", "In flight", "What callers get"];
const LEVEL_NAMES = { [LEVELS.ILL]: "ill", [LEVELS.WATCH]: "watch", [LEVELS.FINE]: "fine" };

const details = new Map();
let chosen = null; // null: nobody has opened or closed anything yet

const UNMATCHED = "no route matched";
const shownName = (route) => (route.upstream === null ? UNMATCHED : route.name);

function toggle(name) {
  chosen = chosen ?? new Set(details.keys());
  if (chosen.has(name)) chosen.delete(name);
  else chosen.add(name);
  if (newest) showRoutes(newest);
}

let newest = null;

export function showRoutes(status) {
  newest = status;
  const routes = status.routes.filter((route) => route.upstream !== null || route.totals.requests);
  for (const route of routes) past.add(route, now() / 1000);
  routes.sort((one, other) => level(other) - level(one)); // stable: otherwise as they are configured
  const open = chosen ?? new Set(first(routes));
  const rows = routes.flatMap((route) => (open.has(route.name) ? [{ route }, { route, detail: true }] : [{ route }]));
  for (const [name, detail] of details) if (!open.has(name) || !routes.some((route) => route.name === name)) close(name, detail);
  match(byId("routes").tBodies[0], rows, (row) => (row.detail ? "detail of " : "route ") + row.route.name, create, (element, row) => update(element, row, open));
  say(byId("routes-note"), everCalled(status) ? `over the last ${status.routes[0]?.rates.seconds || 10} s` : "no traffic yet");
}

/** What is open until somebody chooses: the one that is worst off, or busiest. */
function first(routes) {
  const [worst] = [...routes].sort((one, other) => level(other) - level(one) || other.rates.requests_per_second - one.rates.requests_per_second);
  const kept = [...details.keys()];
  if (worst && (!kept.length || (level(worst) === LEVELS.ILL && !kept.includes(worst.name)))) return [worst.name];
  return kept;
}

function close(name, detail) {
  detail.close();
  details.delete(name);
}

function create({ route, detail }) {
  return detail ? createDetail(route) : createRow(route);
}

function createRow(route) {
  const numbers = [2, 3, 4, 5, 6, 7, 8];
  const button = make("button", { type: "button", class: "name", onclick: () => toggle(route.name) }, shownName(route));
  const cells = COLUMNS.map((column, index) => make("td", { role: "cell", "data-label": column, class: numbers.includes(index) ? "number" : null }));
  cells[0] = make("th", { scope: "row", role: "rowheader" }, button, make("span", { class: "sub" }));
  cells[1].append(make("span", { class: "state" }, make("span", { class: "mark", "aria-hidden": "true" }), make("span")), make("span", { class: "sub" }));
  cells[9].className = "wide";
  return make("tr", { role: "row", class: "route" }, ...cells);
}

function createDetail(route) {
  const detail = new Detail(route);
  details.set(route.name, detail);
  return make("tr", { role: "row", class: "detail" }, make("td", { role: "cell", colspan: COLUMNS.length }, detail.element));
}

function update(row, { route, detail }, open) {
  if (detail) details.get(route.name).update(route);
  else updateRow(row, route, open.has(route.name));
}

function updateRow(row, route, isOpen) {
  const { rates, bulkhead } = route;
  const cells = row.children;
  mark(row, "data-level", LEVEL_NAMES[level(route)]);
  mark(cells[0].firstChild, "aria-expanded", String(isOpen));
  say(cells[0].lastChild, route.upstream === null ? "" : `${route.upstream}${route.critical ? ", critical" : ""}`);
  const [state, note] = cells[1].children;
  mark(state, "data-state", route.breaker ? (route.breaker.dry_run ? "closed" : route.breaker.state) : "none");
  say(state.lastChild, breakerWord(route));
  say(note, breakerNote(route) + (route.fault ? " fault injected" : ""));
  number(cells[2], rate(rates.requests_per_second), rates.requests_per_second === 0);
  number(cells[3], share(rates.error_share), !rates.error_share, rates.error_share >= 0.01 ? "ill" : null);
  number(cells[4], share(rates.fallback_share), !rates.fallback_share, rates.fallback_share >= 0.01 ? "watch" : null);
  number(cells[5], share(rates.refused_share), !rates.refused_share, rates.refused_share >= 0.01 ? "watch" : null);
  number(cells[6], seconds(rates.p50), rates.p50 === null);
  number(cells[7], seconds(rates.p99), rates.p99 === null);
  number(cells[8], bulkhead ? `${route.in_flight} of ${bulkhead.limit}` : String(route.in_flight), !route.in_flight);
  say(cells[9], route.callers_get.replace("Callers get ", ""));
}

function number(cell, text, quiet, tone = null) {
  say(cell, text);
  mark(cell, "data-quiet", quiet ? "" : null);
  mark(cell, "data-tone", tone);
}

/** In the colours of another theme. */
export function redraw() {
  for (const detail of details.values()) detail.redraw();
  if (newest) showRoutes(newest);
}
