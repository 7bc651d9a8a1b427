// Listens for news of the server and passes on their kinds. As a shared worker it does so once for all pages of the
// browser (a browser opens only six connections to a server); where there are no shared workers each page loads it.
const KINDS = ["reading", "order", "critical", "notice"];
const SHORTEST = 1000;
const LONGEST = 60000;

export function listen(tell) {
  let wait = SHORTEST;
  let source = null;
  let timer = 0;

  function open() {
    clearTimeout(timer);
    timer = 0;
    source = new EventSource("/live");
    source.onopen = () => {
      wait = SHORTEST;
      tell("open");
    };
    for (const kind of KINDS) source.addEventListener(kind, () => tell(kind));
    source.onerror = () => {
      source.close();
      tell("away");
      timer = setTimeout(open, wait * (0.5 + Math.random()));
      wait = Math.min(wait * 2, LONGEST);
    };
  }

  open();
  // Somebody has just come: whoever waits for long tries at once, since the server may be there again.
  return () => { if (timer) open(); };
}

if (typeof SharedWorkerGlobalScope !== "undefined" && self instanceof SharedWorkerGlobalScope) {
  const ports = new Set();
  let last = "";
  let hurry = null;
  const tell = (kind) => {
    if (kind === "open" || kind === "away") last = kind;
    for (const port of ports) port.postMessage(kind);
  };
  self.onconnect = (event) => {
    const port = event.ports[0];
    ports.add(port);
    port.onmessage = () => ports.delete(port); // the page is going away
    if (last) port.postMessage(last === "open" ? "still open" : last);
    if (hurry) hurry();
    else hurry = listen(tell);
  };
}
