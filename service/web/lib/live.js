// Following a run as it trains, or all runs of the project: the stream tells where it is, the browser resumes it by itself.

const OF_RUNS = ["state", "wish", "cut", "checkpoint", "checkpoint_failed", "checkpoint_damaged", "run"];

function heard(source, kind, handler) {
  source.addEventListener(kind, (event) => handler(JSON.parse(event.data), kind));
}

// handlers: {points(data), state(data), cut(data), reading(data), end(data), lost(), back()}; returns the end of following.
export function follow(path, handlers) {
  const source = new EventSource(path);
  for (const kind of ["points", "reading", ...OF_RUNS, "end"]) {
    heard(source, kind, (data) => {
      const handler = handlers[kind] || handlers.other;
      if (handler) handler(data, kind);
      if (kind === "end" && !handlers.keep) source.close();
    });
  }
  source.onerror = () => handlers.lost && handlers.lost();
  source.onopen = () => handlers.back && handlers.back();
  return () => source.close();
}

// handlers: {run(event) for each event of any run, runs({runs}) for those that have moved, reset()}.
export function followProject(handlers) {
  const source = new EventSource("/v1/events?from=latest");
  for (const kind of OF_RUNS) heard(source, kind, handlers.run);
  heard(source, "runs", handlers.runs);
  heard(source, "reset", handlers.reset);
  return () => source.close();
}
