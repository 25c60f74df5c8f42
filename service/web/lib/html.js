// The rendering library: Preact with htm.
export {
  html, render, useState, useEffect, useMemo, useLayoutEffect, useRef, useCallback, useErrorBoundary,
} from "../vendor/htm-preact.js";
