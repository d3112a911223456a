-- ARGV: the lease, then the tags. The entries, each with the tag it had before.
local lease, claimed, free = tonumber(ARGV[1]), {}, {}
for i = 2, #ARGV do
  local id = call('HGET', CLAIMS, ARGV[i])
  if id then
    claimed[#claimed + 1] = { entry_reply(entry(id)), '' }
  else
    free[#free + 1] = ARGV[i]
  end
end
-- While gateways are still coming back, what looks queued may be at work.
if #free == 0 or behind_barrier() then return claimed end
for _, id in ipairs(call('ZRANGEBYSCORE', LATER, '-inf', int(now), 'LIMIT', 0, 1000)) do
  call('ZREM', LATER, id)
  call('ZADD', READY, call('HGET', P .. 'e:' .. id, 'q'), id)
end
for i, id in ipairs(call('ZRANGE', READY, 0, #free - 1)) do
  local it = entry(id)
  move(it, { tag = free[i], state = APPLYING, note = it.note, delay = 0, lease = lease })
  claimed[#claimed + 1] = { entry_reply(entry(id)), it.tag }
end
return claimed
