#!lua flags=no-writes
-- Read the clock and Redis' time in one call: the first step of a whole drain.
-- KEYS: clock
-- Returns {now (microseconds), epoch, identity, snapshot, rank, position, time, tables, seen}
local clock_key = KEYS[1]
local time = redis.call('TIME')
local clock = redis.call('HMGET', clock_key, 'epoch', 'identity', 'snapshot', 'rank', 'position', 'time', 'tables', 'seen')
return {string.format('%.0f', time[1] * 1000000 + time[2]), unpack(clock, 1, 8)}
