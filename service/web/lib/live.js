// Following a run as it trains: the stream tells where it is, the browser resumes it by itself.

// handlers: {points(data), state(data), cut(data), end(data), lost(), back()}; returns the end of following.
export function follow(path, handlers) {
  const source = new EventSource(path);
  for (const kind of ["points", "state", "wish", "cut", "checkpoint", "checkpoint_failed", "checkpoint_damaged", "run", "end"]) {
    source.addEventListener(kind, (event) => {
      const handler = handlers[kind] || handlers.other;
      if (handler) handler(JSON.parse(event.data), kind);
      if (kind === "end" && !handlers.keep) source.close();
    });
  }
  source.onerror = () => handlers.lost && handlers.lost();
  source.onopen = () => handlers.back && handlers.back();
  return () => source.close();
}
