-- Add one batch of statistics, once: a repeat after a timeout finds the batch's mark and adds nothing.
-- KEYS: mark, total, blame, a hash for each minute, a sorted set for each policy's hot keys.
-- ARGV: JSON {minutes: [{field: n}], hot: [{member: n}], blame: {field: text}},
--       seconds to keep: mark, minute, hot, blame; how many hot keys to keep.
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[2]) then
  return 0
end
local batch = cjson.decode(ARGV[1])
local at = 3
for i, counts in ipairs(batch.minutes) do
  for field, n in pairs(counts) do
    redis.call('HINCRBY', KEYS[at + i], field, n)
    redis.call('HINCRBY', KEYS[2], field, n)
  end
  redis.call('HINCRBY', KEYS[at + i], 'sends', 1)
  redis.call('EXPIRE', KEYS[at + i], ARGV[3])
end
at = at + #batch.minutes
for i, members in ipairs(batch.hot) do
  for member, n in pairs(members) do
    redis.call('ZINCRBY', KEYS[at + i], n, member)
  end
  redis.call('ZREMRANGEBYRANK', KEYS[at + i], 0, -1 - ARGV[6])
  redis.call('EXPIRE', KEYS[at + i], ARGV[4])
end
for field, text in pairs(batch.blame) do
  redis.call('HSET', KEYS[3], field, text)
  redis.call('EXPIRE', KEYS[3], ARGV[5])
end
return 1
