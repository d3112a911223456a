-- ARGV: the lease, then pairs of id and tag. For each 1 where it is still held, else 0.
local ends, answers = int(now + ARGV[1]), {}
for i = 2, #ARGV, 2 do
  local held = call('HGET', CLAIMS, ARGV[i + 1]) == ARGV[i]
  if held then call('ZADD', LEASES, ends, ARGV[i + 1]) end
  answers[#answers + 1] = held and 1 or 0
end
return answers
