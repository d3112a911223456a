-- Entries in lines.
--
--   e:<id>       hash: t(ag), s(tate), l(ine), o(wner), v(alue), n(ote), d(ue), c(reated),
--                q (its number in the order of appending), z (size), x (expires)
--   ql:<line>    list: the ids of the entries of a line that are not over, the head first
--   qs:<state>   sorted set, by id: the entries in a state
--   qr, qd       sorted sets: heads that are queued, by number, and those not due yet, by when
--   qo           sorted set by creation: what is not over
--   qh, qc       what is claimed: sorted set of tags by the lease's end; hash of ids by tag
--   qx           sorted set by expiry: what is over
--   qu           hash: bytes, and per owner n:<owner>, b:<owner>, of what is not over
--   qn           the number of the newest entry
local READY, LATER, OPEN = P .. 'qr', P .. 'qd', P .. 'qo'
local LEASES, CLAIMS, ENDS, QUSE = P .. 'qh', P .. 'qc', P .. 'qx', P .. 'qu'
local QUEUED, APPLYING, OVER = 0, 1, 3

local function sweep_entries(most)
  local due = call('ZRANGEBYSCORE', ENDS, '-inf', int(now), 'LIMIT', 0, most)
  for _, id in ipairs(due) do
    local state = call('HGET', P .. 'e:' .. id, 's')
    if state then call('ZREM', P .. 'qs:' .. state, id) end
    call('DEL', P .. 'e:' .. id)
    call('ZREM', ENDS, id)
  end
  return #due
end

-- The entry without its value, or nil where there is none or it has expired.
local function entry(id)
  local f = call('HMGET', P .. 'e:' .. id, 't', 's', 'l', 'o', 'n', 'd', 'q', 'z', 'x', 'c')
  if not f[1] then return nil end
  local it = {
    id = id, tag = f[1], state = tonumber(f[2]), line = f[3], owner = f[4], note = f[5],
    due = tonumber(f[6]), number = tonumber(f[7]), size = tonumber(f[8]), ends = tonumber(f[9]),
    created = f[10],
  }
  if it.state >= OVER and it.ends <= now then return nil end
  return it
end

local function entry_reply(it)
  if not it then return false end
  local abandoned = 0
  if it.state == APPLYING then
    local lease = tonumber(call('ZSCORE', LEASES, it.tag) or nil)
    if holder(1, lease) == GONE then abandoned = 1 end
  end
  local value = call('HGET', P .. 'e:' .. it.id, 'v')
  return { it.id, it.tag, it.state, abandoned, it.line, it.owner, value, it.note }
end

-- Lets the head of a line be claimed, if it is queued.
local function offer(line)
  local head = call('LINDEX', P .. 'ql:' .. line, 0)
  local it = head and entry(head)
  if not it or it.state ~= QUEUED then return end
  if it.due > now then
    call('ZADD', LATER, int(it.due), head)
  else
    call('ZADD', READY, int(it.number), head)
  end
end

local function withdraw(id)
  call('ZREM', READY, id)
  call('ZREM', LATER, id)
end

local function lease_out(id, tag, lease)
  call('ZADD', LEASES, int(now + lease), tag)
  call('HSET', CLAIMS, tag, id)
end

local function enter(id, line, owner, size, created)
  local number = call('INCR', P .. 'qn')
  call('RPUSH', P .. 'ql:' .. line, id)
  call('ZADD', OPEN, created, id)
  count(QUSE, owner, size, 1)
  return number
end

-- Gives an entry another tag, state and note, and does what follows from that.
local function move(it, to)
  if it.state == APPLYING then
    call('ZREM', LEASES, it.tag)
    call('HDEL', CLAIMS, it.tag)
  end
  withdraw(it.id)
  local number, ends = it.number, it.ends
  if to.state >= OVER then
    ends = now + to.ttl
    call('ZADD', ENDS, int(ends), it.id)
    if it.state < OVER then
      call('LREM', P .. 'ql:' .. it.line, 1, it.id)
      call('ZREM', OPEN, it.id)
      count(QUSE, it.owner, it.size, -1)
      if call('ZCARD', OPEN) == 0 then call('DEL', QUSE) end
    end
  elseif it.state >= OVER then
    call('ZREM', ENDS, it.id)
    number = enter(it.id, it.line, it.owner, it.size, it.created)
  end
  call('ZREM', P .. 'qs:' .. it.state, it.id)
  call('ZADD', P .. 'qs:' .. to.state, 0, it.id)
  call('HSET', P .. 'e:' .. it.id, 't', to.tag, 's', to.state, 'n', to.note,
    'd', int(now + to.delay), 'q', int(number), 'x', int(ends))
  if to.state == APPLYING then lease_out(it.id, to.tag, to.lease) end
  offer(it.line)
end
