#!lua flags=allow-oom
-- Keep leases for another while, those that are still the caller's.
-- KEYS: leases   ARGV: milliseconds, then the token of each lease
-- Returns how many were kept
local kept = 0
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[i + 1] then kept = kept + redis.call('PEXPIRE', key, ARGV[1]) end
end
return kept
