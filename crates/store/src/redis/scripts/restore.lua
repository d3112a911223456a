-- ARGV: whether the server has started since, key, the number of tags that came before, these
-- tags, and the change without what it expects, as in common.lua from put or remove on.
--
-- Says that what is held is held. Where the server has started since, makes an acknowledged
-- write again that it has lost: the record is gone, or stands as it did before. A record with
-- any other tag is somebody's newer work and is left.
local earlier = tonumber(ARGV[3])
local change = read_change(earlier + 1)
change.key = ARGV[2]
local old = find(change.key)
if change.put and old and old.tag == change.put.tag then
  if change.put.held == 1 then call('ZADD', HELD, int(now + change.put.lease), change.key .. old.tag) end
  return 0
end
local lost = not old and change.put ~= nil
for i = 4, earlier + 3 do
  if old and old.tag == ARGV[i] then lost = true end
end
if ARGV[1] == '0' or not lost then return 0 end
make(change)
return 1
