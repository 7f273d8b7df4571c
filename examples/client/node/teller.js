'use strict';
/*
 * pg_teller from Node: movements with a key, errors as classes, and
 * transactions that survive a lost connection.  For node-postgres (`pg`), which
 * it does not load itself; copy this file.
 *
 *     const teller = new Teller(async () => {
 *       const client = new pg.Client();
 *       await client.connect();
 *       return client;
 *     });
 *     await teller.transfer({ ledger: 1, debit_account: 2, credit_account: 3,
 *                             amount: '20.00', key: 'order 17' });
 *
 * or, with rows of your own in the same transaction:
 *
 *     await teller.transaction(async (tx) => {
 *       const moved = await tx.transfer({ ... });
 *       if (!moved.replayed) await tx.query('INSERT INTO purchase ...');
 *       return moved;
 *     });
 *
 * The function may run more than once, so it has no effect outside the
 * database.  One Teller has one connection and runs one transaction at a time.
 */

// Nothing has happened; the same may be tried again.
const TRY_AGAIN = ['40001', '40P01'];
const LOCK_TIMEOUT = '55P03';

// The session is over: shutdown, crash, time limits; 40003 says itself that
// the outcome is unknown.  With these goes all of class 08.
const SESSION_OVER = ['57P01', '57P02', '57P03', '57P05', '25P03', '40003'];

/* What pg_teller refused.  Nothing has happened. */
class TellerError extends Error {
  constructor(error) {
    super(error.message, { cause: error });
    this.name = this.constructor.name;
    this.sqlstate = error.code;
    this.detail = error.detail;
    this.hint = error.hint;
  }
}
class InsufficientFunds extends TellerError {}
class VersionConflict extends TellerError {}
class IdempotencyMismatch extends TellerError {}
class LimitExceeded extends TellerError {}
class AccountNotActive extends TellerError {}
class HoldNotOpen extends TellerError {}
class AssetMismatch extends TellerError {}
class AccountBusy extends TellerError {}
class NotFound extends TellerError {}
class InstanceNotAdopted extends TellerError {}
class QueueFull extends TellerError {}
class RequestTooOld extends TellerError {}

const BY_SQLSTATE = {
  TL001: InsufficientFunds,
  TL002: VersionConflict,
  TL003: IdempotencyMismatch,
  TL004: LimitExceeded,
  TL005: AccountNotActive,
  TL006: HoldNotOpen,
  TL007: AssetMismatch,
  TL008: AccountBusy,
  TL009: NotFound,
  TL010: InstanceNotAdopted,
  TL011: QueueFull,
  TL012: RequestTooOld,
};

class Failure extends Error {
  constructor(message, cause) {
    super(message, { cause });
    this.name = this.constructor.name;
  }
}

/* Every attempt failed, and none can have happened. */
class Unavailable extends Failure {}

/*
 * A COMMIT was sent and its answer was lost, and so were the repeats.  Ask
 * again later with the same key; never with a new one.
 */
class OutcomeUnknown extends Failure {}

/*
 * The work caught an error of the database and went on.  The transaction could
 * not be committed; nothing has happened.
 */
class RolledBack extends Failure {}

/*
 * What the work gets.  A movement's arguments are those of the SQL function, by
 * name; those left out have their default.  Each needs a key.
 */
class Transaction {
  constructor(line) {
    this.line = line;
  }

  /* A statement of your own; resolves to the result of node-postgres. */
  query(text, values) {
    return this.line.query(text, values);
  }

  async transfer(args) {
    return (await this.call('transfer', args))[0];
  }

  /* Resolves to an array: a row for each item. */
  async post(args) {
    return this.call('post', args);
  }

  async hold(args) {
    return (await this.call('hold', args))[0];
  }

  async capture(args) {
    return (await this.call('capture', args))[0];
  }

  async release(args) {
    return (await this.call('release', args))[0];
  }

  async call(name, args) {
    if (!args.key) throw new TypeError(`${name} needs a key`);
    for (const amount of [args.amount, ...(args.amounts || [])]) {
      // A number cannot hold 0.1, nor every bigint.
      if (typeof amount === 'number') {
        throw new TypeError('an amount is a string or a bigint');
      }
    }
    const given = Object.entries(args).filter(([, value]) => value != null);
    const names = given.map(([argument], i) => `${argument} => $${i + 1}`);
    const values = given.map(([, value]) => value);
    const text = `SELECT * FROM teller.${name}(${names.join(', ')})`;
    return (await this.line.query(text, values)).rows;
  }
}

/*
 * A connection and what became of it.  Errors that come from it are told apart
 * from those that the work throws by itself.
 */
class Line {
  constructor(client) {
    this.client = client;
    this.over = false;
    this.errors = new WeakSet();
    // Without a listener an idle connection that ends would end the process.
    client.on('error', () => {
      this.over = true;
    });
    client.on('end', () => {
      this.over = true;
    });
  }

