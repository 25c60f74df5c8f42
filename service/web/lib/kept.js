// What this browser keeps for the page; one that keeps nothing answers null.
const PREFIX = "saddle.";

export function kept(name) {
  try {
    return window.localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

// Null forgets it.
export function keep(name, value) {
  try {
    if (value === null) window.localStorage.removeItem(PREFIX + name);
    else window.localStorage.setItem(PREFIX + name, value);
  } catch {
    // full, or not allowed: it holds until the page is left
  }
}
