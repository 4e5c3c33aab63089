// Elements by name, and new ones.

export const $ = (id) => document.getElementById(id);

// h("p", { class: "quiet", onclick: work }, "text", child): never HTML out of text.
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected" || name === "disabled" || name === "hidden") element[name] = value;
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function clock(seconds) {
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const rest = String(whole % 60).padStart(2, "0");
  return whole < 3600 ? `${Math.floor(whole / 60)}:${rest}` : `${Math.floor(whole / 3600)}:${String(Math.floor(whole / 60) % 60).padStart(2, "0")}:${rest}`;
}

export function length(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

// Lets the browser draw and hear before long work goes on.
export const breath = () => globalThis.scheduler?.yield?.() ?? new Promise((wake) => setTimeout(wake));

// Work some time after it is first asked for, once for all who ask until then.
export function often(work, wait) {
  let timer = 0;
  return () => { timer ||= setTimeout(() => { timer = 0; work(); }, wait); };
}

// Work when nobody has asked for it for some time.
export function later(work, wait) {
  let timer = 0;
  return (...words) => { clearTimeout(timer); timer = setTimeout(() => work(...words), wait); };
}
