#!lua
-- Judge an entry, and on a miss hand out the lease. One call is a whole read.
-- A full Redis refuses to run this; store.py then runs it with the flag allow-oom and without a token, so that it writes
-- nothing but two short fields of keys that are there.
-- KEYS: clock, entry, lease, answer
-- ARGV: MAX_LAG (microseconds), stale_for (microseconds), lease token or '' for none, lease (milliseconds), position of arrival or ''
-- Returns {judgement, reason, now, clock epoch, clock position, head, body, stored}
local clock = redis.call('HMGET', KEYS[1], 'epoch', 'time', 'position')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stamp = string.format('%.0f', now)
if not (clock[1] and clock[3] and tonumber(clock[2] or '')) then
  return {'clock', 'clock_gone', stamp}
end
local age = now - tonumber(clock[2])
-- Time that went back would come to the clock's again, with nothing drained meanwhile.
if age < 0 then redis.call('HSET', KEYS[1], 'time', '0') end
if age < 0 or age > tonumber(ARGV[1]) then
  return {'clock', 'clock_old', stamp}
end

-- The tags of an entry are not declared as keys: they share its hash tag, and an unreachable one is an error, never a hit.
local prefix = string.sub(KEYS[1], 1, -6) .. 't:'

local function is_time(text)
  return text and #text < 20 and string.match(text, '^%d+$')
end

-- Fails for a head that no fill wrote.
local function judge(head)
  if head[1] ~= clock[1] then return 'epoch' end
  if head[3] <= now then return 'expired' end
  local moved_at
  for first = 1, #head[4], 500 do
    local names = {}
    for i = first, math.min(first + 499, #head[4]) do names[#names + 1] = prefix .. head[4][i] end
    local known = redis.call('MGET', unpack(names))
    for i, value in ipairs(known) do
      if not value then return 'evicted' end
      local position = head[5][first + i - 1]
      if string.sub(value, 1, 31) > position then
        -- Only if the tag stood within the entry before its last move is that move the one that ended the entry.
        local at, before = string.match(value, '^%S+ (%d+) (%S+)')
        at = before and before <= position and tonumber(at) or 0
        if not moved_at or at < moved_at then moved_at = at end
      end
    end
  end
  if moved_at then return 'moved', moved_at end
end

local reason, moved_at = 'absent', nil
local entry = redis.call('HMGET', KEYS[2], 'head', 'body', 'stored')
if entry[1] and entry[2] and is_time(entry[3]) then
  local sound, head = pcall(cmsgpack.unpack, entry[1])
  local judged = false
  if sound and type(head) == 'table' and #head == 6 then
    judged, reason, moved_at = pcall(judge, head)
    if not judged and type(reason) == 'table' then return reason end -- what Redis itself said
  end
  if not judged then reason, moved_at = 'damaged', nil end
  if not reason then
    return {'hit', '', stamp, clock[1], clock[3], entry[1], entry[2], entry[3]}
  end
end
if ARGV[5] ~= '' then
  local answer = redis.call('HMGET', KEYS[4], 'epoch', 'position', 'head', 'body', 'stored')
  local sound, head = pcall(cmsgpack.unpack, answer[3] or '')
  local lasts = sound and type(head) == 'table' and type(head[3]) == 'number' and head[3] > now and is_time(answer[5])
  if lasts and answer[2] and answer[4] and answer[1] == clock[1] and answer[2] >= ARGV[5] then
    return {'answer', reason, stamp, clock[1], clock[3], answer[3], answer[4], answer[5]}
  end
end
local judgement = ARGV[3] == '' and 'free' or 'held'
if ARGV[3] ~= '' and redis.call('SET', KEYS[3], ARGV[3], 'NX', 'PX', ARGV[4]) then judgement = 'granted' end
-- What was computed last could not be stored: nobody gains by waiting for the next to compute the same.
if judgement == 'held' and redis.call('GET', KEYS[3]) == '-' then judgement = 'free' end
if moved_at and ARGV[2] ~= '0' then
  -- The first to find the entry stale writes down since when; later moves of its tags would hide that.
  redis.call('HSETNX', KEYS[2], 'moved', moved_at)
  moved_at = tonumber(redis.call('HGET', KEYS[2], 'moved')) or 0
end
if moved_at and now - moved_at <= tonumber(ARGV[2]) then
  return {'stale', judgement, stamp, clock[1], clock[3], entry[1], entry[2], entry[3]}
end
return {judgement, reason, stamp, clock[1], clock[3]}
