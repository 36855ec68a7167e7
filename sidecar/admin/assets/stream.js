// Live by server-sent events. A browser opens six connections to one host at most, so its tabs share one stream: whoever
// holds the lock has it and passes everything on. Without locks (a page that is not on a secure origin) each has its own.

const SILENCE = 5000; // milliseconds without a word after which the link counts as lost
const AGAIN = 3000;

/** Calls `onStatus` with every document and `onLink` with live or lost. */
export function watch(onStatus, onLink) {
  const channel = "BroadcastChannel" in self ? new BroadcastChannel("sidecar") : null;
  let heard = 0;
  let link = "";

  const tell = (message) => {
    if (message.status) {
      heard = Date.now();
      onStatus(message.status);
    }
    if (message.link && message.link !== link) {
      link = message.link;
      onLink(link);
    }
  };
  const spread = (message) => {
    tell(message);
    if (channel) channel.postMessage(message);
  };
  if (channel) channel.onmessage = (event) => tell(event.data);
  setInterval(() => heard && Date.now() - heard > SILENCE && tell({ link: "lost" }), 1000);

  if (channel && navigator.locks) navigator.locks.request("sidecar-events", () => new Promise(() => open(spread)));
  else open(tell);
}

function open(tell) {
  const source = new EventSource("/events");
  source.addEventListener("status", (event) => tell({ status: JSON.parse(event.data), link: "live" }));
  source.addEventListener("error", () => {
    tell({ link: "lost" });
    if (source.readyState !== EventSource.CLOSED) return; // it comes again by itself
    source.close();
    setTimeout(() => open(tell), AGAIN);
  });
}
