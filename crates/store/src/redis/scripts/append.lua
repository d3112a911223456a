-- ARGV: id, tag, line, owner, value, note, whether only behind others, the four caps, then a
-- change of a record or nothing.
sweep(10)
sweep_entries(10)
local id, tag, line, owner, value, note = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if entry(id) then return { 'done' } end
if ARGV[7] == '1' and call('EXISTS', P .. 'ql:' .. line) == 0 then return { 'nothing_ahead' } end
local change = ARGV[12] and read_change(12)
local verdict = change and judge(change)
if verdict == 'conflict' then return { 'conflict', as_reply(change.old) } end
if verdict == 'wait' then return { 'wait', call('PTTL', BARRIER) } end
local caps = { tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]) }
local full = no_room(QUSE, call('ZCARD', OPEN), caps, nil, owner, #value)
if not full and verdict == 'go' then full = crowded(change.put, change.old) end
if full then return { 'full', full } end
if verdict == 'go' then make(change) end
local number = enter(id, line, owner, #value, int(now))
call('HSET', P .. 'e:' .. id, 't', tag, 's', QUEUED, 'l', line, 'o', owner, 'v', value, 'n', note,
  'd', int(now), 'c', int(now), 'q', int(number), 'z', #value, 'x', 0)
call('ZADD', P .. 'qs:' .. QUEUED, 0, id)
offer(line)
return { 'done' }
