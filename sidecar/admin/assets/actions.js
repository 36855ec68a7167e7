// What can be changed by hand: each is asked for once more in words that say what will happen.

import { byId, make, say } from "./dom.js";
import { ask, askToken } from "./dialogs.js";

const DURATIONS = [["30s", "30 s"], ["1m", "1 min"], ["5m", "5 min"], ["15m", "15 min"], ["1h", "1 h"], ["8h", "8 h"]];

let token = null; // in this page's memory only

/** A request that changes something. Throws an Error whose message is for the reader. */
async function send(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) }).catch(() => {
    throw new Error("The sidecar did not answer. Nothing is known to have changed.");
  });
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 401) {
    const shown = await askToken(token !== null);
    token = shown;
    if (shown === null) throw new Error("Nothing was changed: it needs the admin token.");
    return send(method, path, body);
  }
  if (!answer.ok) throw new Error(`Refused (${answer.status}): ${told.error ?? "no reason given"}`);
  return told;
}

const path = (route, what) => `/routes/${encodeURIComponent(route.name)}/${what}`;

const choice = (values) => Object.fromEntries(DURATIONS)[values.for];

const everyone = (route) => [route.name, ...(route.breaker?.shared_with ?? [])].join(", ");

const announce = (text) => say(byId("announcer"), text);

function durations(preset) {
  const options = DURATIONS.map(([value, label]) => make("option", { value, selected: value === preset }, label));
  return make("label", {}, "For ", make("select", { name: "for" }, ...options));
}

export function holdOpen(route) {
  ask({
    title: `Hold the breaker of ${route.name} open`,
    fields: [durations("5m")],
    what: (values) =>
      `Every call of ${everyone(route)} will be refused for ${choice(values)}: nothing is sent to ${route.upstream}. ${route.when_open}. Afterwards it probes.`,
    yes: (values) => `Hold open for ${choice(values)}`,
    act: (values) => send("POST", path(route, "breaker"), { state: "open", for: values.for }),
    done: (values) => announce(`The breaker of ${route.name} is held open for ${choice(values)}`),
  });
}

export function holdClosed(route) {
  ask({
    title: `Hold the breaker of ${route.name} closed`,
    fields: [durations("5m")],
    what: (values) =>
      `Every call of ${everyone(route)} will be sent to ${route.upstream} for ${choice(values)}, however many fail: the breaker protects neither the callers nor the upstream.`,
    yes: (values) => `Hold closed for ${choice(values)}`,
    act: (values) => send("POST", path(route, "breaker"), { state: "closed", for: values.for }),
    done: (values) => announce(`The breaker of ${route.name} is held closed for ${choice(values)}`),
  });
}

export function release(route) {
  const after = route.breaker.forced?.state === "open" ? "The next call is a probe." : "It follows its rules again.";
  ask({
    title: `Let the breaker of ${route.name} go`,
    fields: [],
    what: () => `Nobody will hold the breaker of ${everyone(route)} any more. ${after}`,
    yes: () => "Let it go",
    act: () => send("DELETE", path(route, "breaker")),
    done: () => announce(`The breaker of ${route.name} is no longer held`),
  });
}

function faultFields() {
  const option = (value, label) => make("option", { value }, label);
  return [
    make("label", {}, "Attempts get ", make("select", { name: "kind" }, option("503", "503"), option("500", "500"), option("429", "429"), option("delay", "a delay"), option("reset", "their caller cut off"))),
    make("label", {}, "Delay ", make("select", { name: "delay" }, option("", "none"), option("200ms", "200 ms"), option("1s", "1 s"), option("2s", "2 s"), option("10s", "10 s"))),
    make("label", {}, "Share of attempts ", make("select", { name: "ratio" }, option("1", "all"), option("0.5", "50 %"), option("0.1", "10 %"), option("0.01", "1 %"))),
    durations("1m"),
  ];
}

/** The form's values as the admin port wants them. */
function fault(values) {
  const wanted = { ratio: Number(values.ratio), for: values.for };
  if (values.kind === "reset") wanted.reset = true;
  else if (values.kind !== "delay") wanted.abort = Number(values.kind);
  if (values.delay) wanted.delay = values.delay;
  else if (values.kind === "delay") wanted.delay = "1s";
  return wanted;
}

function faultSentence(route, values) {
  const wanted = fault(values);
  const who = wanted.ratio === 1 ? "Every attempt" : `${Math.round(wanted.ratio * 100)} % of the attempts`;
  const late = wanted.delay ? ` ${wanted.delay.replace(/(\d)(\D)/, "$1 $2")} late` : "";
  const gets = wanted.reset ? `cuts its caller off${late}` : wanted.abort ? `is answered with ${wanted.abort}${late}, in place of ${route.upstream}` : `goes out${late}`;
  return `${who} of ${route.name} ${gets}, for ${choice(values)}. Real callers are hit: the breaker counts it, retries and fallbacks follow.`;
}

export function inject(route) {
  ask({
    title: `Inject a fault into ${route.name}`,
    fields: faultFields(),
    what: (values) => faultSentence(route, values),
    yes: (values) => `Inject for ${choice(values)}`,
    act: (values) => send("POST", path(route, "fault"), fault(values)),
    done: (values) => announce(`A fault is injected into ${route.name} for ${choice(values)}`),
  });
}

export function lift(route) {
  ask({
    title: `Lift the fault on ${route.name}`,
    fields: [],
    what: () => `Attempts of ${route.name} go to ${route.upstream} again as they are.`,
    yes: () => "Lift it",
    act: () => send("DELETE", path(route, "fault")),
    done: () => announce(`The fault on ${route.name} is lifted`),
  });
}
