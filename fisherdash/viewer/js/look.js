// Brings what a button has begun into view, once for each piece of work.

const seen = new Set();

export default function look({ data, parentElement }) {
  if (!data || seen.has(data)) return;
  seen.add(data);
  const place = parentElement.host ?? parentElement; // its styles are isolated in a shadow root
  place.style.scrollMarginTop = "4.5rem"; // the header covers so much
  setTimeout(() => place.scrollIntoView({ behavior: "smooth", block: "start" }), 200);
}
