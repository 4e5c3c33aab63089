// Files out of a ZIP archive (PKWARE APPNOTE 4.3), as the browser can unpack them; large ones are never read as a whole.

const END = 0x06054b50, ENTRY = 0x02014b50, MOST = 500;

// The files of an archive, by their last names.
export async function unzipped(archive) {
  const tail = new DataView(await archive.slice(Math.max(0, archive.size - 66000)).arrayBuffer());
  let end = tail.byteLength - 22;
  while (end >= 0 && tail.getUint32(end, true) !== END) end--;
  if (end < 0) throw new Error(`${archive.name} is no ZIP archive; try one that the studio saved`);
  const count = tail.getUint16(end + 10, true), size = tail.getUint32(end + 12, true), first = tail.getUint32(end + 16, true);
  if (count > MOST || first === 0xffffffff) throw new Error(`${archive.name} is too large; try the storyboard and its files by themselves`);
  const list = new DataView(await archive.slice(first, first + size).arrayBuffer()), files = [];
  for (let at = 0, n = 0; n < count; n++) {
    if (at + 46 > list.byteLength || list.getUint32(at, true) !== ENTRY) throw new Error(`${archive.name} is broken; try a whole copy of it`);
    const lengths = [28, 30, 32].map((place) => list.getUint16(at + place, true));
    const name = new TextDecoder().decode(new Uint8Array(list.buffer, at + 46, lengths[0]));
    const entry = { method: list.getUint16(at + 10, true), packed: list.getUint32(at + 20, true), place: list.getUint32(at + 42, true) };
    if (!/(^|\/)(__MACOSX\/|\.)|\/$/.test(name)) files.push(await unpacked(archive, entry, name.split("/").at(-1)));
    at += 46 + lengths.reduce((sum, length) => sum + length);
  }
  return files;
}

async function unpacked(archive, { method, packed, place }, name) {
  const head = new DataView(await archive.slice(place, place + 30).arrayBuffer());
  const from = place + 30 + head.getUint16(26, true) + head.getUint16(28, true), data = archive.slice(from, from + packed);
  if (method === 0) return new File([data], name);
  if (method !== 8) throw new Error(`${name} is packed in a way that browsers do not know; try to unpack it first`);
  return new File([await new Response(data.stream().pipeThrough(new DecompressionStream("deflate-raw"))).blob()], name);
}
