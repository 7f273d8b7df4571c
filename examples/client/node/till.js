#!/usr/bin/env node
'use strict';
/* The till of a small shop; see ../README.md.  Connects as PG* says. */

const pg = require('pg');
const { Teller, OutcomeUnknown } = require('./teller.js');

const ledger = 1;
const ALICE = 2;
const SHOP = 3;
const FEES = 4;

const commands = {
  async pay(teller, key, amount, version) {
    const moved = await teller.transaction(async (tx) => {
      const done = await tx.transfer({
        ledger,
        debit_account: ALICE,
        credit_account: SHOP,
        amount,
        key,
        expected_version: version,
      });
      if (!done.replayed) {
        await tx.query('INSERT INTO purchase VALUES ($1, $2, $3)', [key, done.amount, done.id]);
      }
      return done;
    });
    show(moved);
  },

  async split(teller, key, amount, fee) {
    const moved = await teller.post({
      ledger,
      debit_accounts: [ALICE, ALICE],
      credit_accounts: [SHOP, FEES],
      amounts: [amount, fee],
      key,
    });
    moved.forEach(show);
  },

  async reserve(teller, key, amount) {
    const held = await teller.hold({
      ledger,
      debit_account: ALICE,
      credit_account: SHOP,
      amount,
      key,
      ttl: '1 hour',
    });
    console.log(`${held.status} ${held.id}, replayed ${held.replayed}`);
  },

  async capture(teller, key, hold, amount) {
    show(await teller.capture({ ledger, hold, amount, key }));
  },

  async release(teller, key, hold) {
    const released = await teller.release({ ledger, hold, key });
    console.log(`${released.status}, replayed ${released.replayed}`);
  },
};

function show(moved) {
  console.log(`${moved.status} ${moved.amount}, replayed ${moved.replayed}`);
}

async function connect() {
  const client = new pg.Client();
  await client.connect();
  return client;
}

async function main(args) {
  const patient = args[0] === '--patient';
  const [command, ...rest] = args.slice(patient ? 1 : 0);
  if (!Object.hasOwn(commands, command)) {
    console.error(`usage: till.js [--patient] ${Object.keys(commands).join('|')} ...`);
    return 2;
  }
  const teller = new Teller(connect, {
    attempts: Number(process.env.TILL_ATTEMPTS || 8),
    retryLockTimeout: patient,
    onRetry: (attempt, error) =>
      console.error(`attempt ${attempt} failed: ${error.severity ? error.code : 'connection'}`),
  });
  try {
    await commands[command](teller, ...rest);
    return 0;
  } catch (error) {
    console.error(`${error.name}: ${error.message}`);
    return error instanceof OutcomeUnknown ? 3 : 1;
  } finally {
    teller.close();
  }
}

main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
