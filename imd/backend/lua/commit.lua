-- ARGV from 6: the owner's fence (0 = does not ask), then the entries. Returns how many were deleted; -1 = fenced.
local fence = tonumber(ARGV[6])
if fence > 0 and fence < (tonumber(redis.call('HGET', era, 'fence')) or 0) then
    return finish({-1})
end
local deleted = 0
for i = 7, #ARGV, 1000 do
    deleted = deleted + redis.call('XDEL', base .. ':pushes', unpack(ARGV, i, math.min(#ARGV, i + 999)))
end
added.committed = deleted
return finish({deleted})
