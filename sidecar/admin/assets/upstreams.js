// Upstreams: one body of rows each, its own line first, then its endpoints.

import { byId, make, mark, match, say } from "./dom.js";
import { count, endpointWord, wellEndpoint } from "./words.js";

export function showUpstreams(status) {
  const table = byId("upstreams");
  const bodies = [...table.tBodies];
  status.upstreams.forEach((upstream, index) => {
    if (!bodies[index]) bodies[index] = table.appendChild(make("tbody", { role: "rowgroup" }));
    const rows = [{ upstream }, ...upstream.endpoints.map((endpoint) => ({ endpoint }))];
    match(bodies[index], rows, (row) => (row.upstream ? `upstream ${row.upstream.name}` : row.endpoint.name), create, update);
  });
  for (const body of bodies.slice(status.upstreams.length)) body.remove();
}

function create({ endpoint }) {
  if (!endpoint) {
    const cell = make("th", { scope: "rowgroup", role: "rowheader", colspan: 5 }, make("span", { class: "group" }), make("span", { class: "sub" }));
    return make("tr", { role: "row", class: "group" }, cell);
  }
  const state = make("span", { class: "state" }, make("span", { class: "mark", "aria-hidden": "true" }), make("span"));
  return make(
    "tr",
    { role: "row" },
    make("th", { scope: "row", role: "rowheader" }, endpoint.name),
    make("td", { role: "cell", "data-label": "State" }, state),
    ...["Weight", "Priority", "Pending"].map((column) => make("td", { role: "cell", class: "number", "data-label": column })),
  );
}

function update(row, { upstream, endpoint }) {
  if (upstream) {
    const { connections, budget } = upstream;
    const [name, facts] = row.firstChild.children;
    say(name, upstream.name);
    const retries = `${count(Math.max(0, Math.floor(budget.available)), "retry", "retries")} left of the budget`;
    say(facts, `${connections.active} active, ${connections.idle} idle connections; ${retries}`);
    return;
  }
  const [, state, weight, priority, pending] = row.children;
  mark(row, "data-level", wellEndpoint(endpoint) ? "fine" : "watch");
  mark(state.firstChild, "data-state", wellEndpoint(endpoint) ? "closed" : "half_open");
  say(state.firstChild.lastChild, endpointWord(endpoint));
  say(weight, String(endpoint.weight));
  say(priority, String(endpoint.priority));
  say(pending, String(endpoint.pending));
}
