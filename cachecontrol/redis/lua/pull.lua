#!lua flags=no-writes
-- Read the clock, and the moves since a record of the log: what a process needs to judge the entries in its own memory.
-- A sequence alone does not identify a record: a Redis that lost its last writes assigns it again. The position does, since each
-- drain that moves tags has a position of its own.
-- KEYS: clock, log
-- ARGV: epoch, sequence and position of the last record that the process knows; the position is '' for sequence 0
-- Returns {now (microseconds), epoch, time of the clock (microseconds), sequence, position of its record, 1 if the records since
--          the known one follow or 0 if they cannot be told, records}; each record as the stream has it
local clock_key, log_key = KEYS[1], KEYS[2]
local known_epoch, known, known_position = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local epoch, clock_time, sequence = unpack(redis.call('HMGET', clock_key, 'epoch', 'time', 'sequence'))
local time = redis.call('TIME')
local stamp = string.format('%.0f', time[1] * 1000000 + time[2])
sequence = tonumber(sequence or '') or 0

local function id_of(number) return string.format('%.0f-0', number) end
local function is_record(record, number) return record and record[1] == id_of(number) end

local last = sequence > 0 and redis.call('XREVRANGE', log_key, '+', '-', 'COUNT', 1)[1]
local last_position = is_record(last, sequence) and last[2][2] or ''
local function reply(continues, records)
  return {stamp, epoch or '', clock_time or '', sequence, last_position, continues, records}
end

if epoch ~= known_epoch or sequence < known or sequence - known > RECORDS_PER_PULL then return reply(0, {}) end
if sequence > 0 and last_position == '' then return reply(0, {}) end
if sequence == known then return reply(last_position == known_position and 1 or 0, {}) end
local first = math.max(known, 1)
local records = redis.call('XRANGE', log_key, id_of(first), id_of(sequence))
if #records ~= sequence - first + 1 then return reply(0, {}) end
if known > 0 and table.remove(records, 1)[2][2] ~= known_position then return reply(0, {}) end
return reply(1, records)
