#!lua flags=allow-oom
-- include tag
-- Last step of a drain: raise the clock's position, move the known tags, and, with the last chunk, advance the clock.
-- KEYS: clock, progress of this drain, log, then the tags
-- ARGV: epoch, position, number of the chunk; then, with the last chunk only, else empty: rank of the snapshot that the drain
--       began from, the clock's time that the drain builds on (microseconds), snapshot, rank, t0 (microseconds) or '' from a drain
--       that does not certify, tables or '' from one that did not look at them; then of each tag the xid of its change and the
--       columns that it changed ('': any column)
-- Returns {1, or 0 if the call is void; number of tags moved; sequence of the log; now (microseconds); 1 if the clock advanced}
local clock_key, progress_key, log_key = KEYS[1], KEYS[2], KEYS[3]
local epoch, position, chunk = ARGV[1], ARGV[2], tonumber(ARGV[3])
local since_rank, since_time, snapshot, rank, begun, tables =
  tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9]
local is_last = since_rank ~= nil
local FIRST_TAG, FIRST_XID = 4, 10

local clock_epoch, clock_position, clock_rank, clock_time, seen, clock_snapshot =
  unpack(redis.call('HMGET', clock_key, 'epoch', 'position', 'rank', 'time', 'seen', 'snapshot'))
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stamp = string.format('%.0f', now)
if clock_epoch ~= epoch then return {0, 0, 0, stamp, 0} end
-- A Redis that lost the chunk before this one must not be told that all of it was moved.
if chunk > 1 and (tonumber(redis.call('GET', progress_key) or '') or 0) < chunk - 1 then return {0, 0, 0, stamp, 0} end
if not is_last then redis.call('SET', progress_key, chunk, 'EX', PROGRESS_SECONDS) end

-- Changes that the clock's snapshot sees were moved already, by the drain that came first: moved again, they would end entries
-- that were filled since.
local xmax, xip = string.match(clock_snapshot or '', '^%d+:(%d+):([%d,]*)$')
local running = {}
for xid in string.gmatch(xip or '', '%d+') do running[xid] = true end
local due = {}
for i = FIRST_TAG, #KEYS do
  local first = FIRST_XID + 2 * (i - FIRST_TAG)
  local xid, columns = ARGV[first], ARGV[first + 1]
  if not xmax or tonumber(xid) >= tonumber(xmax) or running[xid] then due[#due + 1] = {KEYS[i], columns} end
end

local fields = {}
local function set(field, value) fields[#fields + 1], fields[#fields + 2] = field, value end
-- A tag that Redis does not know may have moved as far as the last drain that moved any, and no further.
if #due > 0 and (not clock_position or position > clock_position) then set('position', position) end
if not seen or position > seen then set('seen', position) end
-- A clock behind the snapshot that this drain began from lost moves: this drain did not read the changes between the two. One
-- whose time went back may have lost the moves of altered tables, although another drain has carried the changes again.
local last = tonumber(clock_time or '') or 0
local advances = is_last and since_rank <= (tonumber(clock_rank or '') or -1) and since_time <= last
if advances then
  if tonumber(rank) >= tonumber(clock_rank) then
    set('snapshot', snapshot)
    set('rank', rank)
    if tables ~= '' then set('tables', tables) end
  end
  if begun and begun <= now and (last > now or begun > last) then set('time', ARGV[8]) end
end
if #fields > 0 then redis.call('HSET', clock_key, unpack(fields)) end
local moved = 0
for _, move in ipairs(due) do
  local tag_key, columns = unpack(move)
  local state = redis.call('GET', tag_key)
  local new_state = state and state_after(state, columns, position, stamp)
  if new_state then
    redis.call('SET', tag_key, new_state, 'KEEPTTL')
    moved = moved + 1
  end
end
-- The log tells the processes which tags moved, also those that Redis does not know: a process may still hold an entry with them.
local sequence = tonumber(redis.call('HGET', clock_key, 'sequence') or '') or 0
if #due > 0 then
  sequence = redis.call('HINCRBY', clock_key, 'sequence', 1)
  local record = {'position', position}
  for _, move in ipairs(due) do
    record[#record + 1], record[#record + 2] = string.sub(move[1], #log_key - #'log' + #'t:' + 1), move[2]
  end
  local id = sequence .. '-0'
  local added = redis.pcall('XADD', log_key, 'MAXLEN', '~', LOG_RECORDS, id, unpack(record))
  if type(added) == 'table' and added.err then
    -- The log is older or newer than the clock, as after a part of the keys was lost: it begins again.
    redis.call('DEL', log_key)
    redis.call('XADD', log_key, id, unpack(record))
  end
end
return {1, moved, sequence, stamp, advances and 1 or 0}
