// What a JSON Schema says about one field: how it is entered, and what it may hold.

const SCALARS = ["boolean", "integer", "number", "string"];

// A schema with its reference looked up in `defs`; what stands beside the reference wins.
export function resolve(schema, defs = {}) {
  if (!schema?.$ref) return schema || {};
  return { ...resolve(defs[schema.$ref.split("/").pop()], defs), ...schema, $ref: undefined };
}

// {type, nullable, ...} of a field: a scalar, "enum" {options}, "object" {schema}, "choice" {tag, kinds}, "list" {item}
// of objects or choices, "scalars" {of}; "json" where only text in JSON can say it.
export function fieldType(field, defs = {}) {
  const outer = resolve(field, defs);
  const choices = (outer.anyOf || []).map((each) => resolve(each, defs));
  const nullable = choices.some((each) => each.type === "null");
  const others = choices.filter((each) => each.type !== "null");
  if (others.length > 1) return { type: "json", nullable };
  const inner = others.length ? { ...outer, ...others[0] } : outer;
  if (inner.const !== undefined) return { type: "const", nullable };
  if (inner.enum) return { type: "enum", options: inner.enum, nullable };
  if (inner.discriminator) return { type: "choice", nullable, ...choiceOf(inner.discriminator) };
  if (inner.type === "object" && inner.properties) return { type: "object", nullable, schema: inner };
  if (inner.type === "array") return { ...listType(inner, defs), nullable, least: inner.minItems };
  if (SCALARS.includes(inner.type)) return { type: inner.type, nullable, pattern: inner.pattern, low: inner.minimum ?? inner.exclusiveMinimum, high: inner.maximum ?? inner.exclusiveMaximum };
  return { type: "json", nullable };
}

const choiceOf = ({ propertyName, mapping }) => ({ tag: propertyName, kinds: Object.fromEntries(Object.entries(mapping).map(([kind, $ref]) => [kind, { $ref }])) });

function listType({ items, prefixItems }, defs) {
  const item = fieldType(items || {}, defs);
  if (prefixItems || !items) return { type: "json" };
  if (["object", "choice"].includes(item.type)) return { type: "list", item };
  return SCALARS.includes(item.type) ? { type: "scalars", of: item.type } : { type: "json" };
}

// A value as somebody would type it; a text that could be read as something else is written as JSON.
export function inputText(value, { type }) {
  if (value === null || value === undefined) return "";
  if (type === "scalars" && value.every?.((each) => typeof each !== "string" || !/[",[\]]|^\s|\s$|^$/.test(each))) return value.join(", ");
  if (typeof value === "string" && value && parseInput(value, { type }) === value) return value;
  return ["json", "scalars"].includes(type) ? JSON.stringify(value) : String(value);
}

const number = (text) => (text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text));

// The value that somebody typed; undefined leaves a list out that must not be empty. What cannot be read is sent as it is:
// the server says what is wrong with it.
export function parseInput(text, { type, nullable, of, least }) {
  if (text === "" && nullable) return null;
  if (type === "string") return text;
  if (type === "integer" || type === "number") return number(text);
  try {
    return wrapped(JSON.parse(text), type);
  } catch {
    if (type !== "scalars") return text;
    const words = text.split(",").map((word) => word.trim());
    return words.length === 1 && words[0] === "" ? (least ? undefined : []) : of === "string" ? words : words.map(number);
  }
}

const wrapped = (value, type) => (type === "scalars" && !Array.isArray(value) ? [value] : value);
