-- What every script begins with: where things are, what time it is, and records.
--
-- KEYS[1] is the prefix of all keys of the group. The clock is the server's, always.
--
--   r:<3 hex digits>  hash: the records whose keys begin with these 12 bits; a field is a key,
--                     its value is packed (tag, held, expires, owner, value)
--   rx                sorted set by expiry: key .. size .. ":" .. owner. The counters are the
--                     sum over its members, whatever becomes of the records themselves.
--   ru                hash: bytes, and per owner n:<owner>, b:<owner>
--   rh                sorted set by the lease's end: key .. tag of what is held
--   barrier           set: the gateways that have not come back since the server changed
local P = KEYS[1]
local EXPIRY, USE, HELD, BARRIER = P .. 'rx', P .. 'ru', P .. 'rh', P .. 'barrier'
local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local NOBODY, ALIVE, GONE = 0, 1, 2

local function int(number)
  return string.format('%.0f', number + 0)
end

-- While gateways are still coming back, a lapsed lease proves nothing: nobody could beat.
local barrier
local function behind_barrier()
  if barrier == nil then barrier = call('EXISTS', BARRIER) == 1 end
  return barrier
end

-- Counters of one hash: in all, and of each owner.
local function count(hash, owner, size, by)
  call('HINCRBY', hash, 'bytes', int(by * size))
  if call('HINCRBY', hash, 'n:' .. owner, int(by)) <= 0 then
    call('HDEL', hash, 'n:' .. owner, 'b:' .. owner)
  else
    call('HINCRBY', hash, 'b:' .. owner, int(by * size))
  end
end

-- Which bound leaves no room, or nil; `old` is what the new one replaces: {owner, size}.
local function no_room(hash, kept, most, old, owner, size)
  local had = old and old.size or 0
  if not old and kept >= most[1] then return 0 end
  if size > had and tonumber(call('HGET', hash, 'bytes') or 0) - had + size > most[2] then return 1 end
  local own = old and old.owner == owner
  local own_had = own and had or 0
  if not own and tonumber(call('HGET', hash, 'n:' .. owner) or 0) >= most[3] then return 2 end
  if size > own_had and tonumber(call('HGET', hash, 'b:' .. owner) or 0) - own_had + size > most[4] then
    return 3
  end
end

local function bucket(key)
  local first, second = key:byte(1, 2)
  return P .. 'r:' .. string.format('%03x', first * 16 + math.floor(second / 16))
end

local function holder(held, lease)
  if held == 0 then return NOBODY end
  if (lease and lease > now) or behind_barrier() then return ALIVE end
  return GONE
end

-- The record as it is stored, expired or not.
local function stored(key)
  local raw = call('HGET', bucket(key), key)
  if not raw then return nil end
  local record = { key = key }
  record.tag, record.held, record.expires, record.owner, record.value = cmsgpack.unpack(raw)
  record.size = #record.value
  record.member = key .. record.size .. ':' .. record.owner
  record.ends = record.expires
  local lease
  if record.held == 1 then
    lease = tonumber(call('ZSCORE', HELD, key .. record.tag) or nil)
    if lease and lease > record.ends then record.ends = lease end
  end
  record.holder = holder(record.held, lease)
  return record
end

local function find(key)
  local record = stored(key)
  if record and record.ends > now then return record end
end

local function forget(record)
  call('HDEL', bucket(record.key), record.key)
  if call('ZREM', EXPIRY, record.member) == 1 then count(USE, record.owner, record.size, -1) end
  if record.held == 1 then call('ZREM', HELD, record.key .. record.tag) end
end

-- Takes away up to `most` records that have expired.
local function sweep(most)
  local due = call('ZRANGEBYSCORE', EXPIRY, '-inf', int(now), 'LIMIT', 0, most)
  for _, member in ipairs(due) do
    local record = stored(member:sub(1, 32))
    if record and record.member ~= member then record = nil end
    if record and record.ends > now then
      call('ZADD', EXPIRY, int(record.ends), member)
    elseif record then
      forget(record)
    else
      local size, owner = member:match('^(%d+):(.*)$', 33)
      call('ZREM', EXPIRY, member)
      count(USE, owner, tonumber(size), -1)
    end
  end
  if #due > 0 and call('ZCARD', EXPIRY) == 0 then call('DEL', USE) end
  return #due
end

local function as_reply(record)
  if not record then return false end
  return { record.tag, record.holder, int(record.ends - now), record.value }
end

-- A change of a record as it stands in ARGV from `i` on:
--   key, expect (absent, tag, abandoned), the tag expected, put or remove,
--   and for put: tag, value, owner, ttl, held, lease, the four bounds.
local function read_change(i)
  local change = { key = ARGV[i], expect = ARGV[i + 1], tag = ARGV[i + 2] }
  if ARGV[i + 3] == 'put' then
    change.put = {
      tag = ARGV[i + 4], value = ARGV[i + 5], owner = ARGV[i + 6],
      ttl = tonumber(ARGV[i + 7]), held = tonumber(ARGV[i + 8]), lease = tonumber(ARGV[i + 9]),
      most = {
        tonumber(ARGV[i + 10]), tonumber(ARGV[i + 11]), tonumber(ARGV[i + 12]), tonumber(ARGV[i + 13]),
      },
    }
  end
  return change
end

-- done: there is nothing to do; go: it can be made; wait: not before the barrier is gone;
-- conflict: the record is not as expected.
local function judge(change)
  local old = find(change.key)
  change.old = old
  if change.put and old and old.tag == change.put.tag then return 'done' end
  if not change.put and not old then return 'done' end
  local expected
  if change.expect == 'absent' then
    expected = not old
  else
    expected = old and old.tag == change.tag
    if expected and change.expect == 'abandoned' then expected = old.holder == GONE end
  end
  if not expected then return 'conflict' end
  if change.put and change.expect == 'absent' and behind_barrier() then return 'wait' end
  return 'go'
end

local function crowded(put, old)
  local function look() return no_room(USE, call('ZCARD', EXPIRY), put.most, old, put.owner, #put.value) end
  local full = look()
  if full and sweep(500) > 0 then full = look() end
  return full
end

local function make(change)
  local old = stored(change.key)
  if old then forget(old) end
  local put = change.put
  if not put then return end
  local ends = now + put.ttl
  call('HSET', bucket(change.key), change.key,
    cmsgpack.pack(put.tag, put.held, ends, put.owner, put.value))
  if put.held == 1 then
    call('ZADD', HELD, int(now + put.lease), change.key .. put.tag)
    if put.lease > put.ttl then ends = now + put.lease end
  end
  call('ZADD', EXPIRY, int(ends), change.key .. #put.value .. ':' .. put.owner)
  count(USE, put.owner, #put.value, 1)
end
