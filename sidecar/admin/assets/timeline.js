// What happened, newest first. A new entry is also said to whoever listens instead of looking.

import { byId, make, mark, match, say } from "./dom.js";
import { clock } from "./words.js";

const BAD = new Set(["open", "ejected", "unhealthy", "rejected", "forced", "fault"]);
const GOOD = new Set(["closed", "back", "healthy", "ok", "lifted", "expired"]);

let spoken = null; // the number of the last entry that was said; null: what is there at the start is not news

function tone({ fields }) {
  const word = fields.to ?? fields.state ?? fields.result ?? fields.action;
  const done = fields.action ?? word;
  if (BAD.has(done)) return "open";
  return GOOD.has(done) ? "closed" : "half_open";
}

export function showTimeline(journal) {
  byId("timeline-empty").hidden = journal.length > 0;
  match(byId("timeline"), [...journal].reverse(), (entry) => String(entry.number), create, () => {});
  const last = journal.at(-1);
  if (last && spoken !== null && last.number > spoken) {
    const news = journal.filter((entry) => entry.number > spoken).map((entry) => entry.text);
    say(byId("announcer"), news.slice(-3).join(". "));
  }
  spoken = last ? last.number : (spoken ?? 0);
}

function create(entry) {
  const dot = make("span", { class: "mark", "aria-hidden": "true" });
  const time = make("time", { datetime: entry.at, title: entry.at }, clock(entry.at, true));
  const item = make("li", {}, dot, time, make("span", { class: "text" }, entry.text));
  mark(item, "data-state", tone(entry));
  return item;
}
