// Brings what a button has begun into view, once for each piece of work.

const seen = new Set();

export default function look({ data, parentElement }) {
  if (!data || seen.has(data)) return;
  seen.add(data);
  setTimeout(() => parentElement.scrollIntoView({ behavior: "smooth", block: "start" }), 200);
}
