// The HTTP API, and nothing but the HTTP API.

export class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function answer(response) {
  if (response.ok) return response;
  let message = `${response.status} ${response.statusText}`;
  try { message = (await response.json()).error.message; } catch { /* not ours: say the status */ }
  throw new Refused(response.status, message);
}

async function call(method, path, body, headers = {}, keepalive = false) {
  const options = { method, headers, keepalive, cache: "no-store" };
  if (body instanceof Blob) { options.body = body; headers["content-type"] = "application/octet-stream"; }
  else if (typeof body === "string") { options.body = body; headers["content-type"] = "application/toml"; }
  else if (body !== undefined) { options.body = JSON.stringify(body); headers["content-type"] = "application/json"; }
  return answer(await fetch(path, options));
}

const json = async (...words) => (await call(...words)).json();
const film = (id, rest = "") => `/v1/videos/${id}${rest}`;

export const session = () => json("GET", "/v1/session");
export const signIn = (token) => json("POST", "/v1/session", { token });
export const signOut = () => call("DELETE", "/v1/session");
export const films = async () => (await json("GET", "/v1/videos?limit=500")).data;
export const create = (fields) => json("POST", "/v1/videos", fields);
export const storyboardOf = (fields) => json("POST", "/v1/storyboards", fields);
export const boardOf = (toml) => json("POST", "/v1/storyboards", toml);
export const video = (id) => json("GET", film(id));
export const change = (id, fields) => json("PATCH", film(id), fields);
export const remove = (id) => json("DELETE", film(id));
export const start = (id, draft = false) => json("POST", film(id, "/start"), draft ? { draft } : undefined);
export const redo = (id, fields) => json("POST", film(id, "/redo"), fields);
export const takes = (id) => json("GET", film(id, "/takes"));
export const takeUrl = (id, take) => film(id, `/takes/${take}?shown=${Date.now()}`);
export const pause = (id) => json("POST", film(id, "/pause"));
export const cancel = (id) => json("POST", film(id, "/cancel"));
export const plan = (id) => json("GET", film(id, "/plan"));
export const frame = (id, number) => json("GET", film(id, `/frames/${number}`));
export const scores = (id) => json("GET", film(id, "/scores"));
export const media = async (id) => (await json("GET", film(id, "/media"))).data;
export const upload = (id, name, blob) => json("PUT", film(id, `/media/${encodeURIComponent(name)}`), blob);
export const mediaFile = async (id, name) => (await call("GET", film(id, `/media/${encodeURIComponent(name)}`))).blob();
export const contentUrl = (id, state = "") => film(id, `/content?${state}`);
export const pictureUrl = (id, name) => film(id, `/pictures/${name}`);
export const tomlUrl = (id) => film(id, "/storyboard");

export async function board(id) {
  const response = await call("GET", film(id, "/storyboard"));
  return { board: await response.json(), tag: response.headers.get("etag") };
}

// last: the page is being left, and does not wait for the answer.
export async function save(id, storyboard, tag, last = false) {
  const headers = tag ? { "if-match": tag } : {};
  const response = await call("PUT", film(id, "/storyboard"), storyboard, headers, last);
  return { board: await response.json(), tag: response.headers.get("etag") };
}

export async function toml(id) {
  return (await call("GET", film(id, "/storyboard"), undefined, { accept: "application/toml" })).text();
}

export async function archive(id) {
  return (await call("GET", film(id, "/storyboard"), undefined, { accept: "application/zip" })).blob();
}

// Bytes of the film from `first` on: { bytes, grows }, or null while there are no more.
export async function piece(id, first) {
  const head = await fetch(contentUrl(id), { method: "HEAD", cache: "no-store" });
  if (!head.ok || Number(head.headers.get("content-length")) <= first) return null;
  const response = await fetch(contentUrl(id), { headers: { range: `bytes=${first}-` }, cache: "no-store" });
  if (!response.ok) return null;
  return { bytes: await response.arrayBuffer(), grows: response.headers.get("longtake-film") === "growing" };
}

// Whether the film is "whole", "growing", or "" for not there.
export async function state(id) {
  const response = await fetch(contentUrl(id), { method: "HEAD", cache: "no-store" });
  return response.ok && response.headers.get("content-length") !== "0" ? response.headers.get("longtake-film") : "";
}

// Event lines after one of them, as they come; the browser goes on after a lost connection.
export function watch(id, after, tell) {
  const source = new EventSource(film(id, `/events?after=${after}`));
  source.onmessage = (message) => tell(JSON.parse(message.data));
  return () => source.close();
}
