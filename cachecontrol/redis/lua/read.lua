#!lua
-- include tag
-- Judge an entry, and give the lease to the reader of one that is not fresh. One call is a whole read.
-- A full Redis refuses this script. protocol.py then runs it with the flag allow-oom and without a token, so that it writes
-- nothing but two short fields of keys that exist.
-- KEYS: clock, entry, lease, answer
-- ARGV: MAX_LAG (microseconds), stale_for (microseconds), token of the lease or '' for none, lease (milliseconds),
--       position of arrival or ''
-- Returns {verdict, reason, state of the lease, now (microseconds), clock epoch, clock position, sequence of the log, head, body,
--          stored}
local clock_key, entry_key, lease_key, answer_key = unpack(KEYS)
local max_lag, stale_for, token, lease, arrival = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]

local epoch, clock_time, clock_position, sequence =
  unpack(redis.call('HMGET', clock_key, 'epoch', 'time', 'position', 'sequence'))
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stamp = string.format('%.0f', now)
local function reply(verdict, reason, lease_state, value)
  return {verdict, reason, lease_state, stamp, epoch or '', clock_position or '', sequence or '0', unpack(value or {})}
end

if not (epoch and clock_position and tonumber(clock_time or '')) then return reply('unprovable', 'clock_gone', '') end
local clock_age = now - tonumber(clock_time)
-- A time that went back would reach the clock's again, although nothing was drained meanwhile.
if clock_age < 0 then redis.call('HSET', clock_key, 'time', '0') end
if clock_age < 0 or clock_age > max_lag then return reply('unprovable', 'clock_old', '') end

-- The tags of an entry are not declared as keys: they share its hash tag, and an unreachable one is an error, never a hit.
local tag_prefix = string.sub(clock_key, 1, -#'clock' - 1) .. 't:'

local function is_time(text)
  return text and #text < 20 and string.match(text, '^%d+$')
end

-- Return why an entry is not fresh, and when its first tag moved; nothing if it is fresh. Fails for a head that no fill wrote.
local function judge(head)
  local head_epoch, expires, tags, positions, columns, indexes = head[1], head[3], head[4], head[5], head[7], head[8]
  if head_epoch ~= epoch then return 'epoch' end
  if expires <= now then return 'expired' end
  local moved_at
  for first = 1, #tags, TAGS_PER_CALL do
    local names = {}
    for i = first, math.min(first + TAGS_PER_CALL - 1, #tags) do names[#names + 1] = tag_prefix .. tags[i] end
    for i, state in ipairs(redis.call('MGET', unpack(names))) do
      if not state then return 'evicted' end
      local position = positions[first + i - 1]
      if has_moved(state, columns[indexes[first + i - 1] + 1], position) then
        -- Only if the tag's position before its last move was within the entry is that move the one that ended the entry.
        local at, before = string.match(state, '^%S+ (%d+) (%S+)')
        at = before and before <= position and tonumber(at) or 0
        if not moved_at or at < moved_at then moved_at = at end
      end
    end
  end
  if moved_at then return 'moved', moved_at end
end

local reason, moved_at = 'absent', nil
local head, body, stored = unpack(redis.call('HMGET', entry_key, 'head', 'body', 'stored'))
if head and body and is_time(stored) then
  local is_sound, unpacked = pcall(cmsgpack.unpack, head)
  local is_judged = false
  if is_sound and type(unpacked) == 'table' and #unpacked == 8 then
    is_judged, reason, moved_at = pcall(judge, unpacked)
    if not is_judged and type(reason) == 'table' then return reason end -- an error of Redis itself
  end
  if not is_judged then reason, moved_at = 'damaged', nil end
  if not reason then return reply('fresh', '', '', {head, body, stored}) end
end
if arrival ~= '' then
  local answer_epoch, answer_position, answer_head, answer_body, answer_stored =
    unpack(redis.call('HMGET', answer_key, 'epoch', 'position', 'head', 'body', 'stored'))
  local is_sound, unpacked = pcall(cmsgpack.unpack, answer_head or '')
  local lasts = is_sound and type(unpacked) == 'table' and type(unpacked[3]) == 'number' and unpacked[3] > now
  local is_whole = lasts and answer_position and answer_body and is_time(answer_stored)
  if is_whole and answer_epoch == epoch and answer_position >= arrival then
    return reply('answer', reason, '', {answer_head, answer_body, answer_stored})
  end
end
local lease_state = ''
if token ~= '' then
  if redis.call('SET', lease_key, token, 'NX', 'PX', lease) then
    lease_state = 'granted'
  else
    -- The last value could not be stored: nobody gains by waiting for the next reader to compute the same.
    lease_state = redis.call('GET', lease_key) == FREE and 'free' or 'held'
  end
end
if moved_at and stale_for > 0 then
  -- The first reader that finds the entry stale records since when; later moves of its tags would hide that.
  redis.call('HSETNX', entry_key, 'moved', moved_at)
  moved_at = tonumber(redis.call('HGET', entry_key, 'moved')) or 0
end
if moved_at and now - moved_at <= stale_for then return reply('stale', 'moved', lease_state, {head, body, stored}) end
return reply('unusable', reason, lease_state)
