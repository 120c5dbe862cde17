// Connects by rediss:// with the library of its second argument and prints what it saw as one line of JSON.
// CA, CERTIFICATE and KEY name the files; EXPECTED is how many changes are awaited, of which it says `ready` first.
import { readFileSync } from "node:fs";

const [port, library, host = "127.0.0.1"] = process.argv.slice(2);
const file = (name) => (process.env[name] ? readFileSync(process.env[name]) : undefined);
const tls = { ca: file("CA"), cert: file("CERTIFICATE"), key: file("KEY") };
const url = `rediss://${host}:${port}`;
const KEY = "CfgTenant:1";
const MANY = 2000;

function fail(error) {
  console.log(JSON.stringify({ error: String(error.message || error), code: error.code || "" }));
  process.exit(0);
}

async function interface_of_ioredis() {
  const { default: Redis } = await import(library);
  const options = { tls, username: "default", password: process.env.CSP_PASSWORD, retryStrategy: null };
  const made = () => {
    const client = new Redis(url, { ...options, maxRetriesPerRequest: 0 });
    client.on("error", fail);
    return client;
  };
  const client = made();
  const watcher = made();
  const heard = new Promise((resolve) => watcher.on("message", (channel, text) => resolve([channel, text])));
  await watcher.subscribe("cfg:CfgSkill");
  return {
    get: () => client.get(KEY),
    many: async () => {
      const pipeline = client.pipeline();
      for (let number = 0; number < MANY; number += 1) pipeline.get(KEY);
      return (await pipeline.exec()).map(([, value]) => value);
    },
    heard,
    end: () => Promise.all([client.quit(), watcher.quit()]),
  };
}

async function interface_of_node_redis() {
  const { createClient } = await import("redis");
  const client = createClient({
    url, username: "default", password: process.env.CSP_PASSWORD,
    socket: { tls: true, ...tls, reconnectStrategy: false },
  });
  client.on("error", fail);
  await client.connect();
  const watcher = client.duplicate();
  watcher.on("error", fail);
  await watcher.connect();
  let tell;
  const heard = new Promise((resolve) => { tell = resolve; });
  await watcher.subscribe("cfg:CfgSkill", (text, channel) => tell([channel, text]));
  return {
    get: () => client.get(KEY),
    many: () => Promise.all(Array.from({ length: MANY }, () => client.get(KEY))),
    heard,
    end: () => Promise.all([client.close(), watcher.close()]),
  };
}

try {
  const client = await (library === "redis" ? interface_of_node_redis() : interface_of_ioredis());
  const object = await client.get();
  const many = await client.many();
  console.log("ready");
  const message = await client.heard;
  await client.end();
  const same = many.every((one) => one === object);
  console.log(JSON.stringify({ object: JSON.parse(object), many: same ? many.length : 0, message }));
} catch (error) {
  fail(error);
}
