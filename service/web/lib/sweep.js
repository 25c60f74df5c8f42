// Several values of fields as a grid of specs: "optimizer.lr: 1e-4, 1e-3" a line; or with a range, "optimizer.lr: 1e-4..1e-1",
// as the space of a study.

export const MOST_SPECS = 64;
const NUMBER = "[-+]?(?:\\d+\\.?\\d*|\\.\\d+)(?:[eE][-+]?\\d+)?";
const NUMBERS = new RegExp(`^\\s*${NUMBER}(?:\\s*,\\s*${NUMBER})+\\s*$`);
const RANGE = new RegExp(`^\\s*(${NUMBER})\\s*(?:\\.\\.|…)\\s*(${NUMBER})\\s*$`);
const MANYFOLD = 10; // a range that spans more is searched by magnitude
const isPart = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

// Every dotted path of a spec that ends in a value.
function pathsOf(spec, prefix = "") {
  return Object.entries(spec).flatMap(([name, value]) => (isPart(value) ? [...pathsOf(value, `${prefix}${name}.`)] : [`${prefix}${name}`]));
}

const read = (word) => (word.trim() !== "" && !Number.isNaN(Number(word)) ? Number(word) : word.trim());

function valuesOf(text) {
  try {
    return JSON.parse(`[${text}]`); // lists and texts with commas as JSON writes them
  } catch {
    return text.split(",").filter((word) => word.trim()).map(read);
  }
}

export function putAt(spec, path, value) {
  const [name, ...rest] = path.split(".");
  return { ...spec, [name]: rest.length ? putAt(isPart(spec[name]) ? spec[name] : {}, rest.join("."), value) : value };
}

const rangeOf = (text) => RANGE.exec(text)?.slice(1);

// {axes: [{path, values}], wrong: [{line, why, among}]}: a name alone stands for the only path that ends in it; the ends of
// a range are a `range` of texts.
export function parseSweep(text, spec) {
  const [axes, wrong] = [[], []];
  const paths = pathsOf(spec);
  for (const line of text.split("\n").filter((each) => each.trim())) {
    const at = line.indexOf(":");
    const name = line.slice(0, at).trim();
    const range = rangeOf(line.slice(at + 1));
    const values = at < 1 ? [] : range ? range.map(Number) : valuesOf(line.slice(at + 1));
    const found = name.includes(".") || paths.includes(name) ? [name] : paths.filter((path) => path.endsWith(`.${name}`));
    if (at < 1 || !values.length) wrong.push({ line, why: "form" });
    else if (found.length !== 1) wrong.push({ line, why: found.length ? "several" : "unknown", among: found });
    else if (axes.some(({ path }) => path === found[0])) wrong.push({ line, why: "twice" });
    else if (range && values[0] >= values[1]) wrong.push({ line, why: "range" });
    else axes.push({ path: found[0], values, ...(range ? { range } : {}) });
  }
  return { axes, wrong };
}

// Every combination: [{name, spec}], the last axis fastest.
export function gridOf(spec, axes, tag) {
  let grid = [{ label: [], spec }];
  for (const { path, values } of axes) {
    grid = grid.flatMap((each) => values.map((value) => ({ label: [...each.label, `${path.split(".").pop()}=${typeof value === "object" ? JSON.stringify(value) : value}`], spec: putAt(each.spec, path, value) })));
  }
  return grid.map((each) => {
    const name = `${spec.name || "sweep"} ${each.label.join(" ")}`.slice(0, 128);
    return { name, spec: { ...each.spec, name, tags: [...new Set([...(spec.tags || []), tag])] } };
  });
}

const at = (spec, path) => path.split(".").reduce((part, name) => part?.[name], spec);

// The axes as the space of a study. Whole numbers in place of a whole number stay whole.
export function spaceOf(spec, axes) {
  return Object.fromEntries(axes.map(({ path, values, range }) => {
    const [low, high] = values;
    const wide = low > 0 && high / low >= MANYFOLD;
    const whole = range && high > 1 && Number.isInteger(at(spec, path)) && range.every((text) => /^\d+$/.test(text));
    const dimension = !range ? { kind: "choice", options: values } : whole ? { kind: "int", low, high, ...(wide ? { log: true } : {}) } : { kind: wide ? "log_uniform" : "uniform", low, high };
    return [`/${path.replaceAll(".", "/")}`, dimension];
  }));
}

export const sizeOf = (axes) => axes.reduce((product, { values }) => product * values.length, 1);

// What was typed into fields for one number: {spec: with the first of the numbers, or where a range is typed as it was; lines:
// of the sweep}.
export function takeLists(before, after, prefix = "") {
  const lines = [];
  const spec = Object.fromEntries(Object.entries(after).map(([name, value]) => {
    if (isPart(value)) {
      const inner = takeLists(isPart(before?.[name]) ? before[name] : {}, value, `${prefix}${name}.`);
      lines.push(...inner.lines);
      return [name, inner.spec];
    }
    const range = typeof value === "string" && rangeOf(value);
    if (typeof value !== "string" || !(range || NUMBERS.test(value)) || typeof before?.[name] === "string") return [name, value];
    lines.push({ path: `${prefix}${name}`, text: value.trim() });
    return [name, range ? before?.[name] ?? Number(range[0]) : Number(value.split(",")[0])];
  }));
  return { spec, lines };
}

// The lines of a sweep with some of them put in place of those of the same field.
export function putLines(text, lines) {
  const kept = text.split("\n").filter((line) => line.trim() && !lines.some(({ path }) => line.split(":")[0].trim() === path));
  return [...kept, ...lines.map(({ path, text: values }) => `${path}: ${values}`)].join("\n");
}
