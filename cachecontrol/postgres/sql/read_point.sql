-- Where the server is in its history when it answers a read.

-- name: read_point
-- Return the position of the server (``ReadPointRow``): its epoch, its WAL location in bytes, whether it is a replica, its
-- database id, whether its transaction has written, what the triggers capture, and the state of the session. No row if somebody
-- deleted that of the epoch.
--
-- The function, which a migration creates, limits its own locks. ``captured`` is a digest of what the triggers capture, of which
-- tables the session's names mean, and of row-level security; ``session`` is what ``session.state`` returns.
SELECT * FROM cachecontrol_read_point({lock_timeout});
