-- ARGV: id, the tag expected, the new tag, state, note, delay, ttl, lease, then a change of a
-- record or nothing.
sweep_entries(10)
local it = entry(ARGV[1])
if not it then return { 'conflict', false } end
if it.tag == ARGV[3] then return { 'done' } end
if it.tag ~= ARGV[2] then return { 'conflict', entry_reply(it) } end
local change = ARGV[9] and read_change(9)
local verdict = change and judge(change)
if verdict == 'conflict' then return { 'record_conflict', as_reply(change.old) } end
if verdict == 'wait' then return { 'wait', call('PTTL', BARRIER) } end
if verdict == 'go' then make(change) end
move(it, {
  tag = ARGV[3], state = tonumber(ARGV[4]), note = ARGV[5], delay = tonumber(ARGV[6]),
  ttl = tonumber(ARGV[7]), lease = tonumber(ARGV[8]),
})
return { 'done' }
