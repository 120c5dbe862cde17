// A cache of its own over ioredis: one connection reads and tracks, another one hears what is invalid.
// Its arguments: the port, a skill's DBID, the port that takes writes. It prints what it saw as one line of JSON.

import Redis from "ioredis";

const [port, dbid, writable] = process.argv.slice(2);
const options = { host: "127.0.0.1", port: Number(port), username: "default", password: process.env.CSP_PASSWORD };
// ioredis hands on no push of RESP3 that it does not know, so who listens speaks RESP2.
const listener = new Redis({ ...options, protocol: 2 });
const writer = new Redis({ ...options, port: Number(writable) });
const errors = [];
listener.on("error", (error) => errors.push(String(error)));

const cache = new Map();
const told = [];
let wake = () => {};
listener.on("message", (channel, keys) => {
  told.push([channel, keys]);
  if (keys === "") cache.clear();
  for (const key of keys.split(",")) cache.delete(key);
  wake();
});
const tellings = async (count) => {
  while (told.length < count) await new Promise((resolve) => (wake = resolve));
};

const id = await listener.client("ID");
await listener.subscribe("__redis__:invalidate");
const reader = new Redis(options);
reader.on("error", (error) => errors.push(String(error)));
await reader.client("TRACKING", "ON", "REDIRECT", id);

const key = `CfgSkill:${dbid}`;
const read = async () => {
  while (!cache.has(key)) {
    const text = await reader.get(key);
    if (text) cache.set(key, JSON.parse(text).name);
  }
  return cache.get(key);
};

const names = [await read()];
for (const name of ["first", "second"]) {
  await writer.call("CFG.UPDATE", "CfgSkill", dbid, JSON.stringify({ changed: { name: `${names[0]} ${name}` } }));
  await tellings(names.length);
  names.push(await read());
}
const before = told.length;
reader.disconnect();
await tellings(before + 1);
await listener.quit();
await writer.quit();
console.log(JSON.stringify({ errors, told, names, dropped: told[before] }));
