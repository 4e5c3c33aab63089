// Storyboards together with the files that they pin: from the disk, or from another film.

import * as api from "./api.js";
import { plainName, readPin, writePin } from "./board.js";
import { h } from "./dom.js";
import { unzipped } from "./zip.js";

const KINDS = ["images", "videos"];
const isArchive = (file) => /\.zip$/i.test(file.name);
export const isStoryboard = (file) => /\.toml$/i.test(file.name) || isArchive(file);
const bare = (name) => name.replace(/\.(toml|zip)$/i, "");

// A film of a storyboard and the pictures and videos chosen with it: { id, missing }, the names of those that were not.
export async function openFiles(chosen) {
  const archive = chosen.find(isArchive);
  const files = archive ? [...(await unzipped(archive)), ...chosen.filter((file) => !isArchive(file))] : chosen;
  const toml = files.find((file) => isStoryboard(file));
  if (!toml) throw new Error("no storyboard among these files; try a .toml, and what it pins");
  const board = await api.boardOf(await toml.text());
  const others = files.filter((file) => file !== toml), media = new Map(others.map((file) => [plainName(file.name), file]));
  if (media.size < others.length) throw new Error("two of these files have one name; try other names");
  const missing = new Set();
  for (const shot of board.shot) for (const kind of KINDS) {
    const pins = (shot[kind] ?? []).map(readPin).map((pin) => ({ ...pin, name: plainName(pin.name.split("/").at(-1)) }));
    for (const pin of pins) if (!media.has(pin.name)) missing.add(pin.name);
    shot[kind] = pins.filter((pin) => media.has(pin.name)).map(writePin);
  }
  const title = archive && toml.name === "storyboard.toml" ? bare(archive.name) : bare(toml.name);
  const id = await brought({ title }, board, media);
  return { id, missing: [...missing] };
}

// Another film like this one, of which nothing is made yet; its id.
export async function copied(video, board) {
  const { model, scheme, repair, settings } = video, media = new Map();
  for (const { name } of await api.media(video.id)) media.set(name, await api.mediaFile(video.id, name));
  return brought({ title: `${video.title || "Film"}, a copy`, model, scheme, repair, settings }, board, media);
}

// A storyboard for elsewhere: the file alone, or an archive of it and what it pins.
export async function saved(video, board) {
  const pins = board.shot.some((shot) => KINDS.some((kind) => shot[kind]?.length));
  const file = pins ? await api.archive(video.id) : new Blob([await api.toml(video.id)], { type: "application/toml" });
  const address = URL.createObjectURL(file), name = (video.title || "film").replace(/[^\p{L}\p{N} _-]/gu, "").trim() || "film";
  h("a", { href: address, download: `${name}${pins ? ".zip" : ".toml"}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

// What is pinned must be there before the storyboard that pins it.
async function brought(fields, board, media) {
  const empty = { ...board, shot: board.shot.map((shot) => ({ ...shot, images: [], videos: [] })) };
  const { id } = await api.create({ ...fields, storyboard: empty, start: false });
  for (const [name, file] of media) await api.upload(id, name, file);
  if (media.size) await api.save(id, board);
  return id;
}
