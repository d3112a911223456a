-- ARGV: a state or nothing, the id after which or nothing, the most entries, the most bytes.
sweep_entries(1000)
local state, after, most, bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local first, last = 0, 6
if state ~= '' then first, last = tonumber(state), tonumber(state) end
local page = {}
repeat
  local from, ids = after == '' and '-' or '(' .. after, {}
  for number = first, last do
    for _, id in ipairs(call('ZRANGEBYLEX', P .. 'qs:' .. number, from, '+', 'LIMIT', 0, most)) do
      ids[#ids + 1] = id
    end
  end
  table.sort(ids)
  for i = 1, math.min(#ids, most) do
    local it = entry(ids[i])
    if it then
      page[#page + 1] = entry_reply(it)
      bytes = bytes - it.size
      if #page >= most or bytes <= 0 then return page end
    end
    after = ids[i]
  end
until #page > 0 or #ids == 0
return page
