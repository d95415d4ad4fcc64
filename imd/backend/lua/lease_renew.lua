-- KEYS: the lease. ARGV: boot, ms. Returns 1 = extended, 0 = taken anew, or the newer boot that holds it, as a string.
local held = redis.call('GET', KEYS[1])
if held and tonumber(held) > tonumber(ARGV[1]) then
    return held
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return held == ARGV[1] and 1 or 0
