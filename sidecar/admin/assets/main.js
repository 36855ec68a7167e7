// Puts the page together: what comes in by the stream is shown, part by part.

import { byId, make, mark, match, say } from "./dom.js";
import { showRoutes, redraw } from "./routes.js";
import { remember } from "./past.js";
import { showSettings } from "./settings.js";
import { showTimeline } from "./timeline.js";
import { showUpstreams } from "./upstreams.js";
import { watch } from "./stream.js";
import { LEVELS, clock, lasted, summary, synchronise } from "./words.js";

const NAMES = { [LEVELS.ILL]: "ill", [LEVELS.WATCH]: "watch", [LEVELS.FINE]: "fine" };

function showSummary(status) {
  const { level, text, reasons } = summary(status);
  say(byId("now"), text);
  mark(byId("summary"), "data-level", NAMES[level]);
  document.title = `${level === LEVELS.FINE ? "" : "! "}${text} · sidecar`;
  match(
    byId("reasons"),
    reasons,
    (reason) => reason.subject,
    () => make("li", {}, make("strong"), make("span")),
    (item, reason) => {
      say(item.firstChild, reason.subject);
      say(item.lastChild, reason.text);
    },
  );
}

function showVitals(status) {
  say(byId("where"), location.host);
  const ready = status.draining ? "draining" : status.ready ? "ready" : "not ready";
  say(byId("vitals"), `${status.version}, up ${lasted(status.uptime_seconds)}, ${ready}`);
}

function show(status) {
  synchronise(status);
  showVitals(status);
  showSummary(status);
  showRoutes(status);
  showUpstreams(status);
  showTimeline(status.journal);
  showSettings(status);
}

let lastHeard = null;

function showLink(link) {
  mark(byId("link"), "data-state", link);
  mark(document.body, "data-link", link);
  const since = lastHeard ? `; what you see is of ${clock(lastHeard, true)}` : "";
  say(byId("link-text"), link === "live" ? "live" : `disconnected, retrying${since}`);
  if (link === "live") remember();
}

function heard(status) {
  lastHeard = new Date();
  show(status);
}

document.documentElement.addEventListener("themechange", redraw);
watch(heard, showLink);
