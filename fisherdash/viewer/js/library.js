// What the other files share: the 3D library, elements, arrays of numbers, the page's colours.
//
// The files of this folder are one program: `viewer.py` puts them one after the other.

const LIBRARY = "app/static/vendor/3Dmol-min.js";
// Only where the file above is missing; pinned and checked by the browser.
const ELSEWHERE = {
  url: "https://cdn.jsdelivr.net/npm/3dmol@2.5.5/build/3Dmol-min.js",
  integrity: "sha384-OsczYbldvrHgslr9fFp/i4GiLSeuw9l+QIlv99ITw8soOwXcoGeflFMLg+CU/X1d",
};

function script(url, name, integrity) {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = url;
    if (integrity) {
      element.integrity = integrity;
      element.crossOrigin = "anonymous";
    }
    element.onload = () => (window[name] ? resolve(window[name]) : reject(new Error(url)));
    element.onerror = () => reject(new Error(url));
    document.head.appendChild(element);
  });
}

function library() {
  if (window.$3Dmol) return Promise.resolve(window.$3Dmol);
  if (!window.fisherdash3Dmol) {
    // A failure is kept too: it is tried again when the page is loaded again, not at every frame.
    window.fisherdash3Dmol = script(new URL(LIBRARY, document.baseURI).href, "$3Dmol").catch(() =>
      script(ELSEWHERE.url, "$3Dmol", ELSEWHERE.integrity),
    );
  }
  return window.fisherdash3Dmol;
}

// The server hands out the copy in its Python package.
function plotly() {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  window.fisherdashPlotly ??= script(new URL("app/plotly.min.js", document.baseURI).href, "Plotly");
  return window.fisherdashPlotly;
}

function element(tag, attributes = {}, parent = null, text = null) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  if (parent) parent.appendChild(made);
  return made;
}

function decode(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

function colour(root, name) {
  return getComputedStyle(root).getPropertyValue(`--st-${name}`).trim() || "#888";
}

// Native sliders and menus follow `color-scheme`, which the page's theme does not set.
function follow_theme(root) {
  const sample = document.createElement("canvas").getContext("2d");
  sample.fillStyle = colour(root, "background-color");
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(sample.fillStyle.slice(at, at + 2), 16));
  root.style.colorScheme = 0.3 * red + 0.6 * green + 0.1 * blue < 128 ? "dark" : "light";
}

// Index of the last of the ascending values that is not above `value` (at least 0).
function place_of(values, value) {
  let [low, high] = [0, values.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (values[middle] <= value) low = middle;
    else high = middle - 1;
  }
  return Math.max(0, low);
}

function nearest(values, value) {
  const at = place_of(values, value);
  return at + 1 < values.length && values[at + 1] - value < value - values[at] ? at + 1 : at;
}
