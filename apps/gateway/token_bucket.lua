-- Take one token from every bucket, or from none.
-- KEYS: one hash {tokens, at} for each bucket. ARGV: capacity and refill per second of each, in turn.
-- Returns {allowed, then for each bucket: remaining, ms until a token, ms until full}; the clock is the server's.
local now = redis.call('TIME')
local now_ms = tonumber(now[1]) * 1000 + tonumber(now[2]) / 1000
local tokens, allowed = {}, 1
for i, key in ipairs(KEYS) do
  local capacity, refill = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local state = redis.call('HMGET', key, 'tokens', 'at')
  local left, at = tonumber(state[1]) or capacity, tonumber(state[2]) or now_ms
  tokens[i] = math.min(capacity, left + math.max(0, now_ms - at) * refill / 1000)
  if tokens[i] < 1 then allowed = 0 end
end
local answer = {allowed}
for i, key in ipairs(KEYS) do
  local capacity, refill = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  if allowed == 1 then tokens[i] = tokens[i] - 1 end
  local full_ms = math.ceil((capacity - tokens[i]) * 1000 / refill)
  redis.call('HSET', key, 'tokens', string.format('%.6f', tokens[i]), 'at', string.format('%.3f', now_ms))
  redis.call('PEXPIRE', key, full_ms + 1000)
  answer[#answer + 1] = math.floor(tokens[i])
  answer[#answer + 1] = math.max(0, math.ceil((1 - tokens[i]) * 1000 / refill))
  answer[#answer + 1] = full_ms
end
return answer
