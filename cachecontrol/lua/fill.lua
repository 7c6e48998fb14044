#!lua
-- Store a computed value unless something moved past it, and give the lease back.
-- KEYS: clock, entry, lease, answer, members of the policy, keys asked for once, then the tags
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

local entry, members, asked = KEYS[2], KEYS[5], KEYS[6]
local seconds = tonumber(time[1])
local most = tonumber(ARGV[11])
local SAMPLE, MOST_EVICTED, KEEP_ASKED = 16, 4, 86400

-- The mark of the release stands in a key between the policy and the 40 digits of the digest.
local function release_of(key) return string.sub(key, -48, -41) end

-- How long nobody has read a key, as the server keeps it for its own evictions: seconds, or a substitute of the same order.
local function idleness(key)
  if redis.call('EXISTS', key) == 0 then return math.huge end
  local idle = redis.pcall('OBJECT', 'IDLETIME', key)
  if type(idle) == 'number' then return idle end
  local frequency = redis.pcall('OBJECT', 'FREQ', key) -- the server evicts by frequency
  return type(frequency) == 'number' and 255 - frequency or 0
end

-- Entries of a sample that may go: those that are gone already and those of other releases first, then the least recently used.
local function candidates()
  local found = {}
  for _, key in ipairs(redis.call('ZRANDMEMBER', members, SAMPLE)) do
    local idle = idleness(key)
    local is_free = idle == math.huge or release_of(key) ~= release_of(entry)
    found[#found + 1] = {key = key, is_free = is_free, idle = idle}
  end
  table.sort(found, function(one, other)
    if one.is_free ~= other.is_free then return one.is_free end
    return one.idle > other.idle
  end)
  return found
end

-- A full policy gives a place to what was asked for twice; a key that is asked for once must not push a good entry out.
-- Note [Why a second request]: see docs/architecture.md, "Admission".
local evicted = {}
if not redis.call('ZSCORE', members, entry) and redis.call('ZCARD', members) >= most then
  redis.call('ZREMRANGEBYSCORE', members, '-inf', seconds)
  local excess = redis.call('ZCARD', members) - most + 1
  if excess > 0 then
    local found = candidates()
    local digest = string.sub(entry, -16)
    if not (found[1] and found[1].is_free) and redis.call('ZREM', asked, digest) == 0 then
      redis.call('ZADD', asked, seconds, digest)
      redis.call('ZREMRANGEBYRANK', asked, 0, -1 - most)
      redis.call('EXPIRE', asked, KEEP_ASKED)
      redis.call('SET', KEYS[3], '-', 'PX', ARGV[10]) -- nobody waits for a value that is not kept
      return 'full'
    end
    for i = 1, math.min(excess, MOST_EVICTED, #found) do evicted[i] = found[i].key end
  end
end

local ttl = tonumber(ARGV[9])
local refusal = nil
for i = 7, #KEYS do
  local position = ARGV[i + 5]
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
  local old = redis.call('HMGET', entry, 'as_of', 'epoch')
  if old[1] and old[2] == ARGV[2] and old[1] > ARGV[4] then refusal = 'newer' end
end
if refusal then
  redis.call('HSET', KEYS[4], 'epoch', ARGV[2], 'position', ARGV[5], 'head', ARGV[6], 'body', ARGV[7], 'stored', now)
  redis.call('PEXPIRE', KEYS[4], ARGV[10])
  return refusal
end
for _, key in ipairs(evicted) do
  redis.call('ZREM', members, key)
  redis.call('UNLINK', key)
end
redis.call('ZADD', members, seconds + math.ceil(ttl / 1000) + 3600, entry)
redis.call('EXPIRE', members, math.ceil(ttl / 1000) + 7200, 'NX')
redis.call('EXPIRE', members, math.ceil(ttl / 1000) + 7200, 'GT')
redis.call('DEL', entry)
redis.call('HSET', entry, 'epoch', ARGV[2], 'as_of', ARGV[4], 'head', ARGV[6], 'body', ARGV[7], 'recipe', ARGV[8], 'stored', now)
redis.call('PEXPIRE', entry, ttl)
return 'stored'
