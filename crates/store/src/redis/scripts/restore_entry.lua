-- ARGV: whether the server has started since, id, the number of tags that came before, these tags, then tag, line, owner, value,
-- note, state, delay, ttl, lease.
--
-- What restore.lua does, for an entry. One that is gone goes to the end of its line.
local id, earlier = ARGV[2], tonumber(ARGV[3])
local i = earlier + 4
local tag, line, owner, value, note = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
local to = {
  tag = tag, note = note, state = tonumber(ARGV[i + 5]), delay = tonumber(ARGV[i + 6]),
  ttl = tonumber(ARGV[i + 7]), lease = tonumber(ARGV[i + 8]),
}
local it = entry(id)
if it and it.tag == tag then
  if to.state == APPLYING then lease_out(id, tag, to.lease) end
  return 0
end
if ARGV[1] == '0' then return 0 end
if it then
  local lost = false
  for j = 4, earlier + 3 do
    if it.tag == ARGV[j] then lost = true end
  end
  if not lost then return 0 end
else
  local number = enter(id, line, owner, #value, int(now))
  call('HSET', P .. 'e:' .. id, 't', '', 's', QUEUED, 'l', line, 'o', owner, 'v', value, 'n', note,
    'd', int(now), 'c', int(now), 'q', int(number), 'z', #value, 'x', 0)
  it = entry(id)
end
move(it, to)
return 1
