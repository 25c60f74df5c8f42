// The texts of the page by key, one table per language.
// t("key", {name: value}) fills in each {name}; n: 1 takes the singular, "key.one", where the language has one.
import { en } from "./words.en.js";
import { zh } from "./words.zh.js";

const TABLES = { en, zh };
export const LANGUAGES = { en: "English", zh: "中文" };

const storedLanguage = () => {
  try {
    return window.localStorage.getItem("saddle.language");
  } catch {
    return null; // the browser stores nothing
  }
};

let language = TABLES[storedLanguage()] ? storedLanguage() : (navigator.language || "en").startsWith("zh") ? "zh" : "en";
document.documentElement.lang = language;

export const currentLanguage = () => language;

export function setLanguage(chosen) {
  language = chosen;
  document.documentElement.lang = chosen;
  try {
    window.localStorage.setItem("saddle.language", chosen);
  } catch {
    // the choice lasts until the page is closed
  }
}

// The text of a key, or undefined.
export const findText = (key) => TABLES[language][key];

export function t(key, values = {}) {
  const singular = String(values.n) === "1" ? findText(`${key}.one`) : undefined;
  const text = singular ?? findText(key) ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}
