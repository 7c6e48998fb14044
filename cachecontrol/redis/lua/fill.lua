#!lua
-- include tag
-- Store a computed value unless something moved past it, and release the lease.
-- KEYS: clock, entry, lease, answer, members of the policy, keys asked for once, then the tags
-- ARGV: token of the lease, epoch, database, as_of, earliest position, head, body, recipe, ttl (milliseconds),
--       lifetime of the answer (milliseconds), most members, then of each tag the position and the columns that matter ('': all)
-- Returns 'stored' or the reason of the refusal: 'clock_gone', 'epoch', 'moved', 'newer', 'full'
local clock_key, entry_key, lease_key, answer_key, members_key, asked_key = unpack(KEYS, 1, 6)
local token, epoch, database, as_of, earliest, head, body, recipe = unpack(ARGV, 1, 8)
local ttl, answer_lifetime, most_members = tonumber(ARGV[9]), ARGV[10], tonumber(ARGV[11])
local FIRST_TAG, FIRST_POSITION = 7, 12

local clock_epoch, identity, clock_position = unpack(redis.call('HMGET', clock_key, 'epoch', 'identity', 'position'))
local time = redis.call('TIME')
local now, seconds = string.format('%.0f', time[1] * 1000000 + time[2]), tonumber(time[1])
if redis.call('GET', lease_key) == token then redis.call('DEL', lease_key) end
if not (clock_epoch and identity and clock_position) then return 'clock_gone' end
-- An identity begins with the id of the database.
local is_same_database = string.sub(identity, 1, #database + 1) == database .. ' '
if clock_epoch ~= epoch or not is_same_database then return 'epoch' end

-- The mark of the release stands in a key between the policy and the digest.
local function release_of(key) return string.sub(key, -DIGEST_LENGTH - RELEASE_LENGTH, -DIGEST_LENGTH - 1) end

-- How long nobody has read a key, as the server records it for its own evictions: seconds, or a substitute of the same order.
local function idleness(key)
  if redis.call('EXISTS', key) == 0 then return math.huge end
  local idle = redis.pcall('OBJECT', 'IDLETIME', key)
  if type(idle) == 'number' then return idle end
  local frequency = redis.pcall('OBJECT', 'FREQ', key) -- the server evicts by frequency
  return type(frequency) == 'number' and 255 - frequency or 0
end

-- Entries of a sample that may go: those that are gone already and those of other releases first, then the least recently used.
local function candidates()
  local sample = {}
  for _, key in ipairs(redis.call('ZRANDMEMBER', members_key, EVICTION_SAMPLE)) do
    local idle = idleness(key)
    local is_free = idle == math.huge or release_of(key) ~= release_of(entry_key)
    sample[#sample + 1] = {key = key, is_free = is_free, idle = idle}
  end
  table.sort(sample, function(one, other)
    if one.is_free ~= other.is_free then return one.is_free end
    return one.idle > other.idle
  end)
  return sample
end

-- A full policy gives a place to a key that was asked for twice: a key that is asked for once must not replace a good entry.
-- See docs/architecture.md, "Admission".
local evicted = {}
if not redis.call('ZSCORE', members_key, entry_key) and redis.call('ZCARD', members_key) >= most_members then
  redis.call('ZREMRANGEBYSCORE', members_key, '-inf', seconds)
  local excess = redis.call('ZCARD', members_key) - most_members + 1
  if excess > 0 then
    local sample = candidates()
    local digest = string.sub(entry_key, -16)
    if not (sample[1] and sample[1].is_free) and redis.call('ZREM', asked_key, digest) == 0 then
      redis.call('ZADD', asked_key, seconds, digest)
      redis.call('ZREMRANGEBYRANK', asked_key, 0, -1 - most_members)
      redis.call('EXPIRE', asked_key, ASKED_SECONDS)
      redis.call('SET', lease_key, FREE, 'PX', answer_lifetime) -- nobody waits for a value that is not stored
      return 'full'
    end
    for i = 1, math.min(excess, MOST_EVICTED, #sample) do evicted[i] = sample[i].key end
  end
end

local refusal = nil
for i = FIRST_TAG, #KEYS do
  local first = FIRST_POSITION + 2 * (i - FIRST_TAG)
  local tag_key, position, columns = KEYS[i], ARGV[first], ARGV[first + 1]
  local state = redis.call('GET', tag_key)
  if not state then
    -- An unknown tag may have moved as far as the last drain that moved any, and no further: evicted counts as moved.
    redis.call('SET', tag_key, clock_position .. ' ' .. now, 'PX', ttl + TAG_OUTLIVES_ENTRY)
    if clock_position > position then refusal = 'moved' end
  else
    if has_moved(state, columns, position) then refusal = 'moved' end
    redis.call('PEXPIRE', tag_key, ttl + TAG_OUTLIVES_ENTRY, 'GT')
  end
end
if not refusal then
  local old_as_of, old_epoch = unpack(redis.call('HMGET', entry_key, 'as_of', 'epoch'))
  if old_as_of and old_epoch == epoch and old_as_of > as_of then refusal = 'newer' end
end
if refusal then
  redis.call('HSET', answer_key, 'epoch', epoch, 'position', earliest, 'head', head, 'body', body, 'stored', now)
  redis.call('PEXPIRE', answer_key, answer_lifetime)
  return refusal
end
for _, key in ipairs(evicted) do
  redis.call('ZREM', members_key, key)
  redis.call('UNLINK', key)
end
local ttl_seconds = math.ceil(ttl / 1000)
redis.call('ZADD', members_key, seconds + ttl_seconds + MEMBER_COUNTS_AFTER, entry_key)
redis.call('EXPIRE', members_key, ttl_seconds + 2 * MEMBER_COUNTS_AFTER, 'NX')
redis.call('EXPIRE', members_key, ttl_seconds + 2 * MEMBER_COUNTS_AFTER, 'GT')
redis.call('DEL', entry_key)
redis.call('HSET', entry_key, 'epoch', epoch, 'as_of', as_of, 'head', head, 'body', body, 'recipe', recipe, 'stored', now)
redis.call('PEXPIRE', entry_key, ttl)
return 'stored'
