-- ARGV: the id of this gateway. It has made known again what it holds.
return call('SREM', BARRIER, ARGV[1])
