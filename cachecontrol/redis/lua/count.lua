#!lua
-- Add one batch of statistics, once: a repeat after a timeout finds the batch's mark and adds nothing.
-- KEYS: mark, total, refusals, then a hash for each minute, then a sorted set for each policy's hot keys
-- ARGV: JSON {minutes: [{field: n}], hot: [{member: n}], refusals: {field: text}},
--       most hot keys of a policy and window
-- Returns 1, or 0 if the batch was added before
local mark_key, total_key, refusals_key = KEYS[1], KEYS[2], KEYS[3]
local batch, most_hot = cjson.decode(ARGV[1]), tonumber(ARGV[2])
local FIRST_MINUTE = 4
if not redis.call('SET', mark_key, '1', 'NX', 'EX', STATS_MARK_SECONDS) then return 0 end

for i, counts in ipairs(batch.minutes) do
  local minute_key = KEYS[FIRST_MINUTE + i - 1]
  for field, n in pairs(counts) do
    redis.call('HINCRBY', minute_key, field, n)
    redis.call('HINCRBY', total_key, field, n)
  end
  redis.call('HINCRBY', minute_key, 'sends', 1)
  redis.call('EXPIRE', minute_key, STATS_MINUTE_SECONDS)
end
local first_hot = FIRST_MINUTE + #batch.minutes
for i, members in ipairs(batch.hot) do
  local hot_key = KEYS[first_hot + i - 1]
  for member, n in pairs(members) do redis.call('ZINCRBY', hot_key, n, member) end
  redis.call('ZREMRANGEBYRANK', hot_key, 0, -1 - most_hot)
  redis.call('EXPIRE', hot_key, STATS_HOT_SECONDS)
end
for field, text in pairs(batch.refusals) do
  redis.call('HSET', refusals_key, field, text)
  redis.call('EXPIRE', refusals_key, STATS_REFUSALS_SECONDS)
end
return 1
