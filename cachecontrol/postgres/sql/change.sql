-- The change log.

-- name: insert
-- Write a change that no trigger saw; the columns that are not given have defaults, the transaction's xid among them.
INSERT INTO cachecontrol_change (operation, relation, tags) VALUES (%(operation)s, %(relation)s, %(tags)s);
