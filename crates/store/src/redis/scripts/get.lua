-- ARGV: key. The record, or nothing.
return as_reply(find(ARGV[1]))
