// A partner's program in JavaScript with NATS's official client: lines of JSON in, a line of JSON out for each.
//   {"publish": subject, "event": text}   {"receipt": event id, "seconds": n}   {"try": subject}   {"listen": subject}
import { createInterface } from "node:readline";
import { readFile } from "node:fs/promises";
import { jetstream } from "@nats-io/jetstream";
import { connect, createInbox, credsAuthenticator } from "@nats-io/transport-node";

const [url, credentials] = process.argv.slice(2);
const authenticator = credsAuthenticator(await readFile(credentials));
const partner = await connect({ servers: url, authenticator, maxReconnectAttempts: -1, reconnectTimeWait: 200 });
const stream = jetstream(partner);
const inbox = createInbox();
const answers = partner.subscribe(inbox)[Symbol.asyncIterator]();
const receipts = new Map();
const refused = [];
(async () => { for await (const status of partner.status()) if (status.error) refused.push(String(status.error)); })();

async function receipt(id, seconds) {
  const until = Date.now() + seconds * 1000;
  while (!receipts.has(id) && Date.now() < until) {
    partner.publish("rcpt.next", JSON.stringify({ batch: 1, expires: seconds * 1e9 }), { reply: inbox });
    const { value: message } = await answers.next();
    if (message.data.length) {
      const told = message.json().data;
      receipts.set(told.event_id, told);
      message.respond("+ACK");
    }
  }
  return receipts.get(id) ?? null;
}

async function answer(asked) {
  if (asked.publish) return (await stream.publish(asked.publish, asked.event, { timeout: 2000 })).stream;
  if (asked.receipt) return await receipt(asked.receipt, asked.seconds);
  const before = refused.length;
  if (asked.try) partner.publish(asked.try, "{}", { reply: createInbox() });
  else partner.subscribe(asked.listen, { callback: (error) => error || refused.push("heard something") });
  await partner.flush();
  await new Promise((done) => setTimeout(done, 100));
  return refused.slice(before);
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify({ ok: await answer(JSON.parse(line)) }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
}
await partner.close();
