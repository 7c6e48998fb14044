#!lua flags=allow-oom
-- Give the lease back, if it is still the caller's; or let everybody compute for a while, without one.
-- KEYS: lease   ARGV: token, milliseconds for which nobody needs the lease (0: none)
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if tonumber(ARGV[2]) > 0 then
  redis.call('SET', KEYS[1], '-', 'PX', ARGV[2])
else
  redis.call('DEL', KEYS[1])
end
return 1
