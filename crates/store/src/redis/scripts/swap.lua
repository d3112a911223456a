-- ARGV: a change.
sweep(10)
local change = read_change(1)
local verdict = judge(change)
if verdict == 'conflict' then return { 'conflict', as_reply(change.old) } end
if verdict == 'wait' then return { 'wait', call('PTTL', BARRIER) } end
if verdict == 'go' then
  local full = change.put and crowded(change.put, change.old)
  if full then return { 'full', full } end
  make(change)
end
return { 'done' }
