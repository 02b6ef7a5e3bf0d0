// Emmett: events appended to one stream, a batch in each append.

import { getPostgreSQLEventStore } from "@event-driven-io/emmett-postgresql";
import pg from "pg";

const WARM_UP_S = 0.5;
const BATCHES = [100, 1000, 5000];
const ORACLE = `select count(*), coalesce(sum((message_data ->> 'amount_fen')::bigint), 0)::bigint as sum from emt_messages`;

const [seconds, ...wanted] = process.argv.slice(2).map(Number);
const { PGUSER, PGPASSWORD, PGHOST, PGPORT, PGDATABASE } = process.env;
const url = `postgresql://${PGUSER}:${encodeURIComponent(PGPASSWORD)}@${PGHOST}:${PGPORT}/${PGDATABASE}`;
const store = getPostgreSQLEventStore(url);
await store.schema.migrate();

let sent = 0;
let totalFen = 0n;
const runs = [];
for (const batch of wanted.length ? wanted : BATCHES) {
  let rate = 0;
  for (const duration of [WARM_UP_S, seconds]) {
    const before = sent;
    const begun = performance.now();
    while (performance.now() < begun + duration * 1000) await append(batch);
    rate = ((sent - before) * 1000) / (performance.now() - begun);
  }
  await check();
  runs.push({ rate, batch });
}
const best = runs.reduce((one, other) => (other.rate > one.rate ? other : one));
console.log(JSON.stringify({ peer: "emmett", ops_per_second: Number(best.rate.toFixed(1)), n: best.batch, checked: true }));
await store.close();

async function append(batch) {
  let fen = 0;
  const events = Array.from({ length: batch }, () => {
    sent += 1;
    const amount_fen = 1 + ((sent * 7919) % 1_000_000);
    fen += amount_fen;
    return { type: "Posted", data: { amount_fen, reference: `posting-${sent}` } };
  });
  await store.appendToStream("fund", events);
  totalFen += BigInt(fen);
}

async function check() {
  const client = new pg.Client();
  await client.connect();
  const { count, sum } = (await client.query(ORACLE)).rows[0];
  await client.end();
  if (BigInt(count) !== BigInt(sent) || BigInt(sum) !== totalFen) {
    console.error(`${sent} postings of ${totalFen} fen were sent, the database has ${count} of ${sum}`);
    process.exit(1);
  }
}
