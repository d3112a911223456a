-- The number of entries in each state, the bytes of those not over, and for how long the
-- oldest of these has been kept, or -1.
sweep_entries(1000)
local answer = {}
for state = 0, 6 do answer[#answer + 1] = call('ZCARD', P .. 'qs:' .. state) end
answer[#answer + 1] = tonumber(call('HGET', QUSE, 'bytes') or 0)
local oldest = call('ZRANGE', OPEN, 0, 0, 'WITHSCORES')
answer[#answer + 1] = oldest[2] and math.max(0, now - oldest[2]) or -1
return answer
