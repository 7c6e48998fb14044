#!lua flags=allow-oom
-- Begin a new epoch, unless somebody else did since the caller looked.
-- KEYS: clock
-- ARGV: the epoch that the caller saw or '', then the clock's new fields and values
-- Returns 1, or 0 if the clock was no longer as seen
if (redis.call('HGET', KEYS[1], 'epoch') or '') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return 1
