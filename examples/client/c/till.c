/*-------------------------------------------------------------------------
 *
 * till.c
 *	  The till of a small shop; see ../README.md.  Connects as PG* says.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "teller_client.h"

enum
{
	LEDGER = 1, ALICE = 2, SHOP = 3, FEES = 4
};

static const char *
truth(bool value)
{
	return value ? "true" : "false";
}

static void
show(const TellerMovement *moved)
{
	printf("%s %s, replayed %s\n", moved->status, moved->amount,
		   truth(moved->replayed));
}

typedef struct Purchase
{
	TellerTransfer transfer;
	TellerMovement moved;
} Purchase;

/* The money and our row: together or not at all. */
static TellerCode
pay_and_note(Teller *teller, void *arg)
{
	Purchase   *purchase = arg;
	TellerMovement *moved = &purchase->moved;
	TellerCode	code = teller_transfer(teller, &purchase->transfer, moved);
	const char *row[] = {purchase->transfer.key, moved->amount, moved->id};

	if (code != TELLER_OK || moved->replayed)
		return code;
	return teller_execute(teller, "INSERT INTO purchase VALUES ($1, $2, $3)",
						  3, row, NULL);
}

static TellerCode
pay(Teller *teller, int argc, char **argv)
{
	int64_t		version = argc > 2 ? atoll(argv[2]) : 0;
	Purchase	purchase = {
		.transfer = {
			.ledger = LEDGER,.debit_account = ALICE,.credit_account = SHOP,
			.amount = argv[1],.key = argv[0],
			.expected_version = argc > 2 ? &version : NULL
		}
	};
	TellerCode	code = teller_transaction(teller, pay_and_note, &purchase);

	if (code == TELLER_OK)
		show(&purchase.moved);
	return code;
}

static TellerCode
split(Teller *teller, int argc, char **argv)
{
	const int64_t from[] = {ALICE, ALICE};
	const int64_t to[] = {SHOP, FEES};
	const char *amounts[] = {argv[1], argc > 2 ? argv[2] : "0"};
	TellerPost	post = {
		.ledger = LEDGER,.nitems = 2,.debit_accounts = from,
		.credit_accounts = to,.amounts = amounts,.key = argv[0]
	};
	TellerMovement moved[2];
	TellerCode	code = teller_post(teller, &post, moved);

	for (int i = 0; code == TELLER_OK && i < 2; i++)
		show(&moved[i]);
	return code;
}

static TellerCode
reserve(Teller *teller, int argc, char **argv)
{
	TellerHold	hold = {
		.ledger = LEDGER,.debit_account = ALICE,.credit_account = SHOP,
		.amount = argv[1],.key = argv[0],.ttl = "1 hour"
	};
	TellerMovement held;
	TellerCode	code = teller_hold(teller, &hold, &held);

	(void) argc;
	if (code == TELLER_OK)
		printf("%s %s, replayed %s\n", held.status, held.id,
			   truth(held.replayed));
	return code;
}

static TellerCode
capture(Teller *teller, int argc, char **argv)
{
	TellerCapture capture = {
		.ledger = LEDGER,.hold = argv[1],.key = argv[0],
		.amount = argc > 2 ? argv[2] : NULL
	};
	TellerMovement moved;
	TellerCode	code = teller_capture(teller, &capture, &moved);

	if (code == TELLER_OK)
		show(&moved);
	return code;
}

static TellerCode
release(Teller *teller, int argc, char **argv)
{
	TellerMovement released;
	TellerCode	code = teller_release(teller, LEDGER, argv[1], argv[0],
									  &released);

	(void) argc;
	if (code == TELLER_OK)
		printf("%s, replayed %s\n", released.status, truth(released.replayed));
	return code;
}

static void
tell(int attempt, const char *sqlstate)
{
	fprintf(stderr, "attempt %d failed: %s\n", attempt,
			sqlstate[0] != '\0' ? sqlstate : "connection");
}

static const struct
{
	const char *name;
	TellerCode	(*run) (Teller *teller, int argc, char **argv);
}			commands[] = {
	{"pay", pay}, {"split", split}, {"reserve", reserve},
	{"capture", capture}, {"release", release}
};

int
main(int argc, char **argv)
{
	TellerOptions options = {.on_retry = tell};
	const char *attempts = getenv("TILL_ATTEMPTS");
	Teller	   *teller;
	int			first = 1;

	if (attempts != NULL)
		options.attempts = atoi(attempts);
	if (argc > 1 && strcmp(argv[1], "--patient") == 0)
	{
		options.retry_lock_timeout = true;
		first = 2;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
	{
		TellerCode	code;

		if (argc < first + 3 || strcmp(argv[first], commands[i].name) != 0)
			continue;
		teller = teller_open("", &options);
		if (teller == NULL)
			break;
		code = commands[i].run(teller, argc - first - 1, argv + first + 1);
		if (code != TELLER_OK)
			fprintf(stderr, "%s: %s\n", teller_code_name(code),
					teller_message(teller));
		teller_close(teller);
		if (code == TELLER_OUTCOME_UNKNOWN)
			return 3;
		return code == TELLER_OK ? 0 : 1;
	}
	fprintf(stderr, "usage: till [--patient] pay|split|reserve|capture|release"
			" ID AMOUNT-OR-HOLD ...\n");
	return 2;
}
