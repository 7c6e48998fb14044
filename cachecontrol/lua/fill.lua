#!lua
-- Store a computed value unless something moved past it, and give the lease back.
-- KEYS: clock, entry, lease, answer, members of the policy, then the tags
-- ARGV: lease token, epoch, place, as_of, earliest position, head, body, recipe, ttl (ms), answer ttl (ms), most members,
--       positions of the tags
-- Returns 'stored' or why not: 'clock_gone', 'epoch', 'moved', 'newer', 'full'
local clock = redis.call('HMGET', KEYS[1], 'epoch', 'identity', 'position')
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])
if redis.call('GET', KEYS[3]) == ARGV[1] then redis.call('DEL', KEYS[3]) end
if not (clock[1] and clock[2] and clock[3]) then return 'clock_gone' end
-- An identity begins with the place: whose history it is.
local place = ARGV[3] .. ' '
if clock[1] ~= ARGV[2] or string.sub(clock[2], 1, #place) ~= place then return 'epoch' end

-- A key that was kept before keeps its place, so that a flood of new keys cannot push the good ones out.
-- It leaves no tags behind either, and nobody waits for a value that is not kept.
local seconds = tonumber(time[1])
local most = tonumber(ARGV[11])
if not redis.call('ZSCORE', KEYS[5], KEYS[2]) and redis.call('ZCARD', KEYS[5]) >= most then
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', seconds)
  if redis.call('ZCARD', KEYS[5]) >= most then
    redis.call('SET', KEYS[3], '-', 'PX', ARGV[10])
    return 'full'
  end
end

local ttl = tonumber(ARGV[9])
local refusal = nil
for i = 6, #KEYS do
  local position = ARGV[i + 6]
  local value = redis.call('GET', KEYS[i])
  if not value then
    -- Whatever is unknown may have moved as far as the last drain that moved any, and no further: evicted counts as moved.
    redis.call('SET', KEYS[i], clock[3] .. ' ' .. now, 'PX', ttl + 60000)
    if clock[3] > position then refusal = 'moved' end
  else
    if string.sub(value, 1, 31) > position then refusal = 'moved' end
    redis.call('PEXPIRE', KEYS[i], ttl + 60000, 'GT')
  end
end
if not refusal then
  local old = redis.call('HMGET', KEYS[2], 'as_of', 'epoch')
  if old[1] and old[2] == ARGV[2] and old[1] > ARGV[4] then refusal = 'newer' end
end
if refusal then
  redis.call('HSET', KEYS[4], 'epoch', ARGV[2], 'position', ARGV[5], 'head', ARGV[6], 'body', ARGV[7], 'stored', now)
  redis.call('PEXPIRE', KEYS[4], ARGV[10])
  return refusal
end
redis.call('ZADD', KEYS[5], seconds + math.ceil(ttl / 1000) + 3600, KEYS[2])
redis.call('EXPIRE', KEYS[5], math.ceil(ttl / 1000) + 7200, 'NX')
redis.call('EXPIRE', KEYS[5], math.ceil(ttl / 1000) + 7200, 'GT')
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'epoch', ARGV[2], 'as_of', ARGV[4], 'head', ARGV[6], 'body', ARGV[7], 'recipe', ARGV[8], 'stored', now)
redis.call('PEXPIRE', KEYS[2], ttl)
return 'stored'
