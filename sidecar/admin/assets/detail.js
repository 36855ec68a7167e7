// What is below a route that is opened: plots, facts, and what can be done to it.

import { holdClosed, holdOpen, inject, lift, release } from "./actions.js";
import { make, match, say } from "./dom.js";
import { Plots } from "./plots.js";
import { breakerNote, breakerWord, clock, faultWords, lasted, rate, until } from "./words.js";

const counted = (counts) =>
  Object.entries(counts)
    .map(([word, number]) => `${number} ${word}`)
    .join(", ") || "none";

function facts(route) {
  const { breaker, bulkhead, fault, totals } = route;
  const kept = route.last_known_good.newest_age_seconds;
  const list = [["Callers get", route.callers_get.replace("Callers get ", "")]];
  if (breaker) {
    list.push(["Breaker", `${breakerWord(route)}${breaker.state === "closed" ? "" : `, ${breakerNote(route)}`}, last moved ${clock(route.since, true)}`]);
    if (breaker.shared_with.length) list.push(["Shared with", breaker.shared_with.join(", ")]);
  }
  if (fault) list.push(["Fault", `${faultWords(fault)}, ${until(fault.until)}`]);
  if (bulkhead) list.push(["Bulkhead", `${bulkhead.in_flight} of ${bulkhead.limit} slots, ${bulkhead.queued} queued`]);
  if (route.tunnels) list.push(["Tunnels", String(route.tunnels)]);
  if (kept !== null) list.push(["Newest kept answer", `${lasted(kept)} old`]);
  list.push(["Since the start", `${rate(totals.requests)} calls: ${counted(totals.by_outcome)}`]);
  if (Object.keys(totals.refused_by_reason).length) list.push(["Refused", counted(totals.refused_by_reason)]);
  if (Object.keys(totals.would_refuse_by_reason).length) list.push(["Would refuse", counted(totals.would_refuse_by_reason)]);
  return list;
}

/** Which buttons make sense now. */
function levers(route) {
  const { breaker, fault } = route;
  const list = [];
  if (breaker && breaker.forced) list.push(["Let the breaker go…", release]);
  if (breaker && !(breaker.forced && breaker.forced.state === "open") && !breaker.dry_run) list.push(["Hold open…", holdOpen]);
  if (breaker && !(breaker.forced && breaker.forced.state === "closed")) list.push(["Hold closed…", holdClosed]);
  if (fault) list.push(["Lift the fault…", lift]);
  if (route.upstream !== null) list.push([fault ? "Change the fault…" : "Inject a fault…", inject]);
  return list;
}

export class Detail {
  constructor(route) {
    this.route = route;
    this.plots = new Plots(route.name);
    this.facts = make("dl", { class: "facts" });
    this.levers = make("p", { class: "levers", role: "group", "aria-label": `Change ${route.name} by hand` });
    this.element = make("div", {}, this.plots.element, make("div", { class: "aside" }, this.facts, this.levers));
  }

  update(route) {
    this.route = route;
    this.plots.update(route);
    match(
      this.facts,
      facts(route),
      ([name]) => name,
      ([name]) => make("div", {}, make("dt", {}, name), make("dd")),
      (pair, [, text]) => say(pair.lastChild, text),
    );
    match(
      this.levers,
      levers(route),
      ([label]) => label,
      ([label, act]) => make("button", { type: "button", onclick: () => act(this.route) }, label),
      () => {},
    );
  }

  redraw() {
    this.plots.redraw();
  }

  close() {
    this.plots.close();
  }
}
