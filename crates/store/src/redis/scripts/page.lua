-- ARGV: the key after which, or nothing; the most records; the most bytes of values.
local after, most, bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local first = 0
if after ~= '' then
  local one, two = after:byte(1, 2)
  first = one * 16 + math.floor(two / 16)
end
-- Lua compares strings by the server's locale; of hexadecimal digits every locale thinks alike.
local function hex(key)
  return (key:gsub('.', function(byte) return string.format('%02x', byte:byte()) end))
end
local page = {}
after = hex(after)
for number = first, 4095 do
  local keys, order = {}, {}
  for i, key in ipairs(call('HKEYS', P .. 'r:' .. string.format('%03x', number))) do
    order[i] = hex(key)
    keys[order[i]] = key
  end
  table.sort(order)
  for _, place in ipairs(order) do
    local record = place > after and find(keys[place])
    if record then
      page[#page + 1] = { record.key, as_reply(record) }
      bytes = bytes - record.size
      if #page >= most or bytes <= 0 then return page end
    end
  end
  if #page > 0 and number - first >= 64 then return page end
end
return page
