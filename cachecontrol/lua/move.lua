#!lua flags=allow-oom
-- Third step of a drain: raise the clock's position, move the tags that are known, and, with the last chunk, advance the clock.
-- KEYS: clock, then the tags
-- ARGV: epoch, position, then only with the last chunk: rank of the snapshot that the drain began from, snapshot, rank,
-- and then only from a drain that certifies: t0, tables
-- Returns {1 or 0 for void, tags moved, microseconds of Redis' clock}
local clock = redis.call('HMGET', KEYS[1], 'epoch', 'position', 'rank', 'time', 'seen')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stamp = string.format('%.0f', now)
if clock[1] ~= ARGV[1] then return {0, 0, stamp} end
-- A tag that Redis does not know may have moved as far as the last drain that moved any, and no further.
if #KEYS > 1 and (not clock[2] or ARGV[2] > clock[2]) then redis.call('HSET', KEYS[1], 'position', ARGV[2]) end
if not clock[5] or ARGV[2] > clock[5] then redis.call('HSET', KEYS[1], 'seen', ARGV[2]) end
local moved = 0
for i = 2, #KEYS do
  local value = redis.call('GET', KEYS[i])
  if value and ARGV[2] > string.sub(value, 1, 31) then
    redis.call('SET', KEYS[i], ARGV[2] .. ' ' .. stamp, 'KEEPTTL')
    moved = moved + 1
  end
end
-- A clock behind the snapshot that this drain began from lost moves: what lies between was not read here.
if ARGV[3] and tonumber(ARGV[3]) <= (tonumber(clock[3] or '') or -1) then
  if tonumber(ARGV[5]) >= tonumber(clock[3]) then
    redis.call('HSET', KEYS[1], 'snapshot', ARGV[4], 'rank', ARGV[5])
    if ARGV[7] then redis.call('HSET', KEYS[1], 'tables', ARGV[7]) end
  end
  local last = tonumber(clock[4] or '') or 0
  if ARGV[6] and (last > now or tonumber(ARGV[6]) > last) then redis.call('HSET', KEYS[1], 'time', ARGV[6]) end
end
return {1, moved, stamp}
