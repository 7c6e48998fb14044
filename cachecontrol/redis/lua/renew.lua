#!lua flags=allow-oom
-- Begin a new epoch, unless another drain did since the caller read the clock.
-- KEYS: clock, log
-- ARGV: the epoch that the caller read or '', then the fields and values of the new clock
-- Returns 1, or 0 if the clock has another epoch
local clock_key, log_key, epoch, FIRST_FIELD = KEYS[1], KEYS[2], ARGV[1], 2
if (redis.call('HGET', clock_key, 'epoch') or '') ~= epoch then return 0 end
redis.call('DEL', clock_key, log_key)
redis.call('HSET', clock_key, unpack(ARGV, FIRST_FIELD))
return 1
