-- One quota of one tenant, in one hash: {epoch, period, server, used, held} and a field "r:<id>" for
-- each reservation, "<deadline in ms>:<units>". A counter of another epoch, period or start of this
-- server is worth nothing: whoever meets it counts anew in PostgreSQL.
-- KEYS: the hash. ARGV: what to do, then what that takes.
local key, act = KEYS[1], ARGV[1]
local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')

local function figures()
  local found = redis.call('HMGET', key, 'epoch', 'period', 'server', 'used', 'held')
  return tonumber(found[1]), found[2], found[3], tonumber(found[4]) or 0, tonumber(found[5]) or 0
end

local function has_dead_reservation()
  local pairs_of = redis.call('HGETALL', key)
  for i = 1, #pairs_of, 2 do
    if string.sub(pairs_of[i], 1, 2) == 'r:' then
      if tonumber(string.match(pairs_of[i + 1], '^(%d+)')) < now_ms then return true end
    end
  end
  return false
end

if act == 'reserve' then
  local period, limit, id, units, ttl_ms = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
  local epoch, of_period, of_server, used, held = figures()
  if not epoch or of_period ~= period or of_server ~= server then return {'unknown', 0, 0} end
  if used + held + units <= limit then
    redis.call('HSET', key, 'r:' .. id, string.format('%d:%d', now_ms + ttl_ms, units))
    redis.call('HINCRBY', key, 'held', units)
    return {'reserved', epoch, used + held + units}
  end
  -- A process that died with a reservation may have done its work or not: only PostgreSQL knows.
  if held > 0 and has_dead_reservation() then return {'unknown', epoch, 0} end
  return {'spent', epoch, used}
end

if act == 'settle' then -- was_used: the work is committed; else the units go back
  local epoch, id, was_used = tonumber(ARGV[2]), ARGV[3], ARGV[4] == '1'
  if tonumber(redis.call('HGET', key, 'epoch') or '') ~= epoch then return {'other', 0, 0} end
  local reservation = redis.call('HGET', key, 'r:' .. id)
  if not reservation then return {'gone', epoch, 0} end
  local units = tonumber(string.match(reservation, ':(%d+)$'))
  redis.call('HDEL', key, 'r:' .. id)
  redis.call('HINCRBY', key, 'held', -units)
  if was_used then redis.call('HINCRBY', key, 'used', units) end
  return {'settled', epoch, units}
end

if act == 'load' then
  local epoch, period, used, expires_at = tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
  local known, _, of_server = figures()
  if known and known >= epoch and of_server == server then return {'known', known, 0} end
  redis.call('DEL', key)
  redis.call('HSET', key, 'epoch', epoch, 'period', period, 'server', server, 'used', used, 'held', 0)
  redis.call('EXPIREAT', key, expires_at)
  return {'loaded', epoch, 0}
end

if act == 'add' then -- used without a reservation
  local epoch, _, of_server = figures()
  if epoch and of_server == server then redis.call('HINCRBY', key, 'used', tonumber(ARGV[2])) end
  return {'added', 0, 0}
end

if act == 'forget' then -- a counter of an earlier epoch
  local known = tonumber(redis.call('HGET', key, 'epoch') or '')
  if known and known < tonumber(ARGV[2]) then redis.call('DEL', key) end
  return {'forgotten', 0, 0}
end
