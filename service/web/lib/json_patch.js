// JSON Pointer (RFC 6901) and JSON Patch (RFC 6902), the form of a remedy.

const parsePointer = (pointer) => pointer.split("/").slice(1).map((word) => word.replaceAll("~1", "/").replaceAll("~0", "~"));

export function valueAt(document, pointer) {
  return parsePointer(pointer).reduce((part, word) => (part === null || part === undefined ? undefined : part[word]), document);
}

function parentOf(document, pointer) {
  const path = parsePointer(pointer);
  const last = path.pop();
  return [path.reduce((part, word) => part[word], document), last];
}

function insert(part, word, value, inserts) {
  if (!Array.isArray(part)) part[word] = value;
  else if (word === "-") part.push(value);
  else part.splice(Number(word), inserts ? 0 : 1, value);
}

function removeMember(part, word) {
  if (Array.isArray(part)) part.splice(Number(word), 1);
  else delete part[word];
}

// A patched copy of the document.
export function applyPatch(document, operations) {
  const box = { root: structuredClone(document) };
  for (const { op, path, from, value } of operations) {
    const [part, word] = parentOf(box, `/root${path}`);
    if (op === "remove") removeMember(part, word);
    else if (op === "add" || op === "replace") insert(part, word, structuredClone(value), op === "add");
    else if (op === "copy" || op === "move") {
      const [source, name] = parentOf(box, `/root${from}`);
      const found = structuredClone(source[name]);
      if (op === "move") removeMember(source, name);
      insert(part, word, found, true);
    }
  }
  return box.root;
}

const toText = (value) => (value === undefined ? undefined : JSON.stringify(value, null, 1).replace(/\n\s*/g, " "));

// [{pointer, before, after}] as text, operation by operation; a test operation changes nothing.
export function listChanges(document, operations) {
  return operations.filter(({ op }) => op !== "test").map((operation) => ({
    pointer: operation.path || "/",
    before: operation.path.endsWith("/-") ? undefined : toText(valueAt(document, operation.path)),
    after: operation.op === "remove" ? undefined : toText(operation.value ?? (operation.from ? valueAt(document, operation.from) : null)),
  }));
}
