// The state of the configuration, and of what is kept for when an upstream fails.

import { byId, make, match, say } from "./dom.js";
import { clock, count, lasted, size } from "./words.js";

function facts(status) {
  const { config, last_known_good: kept } = status;
  const list = [];
  if (config) {
    list.push(["Loaded", `${clock(config.loaded_at, true)}`]);
    list.push(["Reloads", `${config.reloads.ok} taken, ${config.reloads.rejected} rejected`]);
  } else {
    list.push(["Loaded", `with the process, ${lasted(status.uptime_seconds)} ago`]);
  }
  if (kept) {
    const disk = kept.written === undefined ? "" : `; ${kept.written} written, ${kept.failed} failed, ${kept.dropped} dropped`;
    list.push(["Answers kept", `${count(kept.entries, "answer")}, ${size(kept.bytes)}, ${kept.state === "disk" ? "on disk" : "in memory"}${disk}`]);
  }
  return list;
}

export function showSettings(status) {
  match(
    byId("settings"),
    facts(status),
    ([name]) => name,
    ([name]) => make("div", {}, make("dt", {}, name), make("dd")),
    (pair, [, text]) => say(pair.lastChild, text),
  );
  showProblems(status.config?.rejected ?? null);
}

function showProblems(rejected) {
  const box = byId("problems");
  box.hidden = rejected === null;
  const lines = rejected === null ? [] : [`Rejected at ${clock(rejected.at, true)}; the configuration before it is served. Nothing else changed.`, ...rejected.problems];
  match(
    box,
    lines.map((text, index) => ({ text, index })),
    ({ index }) => String(index),
    ({ index }) => make(index ? "pre" : "p"),
    (element, { text }) => say(element, text),
  );
}
