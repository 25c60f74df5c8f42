// The texts of the page by key, one table per language.
// t("key", {name: value}) gives the sentence with its {name}s filled in; a missing one falls back to English.
import { en } from "./words.en.js";
import { zh } from "./words.zh.js";

const TABLES = { en, zh };
export const LANGUAGES = { en: "English", zh: "中文" };

const storedLanguage = () => {
  try {
    return window.localStorage.getItem("saddle.language");
  } catch {
    return null; // a browser that keeps nothing
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
    // it is forgotten with the page
  }
}

// The text of a key, or undefined.
export const findText = (key) => TABLES[language][key] ?? en[key];

export function t(key, values = {}) {
  const sentence = TABLES[language][key] ?? en[key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}
