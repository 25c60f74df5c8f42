// What the table asks the server for: the words of the search box and the chips, as one filter; and what was seen there.

// Chips by their parameter of the address, with the field that each holds an experiment to.
export const CHIPS = { state: "state", tag: "tag", optimizer: "optimizer.kind", person: "owner" };
const quoted = (value) => (/^[^\W\d][\w.:/+%-]*$/u.test(value) ? value : `"${value.replaceAll('"', '""')}"`);

export const chosenOf = (search) => Object.fromEntries(Object.keys(CHIPS).map((name) => [name, search.get(name) || ""]));

export function filterOf(typed, chosen) {
  const terms = Object.entries(chosen).filter(([, value]) => value).map(([name, value]) => `${CHIPS[name]} = ${quoted(value)}`);
  if (typed.trim()) terms.unshift(terms.length ? `(${typed})` : typed);
  return terms.join(" AND ");
}

const states = (item) => Object.entries(item.runs).filter(([, n]) => n).map(([state]) => state);
const READ = { state: states, tag: (item) => item.tags, optimizer: (item) => [item.values["optimizer.kind"]].flat(), person: (item) => [item.owner] };
const seen = Object.fromEntries(Object.keys(CHIPS).map((name) => [name, new Set()]));
let project = null;

// The values that were seen since the page was opened: a chip that is set leaves the others to be chosen instead.
export function valuesSeen(items, of) {
  if (project !== of) for (const each of Object.values(seen)) each.clear();
  project = of;
  for (const item of items) for (const [name, read] of Object.entries(READ)) for (const value of read(item)) if (typeof value === "string") seen[name].add(value);
  return Object.fromEntries(Object.entries(seen).map(([name, values]) => [name, [...values].sort()]));
}

// The value of a field of a row, as rows are grouped and coloured by it.
export function fieldOf(item, field) {
  if (field === "owner") return item.owner;
  if (field === "state") return states(item)[0] ?? null;
  if (field === "tag") return item.tags.join(", ") || null;
  const value = item.values[field];
  return value === null || value === undefined ? null : typeof value === "string" ? value : JSON.stringify(value);
}

// Rows in groups, in the order of each group's first row: [{group, items}] or one without a name.
export function grouped(items, field) {
  if (!field) return [{ group: null, items }];
  const found = new Map();
  for (const item of items) {
    const group = fieldOf(item, field) ?? "–";
    if (!found.has(group)) found.set(group, []);
    found.get(group).push(item);
  }
  return [...found].map(([group, some]) => ({ group, items: some }));
}
