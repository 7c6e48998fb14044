#!lua flags=allow-oom
-- Third step of a drain: raise the clock's position, move the tags that are known, and, with the last chunk, advance the clock.
-- KEYS: clock, mark of this drain, then the tags
-- ARGV: epoch, position, number of the chunk, then only with the last chunk: rank of the snapshot that the drain began from,
-- snapshot, rank, and then only from a drain that certifies: t0, tables
-- Returns {1 or 0 for void, tags moved, microseconds of Redis' clock}
local clock = redis.call('HMGET', KEYS[1], 'epoch', 'position', 'rank', 'time', 'seen')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stamp = string.format('%.0f', now)
if clock[1] ~= ARGV[1] then return {0, 0, stamp} end
-- A Redis that lost the chunk before this one must not be told that all was moved.
local chunk = tonumber(ARGV[3])
if chunk > 1 and (tonumber(redis.call('GET', KEYS[2]) or '') or 0) < chunk - 1 then return {0, 0, stamp} end
if not ARGV[4] then redis.call('SET', KEYS[2], chunk, 'EX', 60) end
-- A tag that Redis does not know may have moved as far as the last drain that moved any, and no further.
if #KEYS > 2 and (not clock[2] or ARGV[2] > clock[2]) then redis.call('HSET', KEYS[1], 'position', ARGV[2]) end
if not clock[5] or ARGV[2] > clock[5] then redis.call('HSET', KEYS[1], 'seen', ARGV[2]) end
-- A tag is its position, when it moved there, and the position before.
local moved = 0
for i = 3, #KEYS do
  local value = redis.call('GET', KEYS[i])
  if value and ARGV[2] > string.sub(value, 1, 31) then
    redis.call('SET', KEYS[i], ARGV[2] .. ' ' .. stamp .. ' ' .. string.sub(value, 1, 31), 'KEEPTTL')
    moved = moved + 1
  end
end
-- A clock behind the snapshot that this drain began from lost moves: what lies between was not read here.
if ARGV[4] and tonumber(ARGV[4]) <= (tonumber(clock[3] or '') or -1) then
  if tonumber(ARGV[6]) >= tonumber(clock[3]) then
    redis.call('HSET', KEYS[1], 'snapshot', ARGV[5], 'rank', ARGV[6])
    if ARGV[8] then redis.call('HSET', KEYS[1], 'tables', ARGV[8]) end
  end
  local last = tonumber(clock[4] or '') or 0
  if ARGV[7] and (last > now or tonumber(ARGV[7]) > last) then redis.call('HSET', KEYS[1], 'time', ARGV[7]) end
end
return {1, moved, stamp}