  async query(text, values) {
    try {
      return await this.client.query(text, values);
    } catch (error) {
      this.errors.add(error);
      if (ended(error)) this.over = true;
      throw error;
    }
  }

  close() {
    this.over = true;
    // Nobody waits for the farewell of a connection that may be dead.
    this.client.end().catch(() => {});
  }
}

/* Does this error of node-postgres mean that the connection is gone? */
function ended(error) {
  const code = error.code || '';
  return (
    ['FATAL', 'PANIC'].includes(error.severity) ||
    code.startsWith('08') ||
    SESSION_OVER.includes(code) ||
    /^E[A-Z]+$/.test(code) || // of the socket: ECONNRESET, EPIPE
    (!error.severity && /connection|timeout/i.test(error.message))
  );
}

class Teller {
  /*
   * connect: resolves to a connected pg.Client.  attempts: at most so many;
   * base and cap: milliseconds between two of them.  retryLockTimeout: try
   * again after 55P03 as well.  onRetry: called with the number of the attempt
   * and the error.
   */
  constructor(connect, options = {}) {
    this.connect = connect;
    this.line = null;
    this.attempts = options.attempts ?? 8;
    this.base = options.base ?? 50;
    this.cap = options.cap ?? 2000;
    this.tryAgain = options.retryLockTimeout ? [...TRY_AGAIN, LOCK_TIMEOUT] : TRY_AGAIN;
    this.onRetry = options.onRetry ?? (() => {});
  }

  transfer(args) {
    return this.transaction((tx) => tx.transfer(args));
  }

  post(args) {
    return this.transaction((tx) => tx.post(args));
  }

  hold(args) {
    return this.transaction((tx) => tx.hold(args));
  }

  capture(args) {
    return this.transaction((tx) => tx.capture(args));
  }

  release(args) {
    return this.transaction((tx) => tx.release(args));
  }

  close() {
    if (this.line) this.line.close();
    this.line = null;
  }

  /* Run work(tx) and commit; resolve to what it resolved to. */
  async transaction(work) {
    const doubt = { is: false }; // a COMMIT was sent and not answered
    let last;
    for (let attempt = 1; attempt <= this.attempts; attempt++) {
      if (attempt > 1) await this.pause(attempt - 1);
      try {
        return await this.once(work, doubt);
      } catch (error) {
        if (!(error instanceof Again)) throw error;
        last = error.cause;
        if (attempt < this.attempts) this.onRetry(attempt, last);
      }
    }
    const message = `${this.attempts} attempts: ${last.message}`;
    throw doubt.is ? new OutcomeUnknown(message, last) : new Unavailable(message, last);
  }

  /* One attempt; throws Again if another one may follow. */
  async once(work, doubt) {
    if (!this.line) {
      try {
        this.line = new Line(await this.connect());
      } catch (error) {
        throw new Again('', error);
      }
    }
    const line = this.line;
    let committing = false;
    let command, answer;
    try {
      await line.query('BEGIN');
      answer = await work(new Transaction(line));
      committing = true;
      ({ command } = await line.query('COMMIT'));
    } catch (error) {
      const lost = line.errors.has(error) && line.over;
      doubt.is ||= committing && lost;
      await this.cleanUp();
      if (lost || (line.errors.has(error) && this.tryAgain.includes(error.code))) {
        throw new Again('', error);
      }
      // An answer of pg_teller ends a doubt: had the first attempt happened, its
      // key would have been replayed.  Another error does not.
      const Kind = BY_SQLSTATE[error.code];
      if (Kind) throw new Kind(error);
      throw doubt.is ? new OutcomeUnknown(error.message, error) : error;
    }
    // COMMIT of a transaction that has failed is a ROLLBACK.
    if (command === 'COMMIT') return answer;
    if (doubt.is) throw new OutcomeUnknown('the repeat was rolled back');
    throw new RolledBack('an error was caught inside the transaction');
  }

  /* Back to an idle connection, or to none. */
  async cleanUp() {
    try {
      if (!this.line.over) await this.line.query('ROLLBACK');
    } catch {
      this.line.over = true;
    }
    if (this.line.over) this.close();
  }

  /*
   * Full jitter: anything from zero to the limit, so that those who failed
   * together do not come back together.
   */
  pause(failed) {
    const limit = Math.min(this.cap, this.base * 2 ** (failed - 1));
    return new Promise((resolve) => setTimeout(resolve, Math.random() * limit));
  }
}

class Again extends Failure {}

module.exports = {
  Teller,
  TellerError,
  InsufficientFunds,
  VersionConflict,
  IdempotencyMismatch,
  LimitExceeded,
  AccountNotActive,
  HoldNotOpen,
  AssetMismatch,
  AccountBusy,
  NotFound,
  InstanceNotAdopted,
  QueueFull,
  RequestTooOld,
  Unavailable,
  OutcomeUnknown,
  RolledBack,
};
