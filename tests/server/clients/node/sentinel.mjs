// ioredis in Sentinel mode: prints the port that it was led to, and, once it is led to another, what it read there.
import Redis from "ioredis";

const [name, ...ports] = process.argv.slice(2);
const client = new Redis({
  sentinels: ports.map((port) => ({ host: "127.0.0.1", port: Number(port) })),
  name,
  username: "default",
  password: process.env.CSP_PASSWORD,
  sentinelRetryStrategy: () => 100,
  retryStrategy: () => 100,
  maxRetriesPerRequest: null,
});
client.on("error", () => {});

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const portNow = () => client.stream?.remotePort;

await client.get("CfgTenant:1");
const first = portNow();
console.log(first);
let value;
let port = first;
while (port === first || port === undefined) {
  await pause(20);
  value = await client.get("CfgTenant:1");
  port = portNow();
}
console.log(JSON.stringify({ port, value: value !== null }));
client.disconnect();
