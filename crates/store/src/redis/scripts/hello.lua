-- ARGV: the form of the data this version knows, the server's run id, the id of this gateway,
-- whether it was connected before, the lease.
--
-- Says that this gateway is there. The first one to meet a server that has started since puts
-- up the barrier: it names the gateways that were alive at the end of the former one's time,
-- and those that had not come back to that one yet; it falls when all have come back and made
-- known again what they hold, or after a lease.

-- A script whose first write takes nothing is let through though memory is full: a gateway
-- that could not connect then could not settle what it has at work either.
call('DEL', P .. 'nothing')
local form, server, me, before, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local MEMBERS = P .. 'members'
local found = call('GET', P .. 'form')
if found and found ~= form then return { 'form', found } end
if not found then call('SET', P .. 'form', form) end
if call('GET', P .. 'server') ~= server then
  call('SET', P .. 'server', server)
  local newest = call('ZREVRANGE', MEMBERS, 0, 0, 'WITHSCORES')
  if newest[2] then
    for _, member in ipairs(call('ZRANGEBYSCORE', MEMBERS, int(newest[2] - lease), '+inf')) do
      call('SADD', BARRIER, member)
    end
  elseif before == '1' then
    -- Everything is gone, and with it the names of those who are to be waited for.
    call('SADD', BARRIER, '?')
  end
  call('PEXPIRE', BARRIER, int(lease))
  call('DEL', MEMBERS)
end
call('ZADD', MEMBERS, int(now), me)
call('ZREMRANGEBYSCORE', MEMBERS, '-inf', int(now - 10 * lease))
return { 'ok' }
