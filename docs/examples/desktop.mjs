// An agent desktop's session with ioredis: a first read, then changes, and after a lost connection what was missed.
//
//     CSP_PASSWORD=… node desktop.mjs HOST PORT APPLICATION

import Redis from "ioredis";

// All in one SUBSCRIBE: a subscription that comes later begins where the connection then is.
const CHANNELS = ["cfg.notice", "cfg:CfgSkill"];
const [host, port, application] = process.argv.slice(2);
const password = process.env.CSP_PASSWORD;
const options = {
  host, port: Number(port), username: "default", password,
  retryStrategy: (times) => Math.min(5000, 50 * 2 ** times) * (0.5 + Math.random()),
};
const reader = new Redis(options);
const changes = new Redis(options);
const skills = new Map();
let seen = 0; // the newest revision whose changes are all in `skills`

const show = (what) => console.log(JSON.stringify(what));

// ioredis signs in with what its options say when it connects: the newest token.
function keep(token) {
  for (const client of [reader, changes]) client.options.password = token;
}

// All skills, page by page; the revision to go on from is the first page's.
async function read() {
  let revision = 0, cursor = "0";
  skills.clear();
  do {
    const [page, next, objects] = await reader.call("CFG.READ", "CfgSkill", "CURSOR", cursor);
    revision ||= page;
    cursor = next;
    for (const text of objects) {
      const skill = JSON.parse(text);
      skills.set(skill.DBID, skill);
    }
  } while (cursor !== "0");
  seen = revision;
  show({ read: seen, skills: skills.size });
}

function take(told) {
  if (told.op === "bookmark") keep(told.token);
  else if (told.op === "resync") read(); // the server can't go on from there
  else if ("class" in told) change(told);
}

// One that was told already, before the connection was lost, comes again: it is known by its revision.
function change(told) {
  if (told.revision <= seen) return;
  if (told.op === "create") skills.set(told.DBID, told.object);
  else if (told.op === "delete") skills.delete(told.DBID);
  else Object.assign(skills.get(told.DBID), told.delta.changed ?? {});
  if (!told.more) seen = told.revision; // the last part of its transaction
  show({ change: told.revision, op: told.op, DBID: told.DBID });
}

for (const client of [reader, changes])
  client.on("error", (error) => {
    if (/WRONGPASS/.test(error.message)) keep(password); // older than a day, or the password has changed
  });
changes.on("message", (channel, text) => take(JSON.parse(text)));

await read();
const reply = await changes.call("CFG.REGISTER", application);
keep(reply[reply.indexOf("token") + 1]);
await changes.call("CFG.FROM", seen, "BOOKMARKS", 1000);
await changes.subscribe(...CHANNELS);
show({ subscribed: CHANNELS });
