#!lua flags=allow-oom
-- Extend the leases that the caller still holds.
-- KEYS: leases   ARGV: milliseconds, then the token of each lease
-- Returns the number of leases that were extended
local milliseconds, FIRST_TOKEN = ARGV[1], 2
local extended = 0
for i, lease_key in ipairs(KEYS) do
  local token = ARGV[FIRST_TOKEN + i - 1]
  if redis.call('GET', lease_key) == token then extended = extended + redis.call('PEXPIRE', lease_key, milliseconds) end
end
return extended
