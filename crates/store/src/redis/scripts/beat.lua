-- ARGV: the lease, then pairs of key and tag. For each 1 where it is still held, else 0.
local ends, answers = int(now + ARGV[1]), {}
for i = 2, #ARGV, 2 do
  local member = ARGV[i] .. ARGV[i + 1]
  local held = call('ZSCORE', HELD, member) and find(ARGV[i])
  if held and held.tag == ARGV[i + 1] then
    call('ZADD', HELD, ends, member)
    answers[#answers + 1] = 1
  else
    answers[#answers + 1] = 0
  end
end
return answers
