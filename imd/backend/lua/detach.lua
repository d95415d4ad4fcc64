-- ARGV: prefix, boot, server, key, mid. Returns 1, or 0 when the entry is not this one.
local boot, server, key, mid = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if redis.call('GET', entry_of(key)) ~= boot .. ':' .. mid .. ':' .. server then
    return 0
end
redis.call('DEL', entry_of(key))
unlink_member(key, mid)
return 1
