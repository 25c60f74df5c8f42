// JSON Pointers (RFC 6901) and the patches made of them (RFC 6902), as remedies come.

const steps = (pointer) => pointer.split("/").slice(1).map((word) => word.replaceAll("~1", "/").replaceAll("~0", "~"));

export function at(document, pointer) {
  return steps(pointer).reduce((part, word) => (part === null || part === undefined ? undefined : part[word]), document);
}

function holder(document, pointer) {
  const way = steps(pointer);
  const last = way.pop();
  return [way.reduce((part, word) => part[word], document), last];
}

function put(part, word, value, inserts) {
  if (!Array.isArray(part)) part[word] = value;
  else if (word === "-") part.push(value);
  else part.splice(Number(word), inserts ? 0 : 1, value);
}

function take(part, word) {
  if (Array.isArray(part)) part.splice(Number(word), 1);
  else delete part[word];
}

// The document with the operations done; it is left as it was.
export function patched(document, operations) {
  const box = { root: structuredClone(document) };
  for (const { op, path, from, value } of operations) {
    const [part, word] = holder(box, `/root${path}`);
    if (op === "remove") take(part, word);
    else if (op === "add" || op === "replace") put(part, word, structuredClone(value), op === "add");
    else if (op === "copy" || op === "move") {
      const [source, name] = holder(box, `/root${from}`);
      const found = structuredClone(source[name]);
      if (op === "move") take(source, name);
      put(part, word, found, true);
    }
  }
  return box.root;
}

const written = (value) => (value === undefined ? undefined : JSON.stringify(value, null, 1).replace(/\n\s*/g, " "));

// [{pointer, before, after}] as text, operation by operation; a test operation changes nothing.
export function changesOf(document, operations) {
  return operations.filter(({ op }) => op !== "test").map((operation) => ({
    pointer: operation.path || "/",
    before: operation.path.endsWith("/-") ? undefined : written(at(document, operation.path)),
    after: operation.op === "remove" ? undefined : written(operation.value ?? (operation.from ? at(document, operation.from) : null)),
  }));
}
