-- ARGV from 6: how many timelines at most. Lets go of what is too old in those that are due. 
-- Returns 1 = there are more, how many went acked, how many expired.
local limit = tonumber(ARGV[6])
local names = redis.call('ZRANGEBYSCORE', due_key, '-inf', now, 'LIMIT', 0, limit + 1)
for i = 1, math.min(limit, #names) do
    local head = head_of(names[i])
    age(head)
    if head.length == 0 then
        redis.call('ZREM', due_key, names[i])
        head.dirty = head.dirty and not head.made -- nobody asked for one
    elseif head.due > now then
        redis.call('ZADD', due_key, head.due, names[i])
    end
end
save_heads()
return finish({#names > limit and 1 or 0, added.acked, added.expired})
