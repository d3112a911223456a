-- ARGV: the id of this gateway. It goes, and need not be waited for.
call('SREM', BARRIER, ARGV[1])
return call('ZREM', P .. 'members', ARGV[1])
