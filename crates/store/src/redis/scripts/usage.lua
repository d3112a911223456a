-- Records and bytes that are kept.
sweep(1000)
return { call('ZCARD', EXPIRY), tonumber(call('HGET', USE, 'bytes') or 0) }
