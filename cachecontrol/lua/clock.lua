#!lua flags=no-writes
-- First step of a drain: the clock and Redis' time, read in one call.
-- KEYS: clock
-- Returns {now, epoch, identity, snapshot, rank, position, time, tables, seen}
local time = redis.call('TIME')
local clock = redis.call('HMGET', KEYS[1], 'epoch', 'identity', 'snapshot', 'rank', 'position', 'time', 'tables', 'seen')
return {string.format('%.0f', time[1] * 1000000 + time[2]), unpack(clock, 1, 8)}
