-- How the cache asks on a reader's own connection: several statements in one round trip.

-- name: alone
-- Run {statement} outside a transaction. The limit for its locks ends with the implicit transaction of the round trip.
SET LOCAL lock_timeout = {timeout}; {statement};

-- name: in_savepoint
-- Run {statement} within a transaction, and leave the transaction as it was, its lock_timeout too.
SAVEPOINT cachecontrol_asks; SET LOCAL lock_timeout = {timeout}; {statement}; {roll_back};

-- name: roll_back
-- End the savepoint, also after an error within it.
ROLLBACK TO SAVEPOINT cachecontrol_asks; RELEASE SAVEPOINT cachecontrol_asks;
