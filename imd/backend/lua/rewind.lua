-- ARGV from 6: the highest fence that the caller got. A new owner: returns its fence, higher than that, than every earlier
-- owner's, and than the time in ms.
local fence = math.max((tonumber(redis.call('HGET', era, 'fence')) or 0) + 1, tonumber(ARGV[6]) + 1, now)
redis.call('HSET', era, 'fence', fence)
return finish({fence})
