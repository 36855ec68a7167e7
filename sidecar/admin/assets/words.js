// Numbers and times as people read them, and the one line at the top.

const NOTHING = "–";
const TOLERATED = 500; // milliseconds: less than the way of a status may take

let ahead = 0; // of this browser's clock

/** Takes the sidecar's time for the time: a reader's clock may be wrong, and "4 min" must not be. */
export function synchronise({ at }) {
  const found = at ? Date.parse(at) - Date.now() : 0;
  if (Math.abs(found - ahead) > TOLERATED) ahead = found;
}

/** Milliseconds, Unix time, as the sidecar has it. */
export const now = () => Date.now() + ahead;

const ago = (date) => (now() - Date.parse(date)) / 1000;

export function seconds(value) {
  if (value === null || value === undefined) return NOTHING;
  if (value < 0.001) return "<1 ms";
  if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} s`;
}

export function rate(value) {
  if (value >= 9950) return `${Math.round(value / 1000)}k`;
  if (value >= 995) return `${(value / 1000).toFixed(1)}k`;
  return value === 0 || value >= 9.95 ? String(Math.round(value)) : value.toFixed(1);
}

export function share(value) {
  if (value === null || value === undefined) return NOTHING;
  if (value > 0 && value < 0.01) return "<1 %";
  return `${Math.round(value * 100)} %`;
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1048576).toFixed(1)} MiB`;
}

/** How long something has lasted. */
export function lasted(value) {
  if (value < 60) return `${Math.max(0, Math.floor(value))} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min`;
  const hours = Math.floor(value / 3600);
  return hours < 48 ? `${hours} h ${Math.floor((value % 3600) / 60)} min` : `${Math.floor(hours / 24)} d`;
}

/** Seconds to come, as a countdown. */
export function left(value) {
  return value < 60 ? `${Math.ceil(value)} s` : lasted(value);
}

export function until(date) {
  return `until ${clock(date)} (${left(Math.max(0, -ago(date)))} left)`;
}

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const SHORT = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** The time of day where the reader is; with the day, if that is another one. */
export function clock(date, precise = false) {
  const then = new Date(date);
  const time = (precise ? TIME : SHORT).format(then);
  return then.toDateString() === new Date().toDateString() ? time : `${DAY.format(then)}, ${time}`;
}

export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

const ILL = 2;
const WATCH = 1;
const FINE = 0;
export const LEVELS = { ILL, WATCH, FINE };

/** Whether a route needs somebody. */
export function level(route) {
  const { breaker, rates, fault } = route;
  if (breaker && !breaker.dry_run && breaker.state !== "closed") return ILL;
  if (rates.error_share >= 0.5) return ILL;
  const shares = [rates.error_share, rates.fallback_share, rates.refused_share];
  if (fault || (breaker && (breaker.forced || breaker.state !== "closed")) || shares.some((one) => one >= 0.01)) return WATCH;
  return FINE;
}

export function breakerWord(route) {
  if (!route.breaker) return "none";
  const word = route.breaker.state.replace("_", "-");
  return route.breaker.dry_run && word !== "closed" ? `${word}, dry run` : word;
}

/** What is going on with the breaker: how long, how much longer, who holds it. */
export function breakerNote(route) {
  const { breaker } = route;
  if (!breaker) return "";
  if (breaker.forced) return `held ${until(breaker.forced.until)}`;
  if (breaker.state === "closed") return "";
  const since = `for ${lasted(ago(breaker.open_since))}`;
  if (breaker.state === "half_open") return `${since}, probing`;
  return breaker.retry_after > 0 ? `${since}, next probe in ${left(breaker.retry_after)}` : `${since}, probes with the next call`;
}

export const wellEndpoint = (endpoint) => !endpoint.ejected && (!endpoint.health || endpoint.health.healthy);

export const everCalled = (status) => status.routes.some((route) => route.totals.requests || route.in_flight);

/** The sentence at the top, how bad it is, and what stands below it. */
export function summary(status) {
  const routes = status.routes.filter((route) => route.upstream !== null);
  const ill = routes.filter((route) => level(route) === ILL);
  const watched = routes.filter((route) => level(route) === WATCH);
  const out = status.upstreams.flatMap((upstream) => upstream.endpoints.filter((one) => !wellEndpoint(one)).map((one) => [upstream, one]));
  const reasons = [...ill.map(illReason), ...watched.map(watchReason), ...out.map(([upstream, one]) => endpointReason(upstream, one))];
  const worst = ill.length ? ILL : reasons.length ? WATCH : FINE;
  if (status.config && status.config.rejected) reasons.push({ subject: "configuration", text: ": the newest one was rejected, the one before is served." });
  const bad = status.draining ? Math.max(worst, WATCH) : worst;
  return { level: reasons.length ? Math.max(bad, WATCH) : bad, text: headline(status, routes, ill, reasons), reasons };
}

function headline(status, routes, ill, reasons) {
  if (status.draining) return "Draining: this sidecar is not ready any more, and still serves";
  if (!routes.length) return "No route is configured";
  if (ill.length) {
    const upstreams = [...new Set(ill.map((route) => route.upstream))];
    return upstreams.length === 1 ? `${upstreams[0]} is ill${sinceWhen(ill)}` : `${upstreams.length} upstreams are ill: ${upstreams.join(", ")}`;
  }
  if (reasons.length) return `${routes.length === 1 ? "The route works" : `All ${routes.length} routes work`}; ${count(reasons.length, "thing needs", "things need")} a look`;
  const fine = routes.length === 1 ? "The route is fine" : `All ${routes.length} routes are fine`;
  return everCalled(status) ? fine : `${fine}. No traffic yet`;
}

/** Since the first of them opened. */
function sinceWhen(routes) {
  const dates = routes.flatMap((route) => route.breaker?.open_since ?? []).sort();
  return dates.length ? ` since ${clock(dates[0])} (${lasted(ago(dates[0]))})` : "";
}

function illReason(route) {
  const { breaker } = route;
  const since = breaker?.open_since ? `: ${breakerWord(route)}${sinceWhen([route])}. ` : `: ${share(route.rates.error_share)} of calls fail. `;
  const hand = breaker?.forced ? `Held open by hand ${until(breaker.forced.until)}. ` : "";
  return { subject: route.name, text: ` of ${route.upstream}${since}${hand}${faultNote(route)}${route.callers_get}.` };
}

function watchReason(route) {
  const { breaker } = route;
  const hand = breaker && breaker.forced ? `Breaker held ${breaker.state} by hand ${until(breaker.forced.until)}. ` : "";
  return { subject: route.name, text: `: ${hand}${faultNote(route)}${route.callers_get}.` };
}

function faultNote(route) {
  return route.fault ? `A fault is injected by hand (${faultWords(route.fault)}) ${until(route.fault.until)}. ` : "";
}

export function faultWords(fault) {
  const parts = [];
  if (fault.abort) parts.push(`answer ${fault.abort}`);
  if (fault.delay) parts.push(`${seconds(fault.delay)} late`);
  if (fault.reset) parts.push("connection cut");
  return `${parts.join(", ")}, ${share(fault.ratio)} of attempts`;
}

function endpointReason(upstream, endpoint) {
  return { subject: endpoint.name, text: ` of ${upstream.name} is ${endpointWord(endpoint)}.` };
}

export function endpointWord(endpoint) {
  if (endpoint.ejected) return `ejected ${until(endpoint.ejected_until)}`;
  if (endpoint.health && !endpoint.health.healthy) return `unhealthy: ${endpoint.health.last_failure}`;
  return endpoint.weight ? "in" : "takes nothing new";
}
