-- Writes one layer's override of one target, if nobody else has written since.
--
-- KEYS[1]  holdfast:{namespace/service/target}:policy:<layer>   the override as JSON
-- ARGV[1]  epoch of the writer
-- ARGV[2]  version, the stored one plus 1
-- ARGV[3]  the override as JSON
-- ARGV[4]  when its values expire, milliseconds since the epoch
-- ARGV[5]  how long it is kept after that, milliseconds: clean-up, never logic
-- ARGV[6]  channel of the hint
-- ARGV[7]  the hint
--
-- Returns { code, stored epoch, stored version }; code 0 written, 1 stale epoch, 2 version conflict.
-- Where nothing is stored, or nothing that can be read, any version is written.

local epoch, version = tonumber(ARGV[1]), tonumber(ARGV[2])
local stored = redis.call('GET', KEYS[1])
if stored then
  local readable, was = pcall(cjson.decode, stored)
  if readable and type(was) == 'table' and type(was.epoch) == 'number' and type(was.version) == 'number' then
    if epoch < was.epoch then return { 1, was.epoch, was.version } end
    if version ~= was.version + 1 then return { 2, was.epoch, was.version } end
  end
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local kept = math.max(tonumber(ARGV[4]), now) + tonumber(ARGV[5])
redis.call('SET', KEYS[1], ARGV[3], 'PXAT', string.format('%.0f', kept))
redis.call('PUBLISH', ARGV[6], ARGV[7])
return { 0, epoch, version }
