#!lua flags=allow-oom
-- Last step of a drain: raise the clock's position, move the tags that are known, and, with the last chunk, advance the clock.
-- KEYS: clock, mark of this drain, then the tags
-- ARGV: epoch, position, number of the chunk, then only with the last chunk, else empty: rank of the snapshot that the drain
-- began from, snapshot, rank, and from a drain that certifies, else empty: t0, tables. Then of each tag the xid of its change.
-- Returns {1 or 0 for void, tags moved, microseconds of Redis' clock}
local clock = redis.call('HMGET', KEYS[1], 'epoch', 'position', 'rank', 'time', 'seen', 'snapshot')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stamp = string.format('%.0f', now)
if clock[1] ~= ARGV[1] then return {0, 0, stamp} end
-- A Redis that lost the chunk before this one must not be told that all was moved.
local chunk, is_last = tonumber(ARGV[3]), ARGV[4] ~= ''
if chunk > 1 and (tonumber(redis.call('GET', KEYS[2]) or '') or 0) < chunk - 1 then return {0, 0, stamp} end
if not is_last then redis.call('SET', KEYS[2], chunk, 'EX', 60) end

-- What the clock's snapshot sees was moved already, by whoever came first: moved again, it would take entries filled since with it.
local xmax, xip = string.match(clock[6] or '', '^%d+:(%d+):([%d,]*)$')
local running = {}
for xid in string.gmatch(xip or '', '%d+') do running[xid] = true end
local due = {}
for i = 3, #KEYS do
  local xid = ARGV[i + 6]
  if not xmax or tonumber(xid) >= tonumber(xmax) or running[xid] then due[#due + 1] = KEYS[i] end
end

local fields = {}
local function set(field, value) fields[#fields + 1], fields[#fields + 2] = field, value end
-- A tag that Redis does not know may have moved as far as the last drain that moved any, and no further.
if #due > 0 and (not clock[2] or ARGV[2] > clock[2]) then set('position', ARGV[2]) end
if not clock[5] or ARGV[2] > clock[5] then set('seen', ARGV[2]) end
-- A clock behind the snapshot that this drain began from lost moves: what lies between was not read here.
if is_last and tonumber(ARGV[4]) <= (tonumber(clock[3] or '') or -1) then
  if tonumber(ARGV[6]) >= tonumber(clock[3]) then
    set('snapshot', ARGV[5])
    set('rank', ARGV[6])
    if ARGV[8] ~= '' then set('tables', ARGV[8]) end
  end
  local last = tonumber(clock[4] or '') or 0
  local begun = tonumber(ARGV[7])
  if begun and begun <= now and (last > now or begun > last) then set('time', ARGV[7]) end
end
if #fields > 0 then redis.call('HSET', KEYS[1], unpack(fields)) end
-- A tag is its position, when it moved there, and the position before.
local moved = 0
for _, key in ipairs(due) do
  local value = redis.call('GET', key)
  if value and ARGV[2] > string.sub(value, 1, 31) then
    redis.call('SET', key, ARGV[2] .. ' ' .. stamp .. ' ' .. string.sub(value, 1, 31), 'KEEPTTL')
    moved = moved + 1
  end
end
return {1, moved, stamp}
