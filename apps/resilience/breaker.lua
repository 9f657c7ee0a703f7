-- Tell one callee's breaker one thing; the same transitions as `breaker.judge`, by the server's clock.
-- KEYS: the breaker (a hash), its owner's set of breakers that are not closed, the set of such owners.
-- ARGV: verb, failure threshold, recovery in s, success threshold, error, the callee's member, the owner, ttl in s.
-- Returns {phase before, phase, failures, successes, is probing, since, opened, error, seconds to wait, now}.
local verb, threshold, recovery = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local wanted, ttl = tonumber(ARGV[4]), tonumber(ARGV[8])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local known = redis.call('HMGET', KEYS[1], 'phase', 'failures', 'successes', 'probing', 'since', 'error', 'opened')
local phase, failures, successes = known[1] or 'closed', tonumber(known[2] or 0), tonumber(known[3] or 0)
local probing, since, err = known[4] == '1', tonumber(known[5] or 0), known[6] or ''
local opened = tonumber(known[7] or 0)
local before, wait = phase, 0

if verb == 'admit' and phase ~= 'closed' then
  local left = math.max(0, since + recovery - now)
  if left > 0 and (phase == 'open' or probing) then
    wait = left
  else
    if phase ~= 'half_open' then successes = 0 end
    phase, probing, since = 'half_open', true, now
  end
elseif verb == 'succeeded' and phase ~= 'open' then
  successes = successes + 1
  if phase == 'closed' or successes >= wanted then
    if phase ~= 'closed' then since = now end
    phase, failures, successes, probing, err = 'closed', 0, 0, false, ''
    opened = 0
  else
    probing = false
  end
elseif verb == 'failed' and phase ~= 'open' then
  failures = failures + 1
  err = ARGV[5]
  if phase == 'half_open' or failures >= threshold then
    if phase == 'closed' then opened = now end
    phase, successes, probing, since = 'open', 0, false, now
  end
elseif verb == 'released' then
  probing = false
elseif verb == 'try_now' and phase == 'open' then
  phase = 'half_open'
end

if phase == 'closed' and failures == 0 then
  if known[1] then redis.call('DEL', KEYS[1]) end
else
  redis.call('HSET', KEYS[1], 'phase', phase, 'failures', failures, 'successes', successes,
    'probing', probing and '1' or '0', 'since', string.format('%.6f', since), 'error', err,
    'opened', string.format('%.6f', opened))
  if verb ~= 'try_now' then redis.call('HSET', KEYS[1], 'recovery', recovery) end
  redis.call('EXPIRE', KEYS[1], ttl)
end
if phase == 'closed' and before ~= 'closed' then
  redis.call('ZREM', KEYS[2], ARGV[6])
elseif phase ~= 'closed' then
  redis.call('ZADD', KEYS[2], now + ttl, ARGV[6])
  redis.call('ZADD', KEYS[3], now + ttl, ARGV[7])
  redis.call('EXPIRE', KEYS[2], 86400)
  redis.call('EXPIRE', KEYS[3], 86400)
end
return {before, phase, failures, successes, probing and 1 or 0, string.format('%.6f', since),
  string.format('%.6f', opened), err, string.format('%.6f', wait), string.format('%.6f', now)}
