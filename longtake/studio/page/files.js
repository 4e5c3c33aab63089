// Storyboards together with the files that they pin: from the disk, or from another film.

import * as api from "./api.js";
import { plainName, readPin, writePin } from "./board.js";

const KINDS = ["images", "videos"];
export const isStoryboard = (file) => /\.toml$/i.test(file.name);

// A film of a storyboard and the pictures and videos chosen with it: { id, missing }, the names of those that were not.
export async function openFiles(files) {
  const toml = files.find(isStoryboard);
  if (!toml) throw new Error("no storyboard among these files; try a .toml, and what it pins");
  const board = await api.boardOf(await toml.text());
  const media = new Map(files.filter((file) => file !== toml).map((file) => [plainName(file.name), file]));
  const missing = new Set();
  for (const shot of board.shot) for (const kind of KINDS) {
    const pins = (shot[kind] ?? []).map(readPin).map((pin) => ({ ...pin, name: plainName(pin.name.split("/").at(-1)) }));
    for (const pin of pins) if (!media.has(pin.name)) missing.add(pin.name);
    shot[kind] = pins.filter((pin) => media.has(pin.name)).map(writePin);
  }
  const id = await brought({ title: toml.name.replace(/\.toml$/i, "") }, board, media);
  return { id, missing: [...missing] };
}

// Another film like this one, of which nothing is made yet; its id.
export async function copied(video, board) {
  const { model, scheme, repair, settings } = video, media = new Map();
  for (const { name } of await api.media(video.id)) media.set(name, await api.mediaFile(video.id, name));
  return brought({ title: `${video.title || "Film"}, a copy`, model, scheme, repair, settings }, board, media);
}

// What is pinned must be there before the storyboard that pins it.
async function brought(fields, board, media) {
  const bare = { ...board, shot: board.shot.map((shot) => ({ ...shot, images: [], videos: [] })) };
  const { id } = await api.create({ ...fields, storyboard: bare, start: false });
  for (const [name, file] of media) await api.upload(id, name, file);
  if (media.size) await api.save(id, board);
  return id;
}
