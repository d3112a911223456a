-- ARGV: id. The entry, or nothing.
return entry_reply(entry(ARGV[1]))
