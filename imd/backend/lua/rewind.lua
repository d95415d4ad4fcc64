-- A new owner: returns its fence, higher than every earlier one's, and than the time in ms.
local fence = math.max((tonumber(redis.call('HGET', era, 'fence')) or 0) + 1, now)
redis.call('HSET', era, 'fence', fence)
return finish({fence})
