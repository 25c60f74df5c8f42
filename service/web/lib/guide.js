// What a newcomer has done in this browser: three steps, each of which disappears once it is done.
import { useEffect, useState } from "./html.js";

const KEY = "saddle.first_steps";
export const STEPS = ["train", "look", "compare"];

function doneSteps() {
  try {
    return new Set(JSON.parse(window.localStorage.getItem(KEY) || "[]"));
  } catch {
    return new Set(STEPS); // a browser that keeps nothing would never see them disappear
  }
}

function write(steps) {
  try {
    window.localStorage.setItem(KEY, JSON.stringify([...steps]));
  } catch {
    // nothing is shown either
  }
}

// Counts a step as done once `isDone` holds.
export function useStepDone(step, isDone = true) {
  useEffect(() => { if (isDone) write(doneSteps().add(step)); }, [isDone]);
}

// {open, dismiss}: the steps that are not done yet.
export function useOpenSteps(isTrained) {
  const [done, set] = useState(doneSteps);
  useStepDone("train", isTrained);
  const open = STEPS.filter((step) => !done.has(step) && !(step === "train" && isTrained));
  return { open, dismiss: () => { write(STEPS); set(new Set(STEPS)); } };
}
