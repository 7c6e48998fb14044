#!lua flags=allow-oom
-- Release the lease if the caller still holds it; or let every reader compute for a while, without a lease.
-- KEYS: lease   ARGV: token, milliseconds for which nobody needs the lease (0: none)
-- Returns 1, or 0 if the caller does not hold the lease
local lease_key, token, free_for = KEYS[1], ARGV[1], tonumber(ARGV[2])
if redis.call('GET', lease_key) ~= token then return 0 end
if free_for > 0 then
  redis.call('SET', lease_key, FREE, 'PX', free_for)
else
  redis.call('DEL', lease_key)
end
return 1
