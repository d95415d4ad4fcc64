-- ARGV: prefix, boot, server, then for each entry: key, mid. Returns how many of the entries were these.
local boot, server = ARGV[2], ARGV[3]
local detached = 0
for i = 4, #ARGV, 2 do
    local key, mid = ARGV[i], ARGV[i + 1]
    if redis.call('GET', entry_of(key)) == boot .. ':' .. mid .. ':' .. server then
        redis.call('DEL', entry_of(key))
        unlink_member(key, mid)
        detached = detached + 1
    end
end
return detached
