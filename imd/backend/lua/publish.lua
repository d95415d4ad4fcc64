-- Appends pushes to one partition, in order, unless their idempotency key was used before.
-- KEYS: the stream, then one key for each push that has an idempotency key, in order.
-- ARGV: ms that such a key is remembered, then for each push: its mark ('' without a key), its bytes.
-- Returns the entries in the stream, then for each push that was not appended: its number (from 1), the earlier mark.
local stream = KEYS[1]
redis.call('XLEN', stream) -- fails for a wrong type before anything is written
local answer = {0}
local marked = 1
for i = 2, #ARGV, 2 do
    local earlier = false
    if ARGV[i] ~= '' then
        marked = marked + 1
        if not redis.call('SET', KEYS[marked], ARGV[i], 'NX', 'PX', ARGV[1]) then
            earlier = redis.call('GET', KEYS[marked])
        end
    end
    if earlier then
        answer[#answer + 1] = i / 2
        answer[#answer + 1] = earlier
    else
        redis.call('XADD', stream, '*', 'p', ARGV[i + 1])
    end
end
answer[1] = redis.call('XLEN', stream)
return answer
