// Brings what a button has begun, or what a click has made, into view, once for each.

const seen = new Set();

export default function look({ data, parentElement }) {
  if (!data || seen.has(data.what)) return;
  seen.add(data.what);
  const { block } = data;
  const place = parentElement.host ?? parentElement; // its styles are isolated in a shadow root
  place.style.scrollMarginTop = "4.5rem"; // below the page's own header
  place.style.scrollMarginBottom = "1rem";
  // What stands above the end of something has to have its height first.
  setTimeout(() => place.scrollIntoView({ behavior: "smooth", block }), block === "end" ? 600 : 200);
}
