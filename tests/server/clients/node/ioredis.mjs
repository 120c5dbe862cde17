// Connects with ioredis, default settings, and prints what it saw as one line of JSON.
// Its third argument may name a library of the same interface: iovalkey; the fourth is the port that takes writes.

const [port, skill, library = "ioredis", writable = port] = process.argv.slice(2);
const { default: Redis } = await import(library);
const options = { host: "127.0.0.1", port: Number(port), username: "default", password: process.env.CSP_PASSWORD };
const client = new Redis(options);
const writer = new Redis({ ...options, port: Number(writable) });
const watcher = new Redis(options);
const errors = [];
client.on("error", (error) => errors.push(String(error)));
watcher.on("error", (error) => errors.push(String(error)));

const message = new Promise((resolve) => watcher.on("message", (channel, text) => resolve([channel, text])));
const pattern = new Promise((resolve) => watcher.on("pmessage", (glob, channel) => resolve([glob, channel])));
const subscribed = await watcher.subscribe("cfg:CfgSkill");
const patterns = await watcher.psubscribe("cfg:*");
const created = await writer.call("CFG.CREATE", "CfgSkill", JSON.stringify({ tenantDBID: 1, name: skill }));
const key = `CfgSkill:${created[1]}`;
const heard = await message;
const pipelined = await client.pipeline().get(key).exists(key).type(key).exec();
const together = await client.multi().get(key).strlen(key).exec();
const keys = [];
for await (const page of client.scanStream({ match: "CfgSkill:*", count: 100 })) keys.push(...page);
let unknown = "";
try {
  await client.call("nonsense", "a");
} catch (error) {
  unknown = error.message;
}
const found = {
  created, subscribed, patterns, unknown, errors, keys,
  object: JSON.parse(await client.get(key)),
  missing: await client.get("CfgSkill:999999"),
  many: (await client.mget(key, "CfgSkill:999999", key)).map((one) => one && JSON.parse(one).name),
  pipelined: pipelined.map(([error, value]) => (error ? String(error) : typeof value)),
  together: together.map(([error, value]) => (error ? String(error) : typeof value)),
  message: heard,
  pattern: await pattern,
  ping: await client.ping(),
  unsubscribed: await watcher.unsubscribe("cfg:CfgSkill"),
};
await client.quit();
await writer.quit();
await watcher.quit();
console.log(JSON.stringify(found));
