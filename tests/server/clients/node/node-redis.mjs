// Connects with node-redis, default settings, and prints what it saw as one line of JSON.
// Its third argument is the port that takes writes.
import { createClient } from "redis";

const [port, skill, writable = port] = process.argv.slice(2);
const errors = [];
const client = createClient({
  socket: { host: "127.0.0.1", port: Number(port) }, username: "default", password: process.env.CSP_PASSWORD,
});
client.on("error", (error) => errors.push(String(error)));
await client.connect();
const writer = client.duplicate({ socket: { host: "127.0.0.1", port: Number(writable) } });
writer.on("error", (error) => errors.push(String(error)));
await writer.connect();
const watcher = client.duplicate();
watcher.on("error", (error) => errors.push(String(error)));
await watcher.connect();

let heard;
const message = new Promise((resolve) => { heard = resolve; });
await watcher.subscribe("cfg:CfgSkill", (text, channel) => heard([channel, text]));
const created = await writer.sendCommand(["CFG.CREATE", "CfgSkill", JSON.stringify({ tenantDBID: 1, name: skill })]);
const key = `CfgSkill:${created[1]}`;
const told = await message;
const keys = [];
for await (const page of client.scanIterator({ MATCH: "CfgSkill:*", COUNT: 100 })) keys.push(...page);
const found = {
  created, errors, keys,
  object: JSON.parse(await client.get(key)),
  missing: await client.get("CfgSkill:999999"),
  many: (await client.mGet([key, "CfgSkill:999999"])).map((one) => one && JSON.parse(one).name),
  together: (await client.multi().get(key).exists(key).exec()).map((value) => typeof value),
  status: Object.keys(await client.sendCommand(["CFG.STATUS"])).length > 0,
  message: told,
  ping: await client.ping(),
  id: typeof (await client.clientId()),
  info: (await client.info("server")).includes("redis_version:7.4.0"),
  config: await client.configGet("save"),
};
await watcher.unsubscribe("cfg:CfgSkill");
watcher.destroy();
await client.close();
await writer.close();
console.log(JSON.stringify(found));
