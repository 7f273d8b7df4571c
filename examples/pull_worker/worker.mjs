#!/usr/bin/env node
/*
 * A worker for a server of wrapper teller_pull, complete: claim, carry out,
 * tell.  For node-postgres (`pg`) and the fetch of Node 18 or later.
 *
 *     PGDATABASE=shop PGUSER=payout_worker worker.mjs card https://api... KEY
 *         [LEASE_S [BATCH [IDLE_S]]]
 *
 * Run as many as you like; each operation is given to one of them.  It may be
 * killed at any moment: what it has claimed is claimed again when the lease is
 * over, under the same memo.  SIGTERM ends it after the call that is on its
 * way, and gives back what it has not begun.
 *
 * What the provider must promise is in ../pull_provider.py, which this repeats.
 */
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

// require() finds what NODE_PATH names, import does not.
const { Client } = createRequire(import.meta.url)('pg');

const [server, url, apiKey, lease = '120', batch = '10', idle = '1'] =
  process.argv.slice(2);

// Nothing has happened, and the same may be tried again.
const TRY_AGAIN = ['40001', '40P01', '55P03'];
const LONGEST_PAUSE_MS = 10000;

let stopping = false;
process.on('SIGTERM', () => { stopping = true; });
process.on('SIGINT', () => { stopping = true; });

const say = (...words) => console.error(...words);

// ---- the provider ---------------------------------------------------------

/*
 * An answer has a status: what teller.complete() takes, or not_sent, if it
 * surely did not run and will not.
 */
const notSent = (reason) => ({ status: 'not_sent', reason });
const inDoubt = (reason) => ({ status: 'in_doubt', reason });

// With these there was no connection.  After any other failure, nobody knows.
const NO_CONNECTION = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN',
  'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT'];

async function send(request, method, path, body) {
  try {
    const reply = await fetch(url + path, {
      method,
      body: body && JSON.stringify(body),
      redirect: 'manual',
      signal: AbortSignal.timeout(request.timeout_ms),
      headers: {
        'Idempotency-Key': request.memo,
        'Authorization': 'Bearer ' + apiKey,
        'Content-Type': 'application/json',
      },
    });
    return read(method, reply.status, await reply.text());
  } catch (error) {
    const code = error.cause?.code;
    return NO_CONNECTION.includes(code) ?
      notSent('no connection: ' + code) : inDoubt('no answer: ' + error);
  }
}

function read(method, code, text) {
  if (method === 'GET' && code === 404) return { status: 'not_found' };
  if ([401, 403, 404, 429].includes(code)) return notSent('HTTP ' + code);
  if (code === 409) return { status: 'busy', reason: 'in progress' };
  if (code === 422) {
    return { status: 'conflict', reason: 'the key has another request' };
  }
  if (![200, 201, 402].includes(code)) return inDoubt('HTTP ' + code);
  return readPayout(text);
}

/* A payout, paid or refused.  What cannot be read proves nothing. */
function readPayout(text) {
  const meaning = { paid: 'executed', failed: 'rejected', pending: 'busy' };
  try {
    const payout = JSON.parse(text);
    const status = meaning[payout.status];
    // The amount is text: a number would have been rounded by now.
    if (!status || typeof payout.amount !== 'string') {
      return inDoubt('unreadable answer');
    }
    return { status, reference: payout.id, reason: payout.failure,
             amount: payout.amount, asset: payout.currency };
  } catch (error) {
    return inDoubt('unreadable answer: ' + error);
  }
}

async function callProvider(request) {
  if (request.verb === 'lookup') {
    return send(request, 'GET', '/payouts/' + request.memo);
  }
  // The server has can_fence 'off', so nothing else is ever asked.
  if (request.verb !== 'execute') return inDoubt('cannot ' + request.verb);
  if (Date.now() >= Date.parse(request.not_after)) {
    return notSent('it is past not_after');
  }
  if (request.direction !== 'withdraw') {
    return notSent('this provider only pays out');
  }
  return send(request, 'POST', '/payouts', {
    amount: request.amount,
    currency: request.asset,
    destination: request.account,
    description: request.nonce,
  });
}

// ---- the database ---------------------------------------------------------

let client = null;

/*
 * One statement in a transaction of its own: when this returns, it is
 * committed.  If it throws an error without a SQLSTATE, nobody knows.
 */
async function run(sql, ...values) {
  if (client === null) {
    const fresh = new Client();
    // The server went away while we did something else.
    fresh.on('error', () => { if (client === fresh) client = null; });
    await fresh.connect();
    client = fresh;
  }
  try {
    return (await client.query(sql, values)).rows;
  } catch (error) {
    // Classes 08 and 57: the session is over.
    if (!error.code || /^(08|57P|E)/.test(error.code)) {
      client?.end().catch(() => {});
      client = null;
    }
    throw error;
  }
}

/*
 * The same, until it is known to have happened: for what may be repeated.
 * False if it is refused, which repeating does not help.
 */
async function insist(sql, ...values) {
  for (let tries = 1; ; tries++) {
    try {
      await run(sql, ...values);
      return true;
    } catch (error) {
      if (client !== null && !TRY_AGAIN.includes(error.code)) {
        say('refused:', error.message);
        return false;
      }
      say('again:', error.message);
    }
    await sleep(Math.random() * Math.min(100 * 2 ** tries, LONGEST_PAUSE_MS));
  }
}

const release = (token) =>
  insist('SELECT teller.release_claim($1, $2, $3, false)', ...token);

// ---- the work -------------------------------------------------------------

/*
 * The lease has to last for the whole call.  Who has lost it sends nothing:
 * somebody else may be sending by now.
 */
async function carryOut(claim) {
  const token = [claim.ledger_id, claim.id, claim.token];
  if (!await insist(
    "SELECT teller.extend_lease($1, $2, $3, $4 * interval '1 s')",
    ...token, lease)) {
    say('lost', claim.id, claim.token);
    return;
  }
  const answer = await callProvider(claim.request);
  say(claim.request.verb, claim.id, claim.token, answer.status,
      answer.reason ?? '');
  if (answer.status === 'not_sent') {
    await release(token);
    return;
  }
  // Executed counts with an old token too: it is always told.
  await insist(`SELECT teller.complete($1, $2, $3, $4, $5, reference => $6,
      reason => $7, amount => $8, asset => $9)`, ...token, claim.memo,
      answer.status, answer.reference, answer.reason, answer.amount,
      answer.asset);
}

/* Claim, then carry out.  False if there was nothing to do. */
async function takeTurn() {
  const claims = await run(
    "SELECT * FROM teller.claim($1, $2, $3 * interval '1 s')",
    server, batch, lease);
  // The claim is committed: now, and not before, something may be sent.
  for (const claim of claims) {
    if (stopping) await release([claim.ledger_id, claim.id, claim.token]);
    else await carryOut(claim);
  }
  return claims.length > 0;
}

let pauseMs = 100;
while (!stopping) {
  let busy = false;
  try {
    busy = await takeTurn();
    pauseMs = 100;
  } catch (error) {
    // A claim whose COMMIT was not answered may have been made.  We do not
    // know of what, so its lease has to run out.
    say('cannot claim:', error.message);
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
  }
  if (!busy && !stopping) await sleep(Math.max(pauseMs, idle * 1000));
}
await client?.end();
