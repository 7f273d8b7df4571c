"""The books by plain SQL: what the journal and the holds come to."""

# Not one function of pg_teller, but its tables.  The clock is read after the
# snapshot: whatever was due for a committed call is due for us.
BALANCES = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS t),
moved AS (
	SELECT account, sum(amount) AS posted
	FROM (SELECT debit_account, -amount FROM teller.journal
		WHERE ledger_id = 1 AND kind IN ('transfer', 'reversal', 'capture')
		UNION ALL
		SELECT credit_account, amount FROM teller.journal
		WHERE ledger_id = 1 AND kind IN ('transfer', 'reversal', 'capture')) AS m(account, amount)
	GROUP BY account),
held AS (
	SELECT account, side, sum(remaining) AS whole,
		coalesce(sum(remaining) FILTER (WHERE expires_at > t OR expires_at IS NULL), 0) AS binding
	FROM (SELECT debit_account, 'debit', amount - captured - released, expires_at
		FROM teller.hold WHERE ledger_id = 1 AND state = 'open'
		UNION ALL
		SELECT credit_account, 'credit', amount - captured - released, expires_at
		FROM teller.hold WHERE ledger_id = 1 AND state = 'open')
		AS h(account, side, remaining, expires_at), clock
	GROUP BY account, side)
SELECT a.account_id AS id, coalesce(m.posted, 0) AS posted,
	coalesce(d.whole, 0) AS pending, coalesce(d.binding, 0) AS binding,
	CASE WHEN a.max_balance IS NULL THEN 0 ELSE coalesce(c.binding, 0) END AS coming,
	a.min_balance AS minimum, a.max_balance AS maximum, a.hot, a.status,
	(teller.balance(1, a.account_id)).posted AS told
FROM teller.account AS a
LEFT JOIN moved AS m ON m.account = a.account_id
LEFT JOIN held AS d ON d.account = a.account_id AND d.side = 'debit'
LEFT JOIN held AS c ON c.account = a.account_id AND c.side = 'credit'
WHERE a.ledger_id = 1
ORDER BY 1
"""


def complaints(rows):
    """What is wrong with the balances of one snapshot."""
    found = []
    for row in rows:
        available = row["posted"] - row["binding"]
        reserved = row["posted"] + row["coming"]
        if row["minimum"] is not None and available < row["minimum"]:
            found.append(("bounds", "account %(id)s is below its minimum: %(posted)s"
                          " less %(binding)s, minimum %(minimum)s" % row))
        if row["maximum"] is not None and reserved > row["maximum"]:
            found.append(("bounds", "account %(id)s is above its maximum: %(posted)s"
                          " and %(coming)s, maximum %(maximum)s" % row))
        if row["told"] != row["posted"]:
            found.append(("told", "account %(id)s has %(posted)s, balance() says"
                          " %(told)s" % row))
    if sum(row["posted"] for row in rows) != 0:
        found.append(("zero", "the sum is %s" % sum(row["posted"] for row in rows)))
    return found
