// Brings what a button has begun, or what a click has made, into view: once for each moment of it,
// and after the first only if the reader has not gone elsewhere meanwhile.

const seen = new Map();

const is_seen = (place) => {
  const { top } = place.getBoundingClientRect();
  return top >= 0 && top < window.innerHeight;
};

export default function look({ data, parentElement }) {
  if (!data || seen.get(data.what) === data.moment) return;
  const first = !seen.has(data.what), { block } = data;
  seen.set(data.what, data.moment);
  const place = parentElement.host ?? parentElement; // its styles are isolated in a shadow root
  place.style.scrollMarginTop = "4.5rem"; // below the page's own header
  place.style.scrollMarginBottom = "1rem";
  // What stands above the end of something, or below its status, has to have its height first.
  const wait = first && block === "start" ? 200 : 1200;
  setTimeout(() => {
    if (first || is_seen(place)) place.scrollIntoView({ behavior: "smooth", block });
  }, wait);
}
